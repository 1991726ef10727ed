// The keyboard: what is pressed anywhere, and the sheet that says so.
import { h } from "./dom.js";
import * as panel from "./panel.js";

const KEYS = [
  ["/", "filter the runs, or search"],
  ["↑ ↓, j k", "next and previous run in the list"],
  ["Enter", "open the run"],
  ["x, space", "tick the run to compare it"],
  ["c", "compare the ticked runs"],
  ["← →", "next and previous view, on the tabs"],
  ["1 … 9", "the first, second, … view of a run"],
  ["g", "to the list of runs"],
  ["t", "light or dark"],
  ["?", "these keys"],
  ["Esc", "close a panel, leave a field"],
];

export function listen() {
  document.addEventListener("keydown", pressed);
  document.getElementById("help").addEventListener("click", help);
  document.getElementById("theme").addEventListener("click", () => window.theme.toggle());
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const field = event.target.closest?.("input:not([type=checkbox]), textarea, select");
  if (event.key === "Escape") {
    if (field) field.blur();
    else if (!panel.leave()) document.querySelector("details.menu[open]")?.removeAttribute("open");
    return;
  }
  if (field) return;
  const action =
    ACTIONS[event.key] ??
    (/^[1-9]$/.test(event.key) ? () => document.querySelectorAll('[role="tab"]')[event.key - 1]?.click() : null);
  if (!action) return;
  event.preventDefault();
  action();
}

const ACTIONS = {
  "/": () => document.querySelector('main input[type="search"]')?.focus(),
  "?": help,
  t: () => window.theme.toggle(),
  g: () => (location.hash = "#/"),
  c: () => document.querySelector(".tools > button.main:not([hidden]):not(:disabled)")?.click(),
};

function help() {
  const close = h("button", { type: "button", class: "plain", "aria-label": "Close" }, "✕");
  const rows = KEYS.map(([key, what]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)));
  const dialog = h(
    "dialog",
    { class: "keys", "aria-label": "Keys" },
    h("header", {}, h("strong", {}, "Keys"), close),
    h("dl", {}, rows),
  );
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
