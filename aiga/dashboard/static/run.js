// The page of a run: what it is, how far it is, and its views as tabs.
import { Refused, ask, askAgain } from "./api.js";
import { tools } from "./choices.js";
import { h } from "./dom.js";
import { Figures } from "./figures.js";
import { head } from "./head.js";
import { listen, runs } from "./live.js";
import { Calls } from "./calls.js";
import { fetchLibrary } from "./plot.js";
import { waiting } from "./waiting.js";

const OWN = new Set(["id", "view", "who"]); // parts of the address that are no choices
const CALM = 1500; // milliseconds between two refreshes, or three times what one takes

export function show(main, place) {
  const page = new Page(main, place);
  page.start();
  return page;
}

class Page {
  constructor(main, place) {
    this.id = place.get("id") ?? "";
    this.place = place;
    this.head = h("div", { class: "head" });
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Views" });
    this.tools = h("div", { class: "tools" });
    this.view = h("div", { class: "view", id: "view", role: "tabpanel", tabindex: "-1" });
    main.replaceChildren(this.head, this.tabs, this.tools, this.view);
    this.figures = null;
    this.aborted = new AbortController();
    this.next = 0;
    this.deaf = listen((changed) => changed.has(this.id) && this.changed());
    this.tabs.addEventListener("keydown", (event) => this.arrows(event));
    document.title = `${this.id} · aiga`;
  }

  async start() {
    this.drawHead();
    fetchLibrary().catch(() => {});
    const wait = waiting("Reading the run");
    if (!this.told) this.view.replaceChildren(wait.element);
    try {
      this.told = await ask("/api/run", { run: this.id }, { signal: this.aborted.signal });
    } catch (error) {
      this.refuse(error);
      return;
    } finally {
      wait.stop();
    }
    this.drawHead();
    this.drawTabs();
    this.open();
  }

  // The address has changed within the run: another view, or other choices.
  moved(place) {
    const before = this.key();
    this.place = place;
    if (this.told && this.key() !== before) this.open();
  }

  key() {
    return JSON.stringify([this.current(), this.choices()]);
  }

  current() {
    const names = this.told.views.map((view) => view.name);
    const wanted = this.place.get("view");
    if (wanted && (names.includes(wanted) || !names.length)) return wanted;
    if (!wanted && this.shown && names.includes(this.shown)) return this.shown;
    return (this.told.views.find((view) => !view.slow) ?? this.told.views[0])?.name;
  }

  choices() {
    return Object.fromEntries([...this.place].filter(([name, value]) => !OWN.has(name) && value));
  }

