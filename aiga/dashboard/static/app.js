// The page: which view the address names.
import * as compare from "./compare.js";
import { h } from "./dom.js";
import * as keys from "./keys.js";
import * as list from "./list.js";
import * as live from "./live.js";
import * as panel from "./panel.js";
import { fetchLibrary } from "./plot.js";
import * as run from "./run.js";

const main = document.getElementById("main");
const PAGES = { "": list, run, compare };
let shown = null;

function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const place = new URLSearchParams(query);
  const name = path in PAGES ? path : "";
  const key = name === "run" ? `run ${place.get("id")}` : `${name} ${query}`;
  if (shown?.key !== key) {
    shown?.page.close();
    panel.close();
    shown = { key, page: PAGES[name].show(main, place) };
    scrollTo(0, 0);
  } else shown.page.moved?.(place);
  if (name === "run" && place.get("who")) panel.show(place.get("id"), place.get("who"), (who) => go(place, who));
  else panel.close();
}

function go(place, who) {
  const next = new URLSearchParams(place);
  if (who === null) next.delete("who");
  else next.set("who", who);
  location.hash = `#/run?${next}`;
}

// A link that a run's texts may hold leads nowhere but to what the dashboard itself shows.
function stay(event) {
  const link = event.target.closest?.("a");
  const address = link && (link.href?.baseVal ?? link.getAttribute("href") ?? link.getAttribute("xlink:href"));
  if (address && new URL(address, location.href).origin !== location.origin) event.preventDefault();
}

async function start() {
  keys.listen();
  document.addEventListener("click", stay, true);
  document.addEventListener("auxclick", stay, true);
  try {
    await live.load();
  } catch (error) {
    main.replaceChildren(h("p", { class: "fault", role: "alert" }, error.message));
    return;
  }
  document.getElementById("where").textContent = live.facts.directory;
  addEventListener("hashchange", route);
  route();
  live.follow();
  (window.requestIdleCallback ?? setTimeout)(() => fetchLibrary().catch(() => {}));
}

start();
