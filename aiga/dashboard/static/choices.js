// What can be chosen about a view.  A choice stands in the address, so that a link shows what its sender saw.
import { h } from "./dom.js";
import { whole } from "./figures.js";

const CLOCKS = { "": "against step", seconds: "against seconds", evaluations: "against evaluations" };

export function tools(view, choices, told, choose) {
  if (view === "curves") return curves(choices, Object.entries(told.metrics ?? {}), choose);
  if (view === "lineage") return [rise(choices, choose), someone(choose), marked(choices, choose)].filter(Boolean);
  if (view === "archive" || view === "cloud") return [axes(choices, choose), someone(choose)];
  return [];
}

function rise(choices, choose) {
  const ways = { "": "by step of birth", generation: "by generation" };
  return select("What is up", ways, choices.y, (y) => choose({ y }));
}

// Points are clicked; this is the way by keys.
function someone(choose) {
  const field = h("input", { type: "text", class: "axes", placeholder: "12.3", spellcheck: "false" });
  field.addEventListener("change", () => {
    const who = whole(field.value.trim());
    field.setCustomValidity(who ? "" : "Birth step and index as in 12.3, the number of an individual, or c4.5.");
    if (field.reportValidity()) choose({ who });
  });
  return h("label", { class: "field", title: "Open an individual by its name" }, "individual", field);
}

export function curves(choices, metrics, choose) {
  const names = metrics
    .filter(([name, value]) => typeof value !== "string" && !["run/steps", "run/seconds"].includes(name))
    .map(([name]) => name);
  const log = choices.log ?? "";
  return [
    picker(names, (choices.names ?? "").split(",").filter(Boolean), choose),
    axis(choices, choose),
    toggle("log x", "x", log, choose),
    toggle("log y", "y", log, choose),
  ];
}

function picker(names, chosen, choose) {
  const boxes = names.map((name) => {
    const box = h("input", { type: "checkbox", checked: chosen.includes(name), value: name });
    return h("label", {}, box, name);
  });
  const apply = () =>
    choose({
      names: boxes
        .map((label) => label.firstChild)
        .filter((box) => box.checked)
        .map((box) => box.value)
        .join(","),
    });
  const search = h("input", { type: "search", placeholder: "Filter the metrics", "aria-label": "Filter the metrics" });
  search.addEventListener("input", () => {
    for (const label of boxes) label.hidden = !label.textContent.toLowerCase().includes(search.value.toLowerCase());
  });
  const none = h("button", { type: "button", onclick: () => choose({ names: null }) }, "all");
  const done = h("button", { type: "button", class: "main", onclick: apply }, "show");
  const list = h("div", { class: "boxes" }, boxes);
  const summary = chosen.length ? `${chosen.length} of ${names.length} metrics` : `${names.length} metrics`;
  return h(
    "details",
    { class: "menu" },
    h("summary", {}, summary),
    h("div", { class: "sheet" }, search, list, h("div", { class: "line" }, none, done)),
  );
}

function axis(choices, choose) {
  return select("Horizontal axis", CLOCKS, choices.x, (x) => choose({ x }));
}

function select(label, options, chosen, choose) {
  const made = h(
    "select",
    { "aria-label": label },
    Object.entries(options).map(([value, text]) => h("option", { value, selected: (chosen ?? "") === value }, text)),
  );
  made.addEventListener("change", () => choose(made.value || null));
  return made;
}

// Behaviour may have more dimensions than a picture.
function axes(choices, choose) {
  const field = h("input", {
    type: "text",
    class: "axes",
    placeholder: "1, 2",
    value: choices.x || choices.y ? `${choices.x ?? 1}, ${choices.y ?? 2}` : "",
    spellcheck: "false",
  });
  field.addEventListener("change", () => {
    const [x, y] = field.value.split(",").map((part) => part.trim());
    choose({ x: x || null, y: y || null });
  });
  return h("label", { class: "field", title: "Two dimensions of behaviour, by number" }, "axes", field);
}

function marked(choices, choose) {
  if (!choices.name) return null;
  return h(
    "button",
    { type: "button", class: "chip", title: "Mark the line of the best again", onclick: () => choose({ name: null }) },
    `line of ${choices.name} ✕`,
  );
}

function toggle(label, letter, log, choose) {
  const on = log.includes(letter);
  const next = on ? log.replace(letter, "") : [...(log + letter)].sort().join("");
  return h(
    "button",
    { type: "button", class: "plain", "aria-pressed": String(on), onclick: () => choose({ log: next || null }) },
    label,
  );
}
