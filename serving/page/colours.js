// Two scales, each from dark to bright all the way: told apart by every eye, and in grey.

const SCALES = {
  // −limit (blue) by 0 (grey) to +limit (yellow).
  diverging: ["#0a2a66", "#42659c", "#8f9196", "#cfae66", "#ffe999"],
  // 0 (dark) to 1 (bright); seaborn's "mako".
  sequential: ["#0b0405", "#382a54", "#395d9c", "#3497a9", "#60ceac", "#def5e5"],
};

/** Of a scale, by name, 256 colours `[red, green, blue]` from its least to its greatest value. */
export function palette(name) {
  const stops = SCALES[name].map((colour) =>
    [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16)),
  );
  return Array.from({ length: 256 }, (_, at) => {
    const place = (at / 255) * (stops.length - 1);
    const below = Math.min(Math.floor(place), stops.length - 2);
    return stops[below].map((from, i) =>
      Math.round(from + (stops[below + 1][i] - from) * (place - below)),
    );
  });
}

/**
 * The scale that suits a quantity: gates are open or closed, 0 to 1; the others have a sign.
 *
 * @returns {{name: string, least: number, most: number}}
 */
export function scaleOf(quantity, values) {
  if (quantity.endsWith("_gate")) return { name: "sequential", least: 0, most: 1 };
  // A few values lie far out; the colours are for the others, and these get the outermost.
  const sizes = Float64Array.from(values.flat(), Math.abs).sort();
  const most = sizes[Math.floor(0.98 * sizes.length)] ?? 1;
  // A round limit, lest the colours flicker with every stroke.
  const limit = [1, 2, 3, 5, 10, 20, 50, 100].find((round) => most <= round) ?? Math.ceil(most);
  return { name: "diverging", least: -limit, most: limit };
}
