// What follows from the probabilities `(steps, classes)` of a reading.

/** The place of the greatest value. */
export function argmax(values) {
  return values.reduce((best, value, at) => (value > values[best] ? at : best), 0);
}

/** The step, from 1 on, from which the last answer has led without a break. */
export function settledAt(probabilities) {
  const answer = argmax(probabilities.at(-1));
  return 2 + probabilities.findLastIndex((shares) => argmax(shares) !== answer);
}
