// All runs as the server last told them; who listens is told which have changed.
import { ask } from "./api.js";

export const runs = new Map();
export const facts = {};
const listeners = new Set();
const told = new Map(); // which message of the stream spoke last of a run
let messages = 0;
let source = null;

// The whole list; what the stream said while it was on its way is newer.
export async function load() {
  const began = messages;
  const newer = (name) => (told.get(name) ?? 0) > began;
  const answer = await ask("/api/runs");
  Object.assign(facts, {
    directory: answer.directory,
    plotly: answer.plotly,
    version: answer.version,
    complete: answer.complete,
  });
  const names = new Set(answer.runs.map((row) => row.id));
  const changed = new Set();
  for (const row of answer.runs) {
    if (newer(row.id)) continue;
    if (JSON.stringify(runs.get(row.id)) !== JSON.stringify(row)) changed.add(row.id);
    runs.set(row.id, row);
  }
  for (const name of [...runs.keys()]) {
    if (!names.has(name) && !newer(name)) {
      runs.delete(name);
      changed.add(name);
    }
  }
  if (changed.size) notify(changed);
}

export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// A page that nobody sees does not listen: a browser opens few connections to one server.
export function follow() {
  document.addEventListener("visibilitychange", () => (document.hidden ? pause() : resume()));
  if (!document.hidden) connect();
}

function resume() {
  if (source) return;
  load().catch(() => {});
  connect();
}

function connect() {
  source = new EventSource("/api/live");
  source.addEventListener("open", () => {
    say("live");
    load().catch(() => {});
  });
  source.addEventListener("error", () => say("lost"));
  source.addEventListener("message", (event) => {
    const { runs: rows, gone } = JSON.parse(event.data);
    messages += 1;
    for (const name of [...rows.map((row) => row.id), ...gone]) told.set(name, messages);
    for (const row of rows) runs.set(row.id, row);
    for (const name of gone) runs.delete(name);
    notify(new Set([...rows.map((row) => row.id), ...gone]));
  });
}

function pause() {
  source?.close();
  source = null;
}

function notify(changed) {
  for (const listener of [...listeners]) listener(changed);
}

function say(state) {
  const place = document.getElementById("live");
  place.dataset.state = state;
  place.textContent = state === "live" ? "live" : "not connected";
}
