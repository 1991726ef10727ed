// Questions to the server.  An answer that has not changed since is not read again.

export class Refused extends Error {}

const tags = new WeakMap();

export async function ask(path, parameters = {}, options = {}) {
  const pairs = Array.isArray(parameters) ? parameters : Object.entries(parameters).filter(([, value]) => value !== "");
  const query = new URLSearchParams(pairs).toString();
  return answered(await sent(query ? `${path}?${query}` : path, options));
}

// `null` if the answer is the one that `before` holds the tag of.
export async function askAgain(path, parameters, before, options = {}) {
  const headers = tags.has(before) ? { "If-None-Match": tags.get(before) } : {};
  const response = await sent(`${path}?${new URLSearchParams(parameters)}`, { ...options, headers, cache: "no-store" });
  if (response.status === 304) return null;
  const value = await answered(response);
  tags.set(before, response.headers.get("ETag"));
  return value;
}

export function tell(path, question) {
  const headers = { "Content-Type": "application/json" };
  return sent(path, { method: "POST", headers, body: JSON.stringify(question) }).then(answered);
}

async function sent(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The dashboard does not answer: was it ended? Start it again with `aiga dashboard`.");
  }
}

async function answered(response) {
  if (response.ok) return response.json();
  const text = await response.text();
  let sentence = text;
  try {
    sentence = JSON.parse(text).error;
  } catch {}
  throw new Refused(sentence || `The dashboard answered ${response.status}.`);
}
