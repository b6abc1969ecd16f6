// Facts about the probabilities `(steps, classes)` of a reading.

/** The index of the maximum. */
export function argmax(values) {
  return values.reduce((best, value, index) => (value > values[best] ? index : best), 0);
}

/** The step, counted from 1, from which the answer stays the same to the end. */
export function settledAt(probabilities) {
  const answer = argmax(probabilities.at(-1));
  return 2 + probabilities.findLastIndex((shares) => argmax(shares) !== answer);
}
