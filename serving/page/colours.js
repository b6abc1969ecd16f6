// Two colour scales. Each gets steadily brighter, so it is readable with any colour vision and in
// grey.

const SCALES = {
  // −limit (blue), 0 (grey), +limit (yellow).
  diverging: ["#0a2a66", "#42659c", "#8f9196", "#cfae66", "#ffe999"],
  // 0 (dark) to 1 (bright); seaborn's "mako".
  sequential: ["#0b0405", "#382a54", "#395d9c", "#3497a9", "#60ceac", "#def5e5"],
};

/** The 256 colours `[red, green, blue]` of a scale, from its minimum to its maximum. */
export function palette(name) {
  const stops = SCALES[name].map((colour) =>
    [1, 3, 5].map((start) => Number.parseInt(colour.slice(start, start + 2), 16)),
  );
  return Array.from({ length: 256 }, (_, index) => {
    const position = (index / 255) * (stops.length - 1);
    const below = Math.min(Math.floor(position), stops.length - 2);
    return stops[below].map((from, i) =>
      Math.round(from + (stops[below + 1][i] - from) * (position - below)),
    );
  });
}

/**
 * The scale of a quantity: gates are between 0 (closed) and 1 (open); other quantities have a sign.
 *
 * @returns {{name: string, min: number, max: number}}
 */
export function scaleOf(quantity, values) {
  if (quantity.endsWith("_gate")) return { name: "sequential", min: 0, max: 1 };
  // The scale leaves out the largest 2 % of the values: they get its outermost colours.
  const sizes = Float64Array.from(values.flat(), Math.abs).sort();
  const size = sizes[Math.floor(0.98 * sizes.length)] ?? 1;
  // A round limit, so that the colours do not flicker with every stroke.
  const limit = [1, 2, 3, 5, 10, 20, 50, 100].find((round) => size <= round) ?? Math.ceil(size);
  return { name: "diverging", min: -limit, max: limit };
}

/** The index of a value's colour among the 256 colours of a scale. */
export function indexIn({ min, max }, value) {
  return Math.max(0, Math.min(255, Math.round((255 * (value - min)) / (max - min))));
}

/** The minimum and the maximum of a scale in words. */
export function limitsOf({ name, max }) {
  return name === "sequential" ? ["0 closed", "1 open"] : [`−${max}`, `+${max}`];
}
