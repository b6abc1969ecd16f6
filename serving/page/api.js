// Requests to the server.

const TOKEN = "token";

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
 * [{version, state, error, signatures, reads_images, card}]}], min_probability}`.
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
