// What a run is and how far it is: the head of its page.
import { ago, command, copier, duration, h, money, number, progress, status } from "./dom.js";
import { facts } from "./live.js";

const COUNTS = new Set(["run/steps", "run/seconds"]);
const TILES = 10;

export function head(id, row, opened) {
  const folder = id.slice(0, id.lastIndexOf("/") + 1);
  const name = id === "." ? facts.directory : id.slice(folder.length);
  const wrong = row.fault || row.reason;
  return [
    h("p", { class: "crumbs" }, h("a", { href: "#/" }, "runs"), " / ", folder),
    h("div", { class: "line" }, h("h1", {}, name), status(row), progress(row)),
    h("p", { class: "what" }, row.title ?? ""),
    wrong ? h("p", { class: "fault", role: "alert" }, wrong) : "",
    pairs("facts", known(row)),
    tiles(row.metrics ?? {}),
    asked(row, opened),
  ];
}

function known(row) {
  const limits = Object.entries(row.facts?.limits ?? {}).filter(([, value]) => value);
  const all = {
    steps: row.steps === undefined ? null : number(row.steps),
    time: row.seconds === undefined ? null : duration(row.seconds),
    seed: row.seed,
    started: row.created ? ago(Date.parse(row.created)) : null,
    model: row.model,
    cost: money(row.cost),
    sandbox: row.sandbox,
    on: [row.facts?.device, row.facts?.platform].filter(Boolean).join(", "),
    limits: limits.map(([name, value]) => `${value} ${name}`).join(", "),
  };
  return Object.entries(all).filter(([, value]) => value !== null && value !== undefined && value !== "");
}

function tiles(metrics) {
  const shown = Object.entries(metrics).filter(([name]) => !COUNTS.has(name));
  const tile = ([name, value]) =>
    h("div", { class: "tile" }, h("b", { title: String(value) }, number(value)), h("span", { title: name }, name));
  return h("div", { class: "tiles" }, shown.slice(0, TILES).map(tile));
}

function asked(row, opened) {
  const options = Object.entries(row.options ?? {});
  const typed = row.command ? command(row.command) : "";
  const resume = typed ? h("p", { class: "command" }, h("code", {}, typed), copier(typed)) : null;
  const summary = h("summary", {}, `Options (${options.length}) and how to go on`);
  return h("details", { class: "asked", open: opened }, summary, resume, pairs("options", options));
}

function pairs(kind, entries) {
  const pair = ([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)));
  return h("dl", { class: kind }, entries.map(pair));
}
