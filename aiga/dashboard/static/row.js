// A run, and a folder of runs, as rows of the list.
import { ago, command, copier, duration, h, money, number, picture, progress, spark, status } from "./dom.js";
import { facts } from "./live.js";

// `fold()` opens or closes it.
export function heading(folder, members, closed, fold) {
  const toggle = h(
    "button",
    {
      type: "button",
      class: "fold",
      "aria-expanded": String(!closed),
      onclick: fold,
    },
    closed ? "▸ " : "▾ ",
    h("strong", {}, folder),
    ` ${members.length} run${members.length === 1 ? "" : "s"}`,
  );
  const link =
    members.length > 1 ? h("a", { href: `#/compare?${new URLSearchParams({ folder })}` }, "compare all") : null;
  const states = [...new Set(members.map((row) => row.status))].map((name) => status({ status: name }));
  return h("div", { class: "folder" }, toggle, states, h("span", { class: "grow" }), link);
}

// `tick(on)` takes it into the comparison, or out of it.
export function entry(row, ticked, tick) {
  const address = `#/run?${new URLSearchParams({ id: row.id })}`;
  const named = `Compare ${row.id}`;
  const box = h("input", { type: "checkbox", checked: ticked, "aria-label": named, tabindex: "-1" });
  box.addEventListener("change", () => tick(box.checked));
  const name = row.id === "." ? facts.directory : row.id.slice(row.id.lastIndexOf("/") + 1);
  const thumb = h("a", { class: "thumb", href: address, tabindex: "-1", "aria-hidden": "true" }, face(row));
  const title = h(
    "div",
    { class: row.fault ? "title wrong" : "title" },
    h("a", { href: address, tabindex: "-1" }, name),
    h("small", {}, row.fault ?? row.title ?? ""),
  );
  const done = h(
    "div",
    { class: "done" },
    row.steps === undefined ? null : h("span", {}, `${number(row.steps)} step${row.steps === 1 ? "" : "s"}`),
    h("span", {}, duration(row.seconds)),
    progress(row),
  );
  const cost = h(
    "div",
    { class: "cost" },
    row.model ? h("span", { class: "ellipsis", title: row.model }, row.model) : null,
    money(row.cost),
  );
  const latest = h(
    "div",
    { class: "latest" },
    headlines(row).map(([metric, value]) => h("span", { class: "ellipsis" }, `${metric} `, h("b", {}, number(value)))),
  );
  const began = row.created
    ? h("time", { datetime: row.created, title: row.created }, ago(Date.parse(row.created)))
    : null;
  const end = h(
    "div",
    { class: "end" },
    began,
    ["finished", "reading", "unreadable"].includes(row.status) || !command(row.command)
      ? null
      : copier(command(row.command), "resume"),
  );
  const element = h(
    "div",
    { class: "run", tabindex: "-1", role: "group", "aria-label": `${row.id}, ${row.status}` },
    box,
    thumb,
    title,
    status(row),
    done,
    latest,
    cost,
    end,
  );
  element.open = () => (location.hash = address);
  element.addEventListener("click", (event) => {
    if (!event.target.closest("a, button, input") && !String(getSelection())) element.open();
  });
  return element;
}

function headlines(row) {
  return (row.headlines ?? []).map((name) => [name, row.metrics[name]]);
}

// The last picture; else a curve of the first of the metrics that say most.
function face(row) {
  if (row.picture) return h("img", { src: picture(row.id, row.picture, row.version), alt: "", loading: "lazy" });
  if (row.spark?.length > 1) return spark(row.spark);
  return h("span", {}, (row.system ?? "?").slice(0, 1).toUpperCase());
}
