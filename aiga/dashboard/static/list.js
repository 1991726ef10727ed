// All runs: as a table or as cards, filtered, sorted, in groups by folder; several can be ticked to be compared.
import { ago, h } from "./dom.js";
import { facts, listen, runs } from "./live.js";
import { entry, heading } from "./row.js";

const SORTS = {
  newest: ["Written last", (row) => -row.written],
  started: ["Started last", (row) => -(Date.parse(row.created) || 0)],
  name: ["Name", (row) => row.id],
  system: ["System", (row) => row.system ?? "~"],
  status: ["Status", (row) => row.status],
  steps: ["Steps", (row) => -(row.steps ?? -1)],
  seconds: ["Time", (row) => -(row.seconds ?? -1)],
  cost: ["Cost", (row) => -(row.cost?.usd ?? -1)],
};
const BATCH = 200;
const FOLDED = 6; // a folder with more runs begins closed
const chosen = {
  text: "",
  status: "",
  sort: "newest",
  cards: false,
  shown: BATCH,
  ticked: new Set(),
  folds: new Map(),
};
if (sessionStorage.getItem("aiga-cards") === "1") chosen.cards = true;

export function show(main) {
  const state = { made: new Map() };
  const filter = h("input", {
    type: "search",
    id: "filter",
    placeholder: "Filter: name, system, option, model …",
    "aria-label": "Filter the runs",
    value: chosen.text,
    spellcheck: "false",
  });
  const counts = h("div", { class: "chips", role: "group", "aria-label": "Status" });
  const sort = h(
    "select",
    { "aria-label": "Sort by" },
    Object.entries(SORTS).map(([name, [label]]) => h("option", { value: name, selected: name === chosen.sort }, label)),
  );
  const form = h("button", { type: "button", class: "plain", "aria-pressed": String(chosen.cards) }, "cards");
  const compare = h("button", { type: "button", class: "main" });
  const rows = h("div", { class: "runs", id: "runs" });
  const notice = h("p", { class: "none" });
  main.replaceChildren(
    h("h1", { class: "away" }, "Runs"),
    h("div", { class: "tools" }, filter, counts, h("span", { class: "grow" }), compare, sort, form),
    rows,
    notice,
  );

  const update = () => {
    const found = filtered();
    drawCounts(counts, update);
    draw(rows, found, state, update);
    compare.hidden = chosen.ticked.size === 0;
    compare.disabled = chosen.ticked.size < 2;
    compare.textContent = chosen.ticked.size < 2 ? "tick another to compare" : `Compare ${chosen.ticked.size}`;
    notice.textContent = said(found.length);
  };
  let due = 0;
  const soon = () =>
    (due ||= requestAnimationFrame(() => {
      due = 0;
      update();
    }));
  for (const kind of ["input", "search"]) {
    filter.addEventListener(kind, () => {
      chosen.text = filter.value;
      chosen.shown = BATCH;
      soon();
    });
  }
  sort.addEventListener("change", () => {
    chosen.sort = sort.value;
    update();
  });
  form.addEventListener("click", () => {
    chosen.cards = !chosen.cards;
    sessionStorage.setItem("aiga-cards", chosen.cards ? "1" : "0");
    form.setAttribute("aria-pressed", String(chosen.cards));
    state.made.clear();
    rows.replaceChildren();
    update();
  });
  compare.addEventListener("click", () => (location.hash = compareAddress([...chosen.ticked])));
  rows.addEventListener("keydown", (event) => keys(event, rows));
  update();
  const clock = setInterval(() => {
    for (const time of rows.querySelectorAll("time")) time.textContent = ago(Date.parse(time.dateTime));
  }, 20000);
  const deaf = listen(soon);
  document.title = "Runs · aiga";
  return { close: () => (deaf(), clearInterval(clock)) };
}

export function compareAddress(names) {
  return `#/compare?${new URLSearchParams(names.map((name) => ["run", name]))}`;
}

function said(found) {
  if (!runs.size)
    return `There are no runs in ${facts.directory}. Start one: aiga run map_elites --out ${facts.directory}/first`;
  if (!found) return "No run fits the filter.";
  return facts.complete ? "" : "There are more folders here than can be shown: start the dashboard in one of them.";
}

function filtered() {
  const words = chosen.text.toLowerCase().split(/\s+/).filter(Boolean);
  const key = SORTS[chosen.sort][1];
  const fits = (row) =>
    (!chosen.status || row.status === chosen.status) && words.every((word) => haystack(row).includes(word));
  const found = [...runs.values()].filter(fits).map((row) => [key(row), row]);
  found.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x.id < y.id ? -1 : 1));
  return found.map(([, row]) => row);
}

