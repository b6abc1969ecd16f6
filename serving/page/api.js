// The server's answers, and what can be in their place.

const TOKEN = "token";

/**
 * A request that got no answer.
 *
 * `status` is HTTP's; 0 if the server was not reached.
 */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Keep the token of a server that asks for one, until the tab is closed. */
export function setToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

/** All models: `{name, versions: [{version, state, error, signatures, card}]}`. */
export async function listModels() {
  return (await ask("v1/models", {}, 10)).models;
}

/**
 * What a version of a model says of an image, by name of an output: `(steps, units)` each where it
 * has a trace, else `(1, classes)` for the answer alone.
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
  // TensorFlow Serving leaves out the name of a lone output.
  const named = Array.isArray(outputs) ? { probabilities: outputs } : outputs;
  if (hasTrace) return Object.fromEntries(Object.entries(named).map(([k, v]) => [k, v[0]]));
  if (!named.probabilities) throw new ApiError(400, "The model gives no probabilities.");
  return { probabilities: named.probabilities };
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
