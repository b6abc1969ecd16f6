// What a unit follows: its correlation with a property of the text.

const QUOTES = { "“": "”", "‘": "’", "«": "»", "「": "」", '"': '"' };

/** The properties by name: each gives a number for each symbol. */
export const PROPERTIES = {
  "line position": linePositions,
  quotes: insideQuotes,
  spaces: (symbols) => symbols.map((symbol) => Number(/^\s+$/.test(symbol))),
};

/** How many symbols of its line are before each symbol. */
function linePositions(symbols) {
  let position = 0;
  return symbols.map((symbol) => (isEnd(symbol) ? [position, (position = 0)][0] : position++));
}

/** Whether each symbol is within quotes: 1 or 0. */
function insideQuotes(symbols) {
  let closing = null;
  return symbols.map((symbol, index) => {
    const isApostrophe = symbol === "’" && /^\p{L}/u.test(symbols[index + 1] ?? "");
    if (closing === null) {
      closing = QUOTES[symbol] ?? null;
    } else if (symbol === closing && !isApostrophe) {
      closing = null;
      return 1;
    }
    return Number(closing !== null);
  });
}

const isEnd = (symbol) => symbol === "\n" || symbol === "<eos>";

/**
 * The correlation of each unit with a property, -1 to 1; 0 if one of them is constant.
 *
 * @param {number[][]} values - `(steps, units)`.
 * @param {number[]} property - `(steps,)`.
 * @returns {number[]}
 */
export function correlations(values, property) {
  const centred = centre(property);
  const size = norm(centred);
  return values[0].map((_, unit) => {
    const own = centre(values.map((row) => row[unit]));
    const product = own.reduce((sum, value, step) => sum + value * centred[step], 0);
    const sizes = size * norm(own);
    return sizes > 1e-9 ? product / sizes : 0;
  });
}

function centre(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => value - mean);
}

function norm(values) {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}