function haystack(row) {
  if (row.words === undefined) {
    const options = Object.entries(row.options ?? {}).map(([name, value]) => `${name}=${value}`);
    const parts = [row.id, row.system, row.title, row.status, row.model, `seed=${row.seed}`, ...options];
    Object.defineProperty(row, "words", { value: parts.join(" ").toLowerCase(), enumerable: false });
  }
  return row.words;
}

function drawCounts(place, update) {
  const counted = {};
  for (const row of runs.values()) counted[row.status] = (counted[row.status] ?? 0) + 1;
  const chips = [
    ["", `all ${runs.size}`],
    ...Object.entries(counted)
      .sort()
      .map(([name, count]) => [name, `${name} ${count}`]),
  ];
  const text = JSON.stringify([chips, chosen.status]);
  if (place.text === text) return;
  place.text = text;
  place.replaceChildren(
    ...chips.map(([name, label]) =>
      h(
        "button",
        {
          type: "button",
          class: `chip ${name}`,
          "aria-pressed": String(chosen.status === name),
          onclick: () => {
            chosen.status = chosen.status === name ? "" : name;
            update();
          },
        },
        label,
      ),
    ),
  );
}

function draw(place, found, state, update) {
  const wanted = [];
  for (const [folder, members] of folders(found.slice(0, chosen.shown))) {
    const closed = folder !== "" && (chosen.folds.get(folder) ?? (members.length > FOLDED && !chosen.text));
    const states = JSON.stringify([members.map((row) => row.status), closed]);
    const fold = () => {
      chosen.folds.set(folder, !closed);
      update();
    };
    if (folder) wanted.push(kept(state, `folder ${folder}`, states, () => heading(folder, members, closed, fold)));
    if (!closed) wanted.push(...members.map((row) => line(row, state, update)));
  }
  if (found.length > chosen.shown) {
    wanted.push(
      h(
        "button",
        {
          type: "button",
          class: "more",
          onclick: () => {
            chosen.shown += BATCH;
            update();
          },
        },
        `Show more (${(found.length - chosen.shown).toLocaleString("en")} left)`,
      ),
    );
  }
  place.classList.toggle("cards", chosen.cards);
  if (wanted.length === place.children.length && wanted.every((element, i) => place.children[i] === element)) return;
  const focused = document.activeElement?.closest?.("[data-key]")?.dataset.key;
  place.replaceChildren(...wanted);
  const rows = [...place.querySelectorAll(".run")];
  for (const row of rows) row.tabIndex = -1;
  if (rows.length) (rows.find((row) => row.dataset.key === focused) ?? rows[0]).tabIndex = 0;
  if (focused !== undefined && !place.contains(document.activeElement))
    rows.find((row) => row.dataset.key === focused)?.focus();
}

function line(row, state, update) {
  const ticked = chosen.ticked.has(row.id);
  const tick = (on) => {
    chosen.ticked[on ? "add" : "delete"](row.id);
    update();
  };
  return kept(state, row.id, JSON.stringify([row, ticked]), () => entry(row, ticked, tick));
}

// An element that is made again only when what it shows has changed.
function kept(state, key, text, make) {
  const before = state.made.get(key);
  if (before?.text === text) return before.element;
  const element = make();
  element.dataset.key = key;
  state.made.set(key, { text, element });
  return element;
}

function folders(found) {
  const groups = new Map();
  for (const row of found) {
    const folder = row.id.includes("/") ? row.id.slice(0, row.id.lastIndexOf("/")) : "";
    if (!groups.has(folder)) groups.set(folder, []);
    groups.get(folder).push(row);
  }
  return groups;
}

function keys(event, place) {
  const row = event.target.closest(".run");
  if (!row || event.target !== row || event.ctrlKey || event.metaKey || event.altKey) return;
  const rows = [...place.querySelectorAll(".run")];
  const at = rows.indexOf(row);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, j: at + 1, k: at - 1, Home: 0, End: rows.length - 1 }[event.key];
  if (to !== undefined) {
    const next = rows[Math.max(0, Math.min(rows.length - 1, to))];
    row.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  } else if (event.key === "Enter") row.open();
  else if (event.key === " " || event.key === "x") row.querySelector("input").click();
  else return;
  event.preventDefault();
}