  address(changes) {
    const place = new URLSearchParams(this.place);
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === "") place.delete(name);
      else place.set(name, value);
    }
    return `#/run?${place}`;
  }

  drawHead() {
    const opened = this.head.querySelector("details")?.open;
    this.head.replaceChildren(...head(this.id, { ...this.told, ...runs.get(this.id) }, Boolean(opened)));
  }

  drawTabs() {
    const current = this.current();
    const views = this.told.views;
    const text = JSON.stringify([views, current]);
    if (this.tabs.text === text) return;
    this.tabs.text = text;
    const focused = this.tabs.contains(document.activeElement);
    this.tabs.replaceChildren(
      ...views.map((view) =>
        h(
          "a",
          {
            role: "tab",
            id: `tab-${view.name}`,
            href: this.address({
              view: view.name,
              ...Object.fromEntries(Object.keys(this.choices()).map((name) => [name, null])),
            }),
            "aria-selected": String(view.name === current),
            "aria-controls": "view",
            tabindex: view.name === current ? "0" : "-1",
          },
          view.title,
        ),
      ),
    );
    this.view.setAttribute("aria-labelledby", `tab-${current}`);
    if (focused) this.tabs.querySelector('[aria-selected="true"]')?.focus();
  }

  arrows(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    const tabs = [...this.tabs.children];
    const next =
      tabs[(tabs.findIndex((tab) => tab.getAttribute("aria-selected") === "true") + step + tabs.length) % tabs.length];
    next?.click();
    event.preventDefault();
  }

  // Show the current view from nothing.
  open() {
    this.viewing?.abort();
    this.viewing = new AbortController();
    this.shown = null; // what was shown before says nothing about what is asked for
    this.opened = this.current();
    this.drawTabs();
    this.figures?.close();
    this.calls?.close();
    this.calls = null;
    clearTimeout(this.timer);
    const name = this.opened;
    this.tools.replaceChildren();
    if (!name) {
      this.view.replaceChildren(h("p", { class: "none" }, "There is nothing to see yet."));
      return;
    }
    const parts = tools(name, this.choices(), this.told, (changes) => (location.hash = this.address(changes)));
    this.tools.replaceChildren(...parts);
    this.figures = new Figures(this.id, { onindividual: (who) => (location.hash = this.address({ who })) });
    this.answer = {}; // names the figures shown, for `askAgain`
    const refused = name === "own" && this.told.refused;
    this.view.replaceChildren(...(refused ? [h("p", { class: "fault" }, this.told.refused)] : [this.figures.place]));
    if (name === "models") {
      this.calls = new Calls(this.id);
      this.view.append(this.calls.place);
    }
    if (!refused) this.refresh(true);
  }

  async refresh(first = false) {
    const { figures, answer, opened: name } = this;
    const slow = this.told.views.find((view) => view.name === name)?.slow;
    const wait = waiting(slow ? "Computing (jax may have to compile first)" : "Drawing");
    if (first) this.view.prepend(wait.element);
    const began = performance.now();
    this.pending = true;
    this.again = false;
    try {
      const found = await askAgain("/api/figures", { ...this.choices(), run: this.id, view: name }, answer, {
        signal: this.viewing.signal,
      });
      if (figures !== this.figures) return;
      this.view.querySelector(".refused")?.remove();
      if (found) figures.show(found);
      this.shown = name;
      if (found && !found.length)
        this.view.append(h("p", { class: "none refused" }, "There is nothing to see here yet."));
    } catch (error) {
      if (figures === this.figures) this.refuse(error);
    } finally {
      wait.stop();
      wait.element.remove();
      if (figures === this.figures) {
        this.pending = false;
        this.next = performance.now() + Math.max(CALM, 3 * (performance.now() - began));
        if (this.again) this.soon();
      }
    }
  }

  refuse(error) {
    if (error.name === "AbortError") return;
    this.view.querySelector(".refused")?.remove();
    this.view.querySelector(".wait")?.remove();
    this.view.prepend(h("p", { class: "fault refused", role: "alert" }, error.message));
    if (!(error instanceof Refused)) throw error;
  }

  // The run has written something: its facts and its tabs follow at once, its figures when they may.
  changed() {
    this.drawHead();
    if (!this.told) this.start();
    else this.renewal ??= setTimeout(() => this.renew(), CALM);
  }

  async renew() {
    try {
      this.told = await ask("/api/run", { run: this.id }, { signal: this.aborted.signal });
    } catch (error) {
      if (error.name !== "AbortError") this.drawHead();
      return;
    } finally {
      this.renewal = undefined;
    }
    this.drawHead();
    this.drawTabs();
    if (this.current() !== this.opened) this.open();
    else if (this.pending) this.again = true;
    else this.soon();
  }

  soon() {
    if (!this.opened || (this.opened === "own" && this.told.refused)) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(
      () => {
        this.refresh();
        this.calls?.refresh();
      },
      Math.max(0, this.next - performance.now()),
    );
  }

  close() {
    this.aborted.abort();
    this.viewing?.abort();
    this.deaf();
    clearTimeout(this.timer);
    clearTimeout(this.renewal);
    this.figures?.close();
    this.calls?.close();
  }
}
