// What can be chosen about a view.  A choice stands in the address, so that a link shows what its sender saw.
import { h } from "./dom.js";

const CLOCKS = { "": "step", seconds: "seconds", evaluations: "evaluations" };

export function tools(view, choices, told, choose) {
  return view === "curves" ? curves(choices, Object.entries(told.metrics ?? {}), choose) : [];
}

export function curves(choices, metrics, choose) {
  const names = metrics.filter(([name, value]) => typeof value !== "string" && !["run/steps", "run/seconds"].includes(name)).map(([name]) => name);
  const log = choices.log ?? "";
  return [picker(names, (choices.names ?? "").split(",").filter(Boolean), choose), axis(choices, choose), toggle("log x", "x", log, choose), toggle("log y", "y", log, choose)];
}

function picker(names, chosen, choose) {
  const boxes = names.map((name) => {
    const box = h("input", { type: "checkbox", checked: chosen.includes(name), value: name });
    return h("label", {}, box, name);
  });
  const apply = () => choose({ names: boxes.map((label) => label.firstChild).filter((box) => box.checked).map((box) => box.value).join(",") });
  const search = h("input", { type: "search", placeholder: "Filter the metrics", "aria-label": "Filter the metrics" });
  search.addEventListener("input", () => {
    for (const label of boxes) label.hidden = !label.textContent.toLowerCase().includes(search.value.toLowerCase());
  });
  const none = h("button", { type: "button", onclick: () => choose({ names: null }) }, "all");
  const done = h("button", { type: "button", class: "main", onclick: apply }, "show");
  const list = h("div", { class: "boxes" }, boxes);
  const summary = chosen.length ? `${chosen.length} of ${names.length} metrics` : `${names.length} metrics`;
  return h("details", { class: "menu" }, h("summary", {}, summary), h("div", { class: "sheet" }, search, list, h("div", { class: "line" }, none, done)));
}

function axis(choices, choose) {
  const select = h("select", { "aria-label": "Horizontal axis" }, Object.entries(CLOCKS).map(([value, label]) => h("option", { value, selected: (choices.x ?? "") === value }, `against ${label}`)));
  select.addEventListener("change", () => choose({ x: select.value || null }));
  return select;
}

function toggle(label, letter, log, choose) {
  const on = log.includes(letter);
  const next = on ? log.replace(letter, "") : [...log + letter].sort().join("");
  return h("button", { type: "button", class: "plain", "aria-pressed": String(on), onclick: () => choose({ log: next || null }) }, label);
}
