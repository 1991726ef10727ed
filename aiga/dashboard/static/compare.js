// Several runs side by side.
import { askAgain } from "./api.js";
import { curves } from "./choices.js";
import { h, status } from "./dom.js";
import { Figures } from "./figures.js";
import { listen, runs } from "./live.js";
import { fetchLibrary } from "./plot.js";
import { waiting } from "./waiting.js";

const CALM = 3000;
const MANY = 8; // runs that are not named until they are asked for

export function show(main, place) {
  const names = place.getAll("run");
  const folder = place.get("folder");
  const among = (name) => names.includes(name) || (folder !== null && name.startsWith(`${folder}/`));
  const members = h("div", { class: "asked" });
  const tools = h("div", { class: "tools" });
  const view = h("div", { class: "view" });
  const figures = new Figures(".");
  main.replaceChildren(
    h(
      "div",
      { class: "head" },
      h("p", { class: "crumbs" }, h("a", { href: "#/" }, "runs")),
      h("h1", {}, folder ?? `${names.length} runs compared`),
      members,
    ),
    tools,
    view,
  );
  document.title = `${folder ?? "Compare"} · aiga`;
  fetchLibrary().catch(() => {});
  const answer = {};
  const aborted = new AbortController();
  let next = 0,
    timer = 0,
    busy = false;

  const go = (changes) => {
    const changed = new URLSearchParams(place);
    for (const [name, value] of Object.entries(changes))
      value === null || value === "" ? changed.delete(name) : changed.set(name, value);
    location.hash = `#/compare?${changed}`;
  };
  const head = () => {
    const rows = [...runs.values()].filter((row) => among(row.id)).sort((a, b) => (a.id < b.id ? -1 : 1));
    const short = (id) => (folder !== null ? id.slice(folder.length + 1) : id);
    const told = rows.map((row) => {
      const link = h("a", { href: `#/run?${new URLSearchParams({ id: row.id })}` }, short(row.id));
      return h("span", { class: "member" }, link, status(row));
    });
    const open = members.querySelector("details")?.open ?? rows.length <= MANY;
    const states = [...new Set(rows.map((row) => row.status))].map((name) => status({ status: name }));
    const summary = h("summary", {}, `${rows.length} runs `, ...states);
    members.replaceChildren(h("details", { open }, summary, h("div", { class: "members" }, told)));
    const metrics = new Map(rows.flatMap((row) => Object.entries(row.metrics ?? {})));
    if (!tools.children.length && metrics.size)
      tools.replaceChildren(...curves(Object.fromEntries(place), [...metrics], go), bands(place, go));
  };
  const refresh = async (first) => {
    busy = true;
    const wait = waiting("Drawing");
    if (first) view.replaceChildren(wait.element);
    const began = performance.now();
    try {
      const found = await askAgain("/api/compare", [...place], answer, { signal: aborted.signal });
      if (found) figures.show(found);
      view.replaceChildren(figures.place);
    } catch (error) {
      if (error.name !== "AbortError") view.replaceChildren(h("p", { class: "fault", role: "alert" }, error.message));
    } finally {
      wait.stop();
      busy = false;
      next = performance.now() + Math.max(CALM, 3 * (performance.now() - began));
    }
  };
  const deaf = listen((changed) => {
    head();
    if (![...changed].some(among) || busy) return;
    clearTimeout(timer);
    timer = setTimeout(() => refresh(false), Math.max(0, next - performance.now()));
  });
  head();
  refresh(true);
  return {
    close() {
      deaf();
      aborted.abort();
      clearTimeout(timer);
      figures.close();
    },
  };
}

function bands(place, go) {
  const on = place.get("bands") !== "0";
  return h(
    "button",
    {
      type: "button",
      class: "plain",
      "aria-pressed": String(on),
      title: "Seeds as a mean with its 95 % interval",
      onclick: () => go({ bands: on ? "0" : null }),
    },
    "bands",
  );
}
