// Numbers and names as the page writes them.

/** A share in percent, rounded down so that only 1 is written as 100 %. */
export function percent(share, digits = 1) {
  const unit = 10 ** digits;
  return `${(Math.floor(share * 100 * unit + 1e-6) / unit).toFixed(digits)} %`;
}

/** A value with its sign. The minus sign is as wide as the plus sign. */
export function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
}

/** The name of a quantity in words: `forward_1_input_gate` is "input gate, layer 1 forward". */
export function quantity(name) {
  const [, direction, layer, rest] = /^(forward|backward)_(\d+)_(.+)$/.exec(name) ?? [];
  const words = (rest ?? name).replaceAll("_", " ");
  return layer ? `${words}, layer ${layer} ${direction}` : words;
}

const STEPS = { rows: "row", columns: "column", pixels: "pixel" };

/** The word for a step of a model: "row", "column" or "pixel" by its card, else "step". */
export function stepOf(card) {
  const { scan, permute_seed: seed } = card.config ?? {};
  return (seed == null && STEPS[scan]) || "step";
}

/** The facts in a model card, in one line. The scan is a fact only of models that read images. */
export function about({ config, metrics }, readsImages) {
  const parts = [];
  if (config?.units) parts.push(`${config.units} units`);
  if (config?.layers > 1) parts.push(`${config.layers} layers`);
  if (readsImages && config?.scan) parts.push(`reads ${config.scan.replaceAll("_", " ")}`);
  if (readsImages && config?.permute_seed != null) parts.push("pixels shuffled");
  if (metrics?.accuracy) {
    const images = metrics.images ? ` on ${metrics.images.toLocaleString("en")} test images` : "";
    parts.push(`${percent(metrics.accuracy, 2)} accuracy${images}`);
  }
  return parts.join(" · ") || "no model card";
}
