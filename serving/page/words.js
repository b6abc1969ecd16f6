// How numbers and names are written.

/** A share in percent. Rounded down: only what is certain is called 100 %. */
export function percent(share, digits = 1) {
  const unit = 10 ** digits;
  return `${(Math.floor(share * 100 * unit + 1e-6) / unit).toFixed(digits)} %`;
}

/** A value with a sign that is as wide as a plus. */
export function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
}

/** A quantity's name in words: `forward_1_input_gate` is "input gate, layer 1 forward". */
export function quantity(name) {
  const [, direction, layer, rest] = /^(forward|backward)_(\d+)_(.+)$/.exec(name) ?? [];
  const words = (rest ?? name).replaceAll("_", " ");
  return layer ? `${words}, layer ${layer} ${direction}` : words;
}

const STEPS = { rows: "row", columns: "column", pixels: "pixel" };

/** What a step reads of the image, in a word, if there is one and the model card tells. */
export function stepOf(card) {
  const { scan, permute_seed: seed } = card.config ?? {};
  return (seed == null && STEPS[scan]) || "step";
}

/** What a model card says, in a line. */
export function about(card) {
  const { config, metrics } = card;
  const parts = [];
  if (config?.units) parts.push(`${config.units} units`);
  if (config?.layers > 1) parts.push(`${config.layers} layers`);
  if (config?.scan) parts.push(`reads ${config.scan.replaceAll("_", " ")}`);
  if (config?.permute_seed != null) parts.push("pixels shuffled");
  if (metrics?.accuracy) {
    const images = metrics.images?.toLocaleString("en") ?? "the";
    parts.push(`${percent(metrics.accuracy, 2)} of ${images} test images right`);
  }
  return parts.join(" · ") || "no model card";
}
