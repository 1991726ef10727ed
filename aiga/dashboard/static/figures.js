// Figures as cards: whatever `aiga.inspect.views` gives.  A second list of figures takes the places of the first.
import { h, picture } from "./dom.js";
import { rebuilt } from "./markup.js";
import { Plot, individual } from "./plot.js";

const LARGEST = 4e6; // letters of a drawing
const BEYOND = /<\s*(image|use|style|foreignObject|animate|set|pattern|mask|filter)\b/i;
const LONG = 40; // rows of a table that are shown at once

export class Figures {
  constructor(id, { onindividual } = {}) {
    this.id = id;
    this.onindividual = onindividual;
    this.place = h("div", { class: "figures" });
    this.cards = [];
    this.click = (event) => this.chosen(event);
    this.place.addEventListener("click", this.click);
  }

  show(figures) {
    const before = this.cards;
    this.cards = figures.map((figure, i) => this.card(figure, before[i]));
    for (const card of before) if (!this.cards.includes(card)) card.plot?.close();
    const elements = this.cards.map((card) => card.element);
    if (
      elements.some((element, i) => this.place.children[i] !== element) ||
      elements.length !== this.place.children.length
    ) {
      this.place.replaceChildren(...elements);
    }
    this.place.classList.toggle(
      "pictures",
      figures.length > 1 && figures.every((figure) => ["picture", "film"].includes(figure.kind)),
    );
  }

  card(figure, before) {
    const text = figure.kind === "plotly" ? null : JSON.stringify(figure);
    if (before && before.kind === figure.kind && before.title === figure.title) {
      if (text !== null && text === before.text) return before;
      this.fill(before, figure);
      before.text = text;
      return before;
    }
    const body = h("div", { class: `content ${figure.kind}` });
    const head = figure.title ? h("h2", {}, figure.title) : null;
    const caption = h("p", { class: "caption" });
    const element = h("section", { class: "card" }, head, body, caption);
    const made = { kind: figure.kind, title: figure.title, element, body, caption, text };
    this.fill(made, figure);
    return made;
  }

  fill(card, figure) {
    card.caption.textContent = figure.caption ?? "";
    card.caption.hidden = !figure.caption;
    if (figure.kind === "plotly") {
      if (!card.plot) {
        card.plot = new Plot(this.onindividual);
        card.body.replaceChildren(card.plot.place);
      }
      card.plot.show(figure.figure);
      return;
    }
    const opened = [...card.body.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent);
    card.body.replaceChildren(this.content(figure));
    for (const summary of card.body.querySelectorAll("details > summary")) {
      if (opened.includes(summary.textContent)) summary.parentElement.open = true;
    }
  }

  content(figure) {
    if (figure.kind === "markup") return rebuilt(figure.html);
    if (figure.kind === "table") return table(figure, this.onindividual);
    if (figure.kind === "missing") return h("p", { class: "fault" }, figure.reason);
    const address = picture(this.id, figure.file, figure.time);
    if (figure.file.toLowerCase().endsWith(".svg")) return drawing(address, figure.title);
    if (figure.kind === "film")
      return h("video", { src: address, controls: true, loop: true, muted: true, preload: "metadata" });
    return painting(address, figure.title);
  }

  chosen(event) {
    const marked = event.target.closest?.("[data-individual]");
    const name = marked && individual(marked.dataset.individual);
    if (name) this.onindividual?.(name);
  }

  close() {
    for (const card of this.cards) card.plot?.close();
    this.cards = [];
  }
}

function painting(address, title) {
  const image = h("img", { src: address, alt: title, loading: "lazy" });
  const open = () => enlarge(address, title);
  return h("button", { class: "zoom", type: "button", "aria-label": `Enlarge ${title}`, onclick: open }, image);
}

// A drawing stands in the page itself, so that what its marks say is shown; one with more than shapes is a picture.
function drawing(address, title) {
  const place = h("div");
  fetch(address)
    .then((response) => response.text())
    .then((text) =>
      place.replaceChildren(text.length < LARGEST && !BEYOND.test(text) ? rebuilt(text) : painting(address, title)),
    )
    .catch(() => place.replaceChildren(painting(address, title)));
  return place;
}

function table(figure, onindividual) {
  if (!figure.rows.length) return h("p", { class: "none" }, "nothing");
  const body = h("tbody");
  const all = figure.rows.map(
    (row) => () =>
      h(
        "tr",
        {},
        row.map((cell, i) => h("td", {}, linked(cell, figure.columns[i], row, onindividual))),
      ),
  );
  body.append(...all.slice(0, LONG).map((make) => make()));
  const head = h(
    "thead",
    {},
    h(
      "tr",
      {},
      figure.columns.map((column) => h("th", { scope: "col" }, column)),
    ),
  );
  const made = h("div", { class: "scroll" }, h("table", {}, head, body));
  const left = figure.left
    ? h("p", { class: "none" }, `${figure.left.toLocaleString("en")} more rows are not shown.`)
    : null;
  if (all.length <= LONG) return h("div", {}, made, left);
  const more = h("button", { type: "button", class: "more" }, `Show all ${all.length.toLocaleString("en")} rows`);
  more.addEventListener("click", () => {
    body.append(...all.slice(LONG).map((make) => make()));
    more.remove();
  });
  return h("div", {}, made, more, left);
}

// Individuals that a cell names, as 12.3 (birth step and index), by their number or c4.5, open when they are clicked.
const NAMED = /\bc\d{1,12}\.\d{1,12}\b|\b\d{1,10}\.\d{1,10}\b|\b\d{10,19}\b/g;
const NAMING = /^(individuals?|parents?|children|ancestors?|elites?|founders?|replaced|best|longest living line)$/i;

function linked(cell, column, row, onindividual) {
  const fact = row[0] !== cell ? row[0] : "";
  if (!onindividual || !(NAMING.test(column) || NAMING.test(fact) || /\(\d+\.\d+\)$/.test(cell))) return cell;
  const parts = [];
  let end = 0;
  for (const match of cell.matchAll(NAMED)) {
    const name = whole(match[0]);
    if (!name || (cell.endsWith(")") && !NAMING.test(column) && !NAMING.test(fact) && cell[match.index - 1] !== "("))
      continue;
    parts.push(
      cell.slice(end, match.index),
      h("button", { type: "button", class: "link", onclick: () => onindividual(name) }, match[0]),
    );
    end = match.index + match[0].length;
  }
  return [...parts, cell.slice(end)];
}

// The number of an individual that is written as birth step and index.
export function whole(text) {
  const pair = /^(\d+)\.(\d+)$/.exec(text);
  return pair ? individual(String((BigInt(pair[1]) << 32n) | BigInt(pair[2]))) : individual(text);
}

export function enlarge(address, title) {
  const image = h("img", { src: address, alt: title });
  const close = h("button", { type: "button", class: "plain", "aria-label": "Close" }, "✕");
  const open = h("a", { href: address, target: "_blank", rel: "noopener" }, "open alone");
  const dialog = h(
    "dialog",
    { class: "lightbox", "aria-label": title },
    h("header", {}, h("strong", {}, title), open, close),
    image,
  );
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
