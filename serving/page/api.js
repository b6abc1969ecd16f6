// Requests to the server.

const TOKEN = "token";
// The outputs of a text model's trace that are not `(steps, units)`.
const OF_SYMBOLS = ["symbols", "ids", "bits", "likeliest", "shares", "probabilities"];

/**
 * A request without an answer.
 *
 * `status` is the HTTP status; 0 if the server was not reached.
 */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Store the token that the server asks for, until the tab is closed. */
export function setToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

/** Whether a token is stored. */
export function hasToken() {
  return sessionStorage.getItem(TOKEN) !== null;
}

/**
 * All models, and the probability below which an answer is not sure: `{models: [{name, versions:
 * [{version, state, error, signatures, reads_images, reads_text, card}]}], min_probability}`.
 */
export async function listModels() {
  return await ask("v1/models", {}, 10);
}

/**
 * The outputs of a version for one image, by name: with a trace all quantities, `(steps, units)`
 * each; else only `probabilities (1, classes)`.
 *
 * @param {{model: string, version: string, hasTrace: boolean}} target
 * @param {number[][]} image
 * @param {AbortSignal} signal
 */
export async function read({ model, version, hasTrace }, image, signal) {
  const path = `v1/models/${encodeURIComponent(model)}/versions/${version}:predict`;
  const body = { signature_name: hasTrace ? "trace" : "serving_default", inputs: [image] };
  const options = { method: "POST", body: JSON.stringify(body), signal };
  const { outputs } = await ask(path, options, 60);
  // A single output comes without its name.
  const named = Array.isArray(outputs) ? { probabilities: outputs } : outputs;
  if (hasTrace) return Object.fromEntries(Object.entries(named).map(([k, v]) => [k, v[0]]));
  if (!named.probabilities) throw new ApiError(400, "The model does not give probabilities.");
  return { probabilities: named.probabilities };
}

/**
 * The answer of a version to a picture file: `probabilities (classes,)`, and `rows (28, 28)`, the
 * image that the network read, if the model returns it.
 *
 * @param {{model: string, version: string}} target
 * @param {string} file - A PNG or JPEG in base64.
 * @param {AbortSignal} signal
 */
export async function readFile({ model, version }, file, signal) {
  const path = `v1/models/${encodeURIComponent(model)}/versions/${version}:predict`;
  const body = { signature_name: "serving_bytes", inputs: [{ b64: file }] };
  const options = { method: "POST", body: JSON.stringify(body), signal };
  const { outputs } = await ask(path, options, 60);
  if (!outputs?.probabilities) throw new ApiError(400, "The model does not give probabilities.");
  // Rounding errors of the resizing may lie out of bounds, and would be refused.
  const within = (value) => Math.max(0, Math.min(255, value));
  const rows = outputs.rows?.[0].map((row) => row.map(within));
  return { probabilities: outputs.probabilities[0], rows };
}

/** The names of the quantities in the trace of a version, `(steps, units)` each. */
export async function quantitiesOf({ model, version }) {
  const path = `v1/models/${encodeURIComponent(model)}/versions/${version}/metadata`;
  const { metadata } = await ask(path, {}, 10);
  const { outputs } = metadata.signature_def.signature_def.trace;
  return Object.keys(outputs).filter((name) => !OF_SYMBOLS.includes(name));
}

/** The symbols of a version by id. */
export async function vocabularyOf(target) {
  const { probabilities } = await statesAfter(target, "");
  const ids = [...probabilities.keys()];
  const symbols = [];
  while (symbols.length < ids.length) {
    const part = ids.slice(symbols.length, symbols.length + 1000);
    symbols.push(...(await predict(target, "decode", part)));
  }
  return symbols;
}

/**
 * What a version reads in a text: `symbols (steps,)`, `ids (steps,)`, `bits (steps,)`, the ids
 * `likeliest (steps, 5)` of the next symbols with their `shares (steps, 5)`, and quantities by
 * name, `(steps, units)` each.
 *
 * @param {{model: string, version: string}} target
 * @param {string} text
 * @param {string[]} quantities
 * @param {AbortSignal} signal
 */
export async function readText(target, text, quantities, signal) {
  const names = ["symbols", "ids", "bits", "likeliest", "shares", ...quantities];
  const outputs = await predict(target, "trace", [text], { output_filter: names, signal });
  // In a batch with a longer text, this one has empty steps at the end.
  const steps = outputs.ids[0].filter((id) => id >= 0).length;
  return Object.fromEntries(names.map((name) => [name, outputs[name][0].slice(0, steps)]));
}

/** The probabilities of the next symbol after a text, and the states: `{probabilities, states}`. */
export async function statesAfter(target, text, signal) {
  return probabilitiesAndStates(await predict(target, "serving_default", [text], { signal }));
}

/** The same after one more symbol. */
export async function stepOn(target, id, states) {
  const columns = Object.fromEntries(Object.entries(states).map(([k, v]) => [k, [v]]));
  return probabilitiesAndStates(await predict(target, "step", { ids: [id], ...columns }));
}

function probabilitiesAndStates({ probabilities, perplexity, ...states }) {
  const first = Object.fromEntries(Object.entries(states).map(([k, v]) => [k, v[0]]));
  return { probabilities: probabilities[0], states: first };
}

/** The outputs of a signature; a single output comes without its name. */
async function predict({ model, version }, signature, inputs, { signal, ...body } = {}) {
  const path = `v1/models/${encodeURIComponent(model)}/versions/${version}:predict`;
  const options = {
    method: "POST",
    body: JSON.stringify({ signature_name: signature, inputs, ...body }),
    signal,
  };
  return (await ask(path, options, 60)).outputs;
}

async function ask(path, { signal, ...options }, seconds) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const signals = [AbortSignal.timeout(1000 * seconds), ...(signal ? [signal] : [])];
  let response, body;
  try {
    response = await fetch(path, { ...options, headers, signal: AbortSignal.any(signals) });
    body = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer.");
  }
  if (!response.ok) throw new ApiError(response.status, body.error ?? `Status ${response.status}.`);
  return body;
}
