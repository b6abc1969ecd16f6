// Facts about the probabilities of a reading.

/** The index of the maximum. */
export function argmax(values) {
  return values.reduce((best, value, index) => (value > values[best] ? index : best), 0);
}

/**
 * The step, counted from 1, from which the answer stays the same to the end.
 *
 * @param {number[][]} probabilities - `(steps, classes)`.
 */
export function settledAt(probabilities) {
  const answer = argmax(probabilities.at(-1));
  return 2 + probabilities.findLastIndex((shares) => argmax(shares) !== answer);
}

/**
 * Draw the id of a symbol from probabilities `(symbols,)`, never the unknown one, which has id 0.
 *
 * The logits are divided by the temperature. A temperature of 0 takes the likeliest symbol.
 */
export function drawFrom(probabilities, temperature) {
  const shares = [0, ...probabilities.slice(1)];
  const best = argmax(shares);
  if (!temperature) return best;
  const weights = shares.map((share) => (share / shares[best]) ** (1 / temperature));
  let left = Math.random() * weights.reduce((sum, weight) => sum + weight, 0);
  return weights.findIndex((weight) => (left -= weight) < 0);
}
