// What foundation models were asked and said: a page at a time, searched on the server.
import { ask } from "./api.js";
import { duration, h, number } from "./dom.js";

export class Calls {
  constructor(id) {
    this.id = id;
    this.start = 0;
    this.search = h("input", {
      type: "search",
      placeholder: "Search prompts and replies",
      "aria-label": "Search prompts and replies",
    });
    this.outcome = h("select", { "aria-label": "Outcome" }, h("option", { value: "" }, "any outcome"));
    this.count = h("span", { class: "none", role: "status" });
    this.before = h("button", { type: "button", onclick: () => this.turn(-1) }, "← before");
    this.after = h("button", { type: "button", onclick: () => this.turn(1) }, "after →");
    this.list = h("div", { class: "calls" });
    this.place = h(
      "section",
      { class: "card wide" },
      h("h2", {}, "Every call"),
      h(
        "div",
        { class: "tools" },
        this.search,
        this.outcome,
        this.count,
        h("span", { class: "grow" }),
        this.before,
        this.after,
      ),
      this.list,
    );
    for (const kind of ["input", "search"]) {
      this.search.addEventListener(kind, () => {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.seek(), 250);
      });
    }
    this.outcome.addEventListener("change", () => this.seek());
    this.refresh();
  }

  seek() {
    this.start = 0;
    this.refresh();
  }

  turn(step) {
    this.start = Math.max(0, this.start + step * this.page);
    this.refresh();
  }

  async refresh() {
    const asked = (this.asked = Symbol("question"));
    try {
      const answer = await ask("/api/calls", {
        run: this.id,
        text: this.search.value,
        outcome: this.outcome.value,
        start: this.start,
      });
      if (asked === this.asked) this.show(answer);
    } catch (error) {
      if (asked === this.asked) this.list.replaceChildren(h("p", { class: "fault", role: "alert" }, error.message));
    }
  }

  show(answer) {
    this.page = answer.page;
    const last = Math.min(answer.total, this.start + answer.calls.length);
    this.count.textContent = answer.total
      ? `${number(this.start + 1)}–${number(last)} of ${number(answer.total)}`
      : "none";
    this.before.disabled = this.start === 0;
    this.after.disabled = last >= answer.total;
    if (this.outcome.length !== answer.outcomes.length + 1) {
      const chosen = this.outcome.value;
      this.outcome.replaceChildren(
        ...["", ...answer.outcomes].map((name) =>
          h("option", { value: name, selected: name === chosen }, name || "any outcome"),
        ),
      );
    }
    const text = JSON.stringify(answer.calls);
    if (text === this.text) return;
    this.text = text;
    this.list.replaceChildren(...answer.calls.map((call, i) => entry(call, this.start + i + 1)));
  }

  close() {
    clearTimeout(this.timer);
    this.asked = null;
  }
}

function entry(call, position) {
  const good = call.outcome === "ok";
  const tokens = `${number(call.tokens_in)} + ${number(call.tokens_out)} tokens`;
  const dollars = call.usd > 0 ? `$${call.usd.toFixed(5)}` : "";
  const summary = h(
    "summary",
    {},
    h("span", { class: "place" }, `#${position}`),
    h("span", { class: `status ${good ? "finished" : "failed"}` }, String(call.outcome)),
    h("b", {}, call.task || "a call"),
    h("span", {}, call.model ?? ""),
    call.attempt > 1 ? h("span", {}, `attempt ${call.attempt}`) : null,
    h("span", { class: "grow" }),
    h("span", {}, tokens),
    dollars ? h("span", {}, dollars) : null,
    h("span", {}, call.seconds < 10 ? `${number(call.seconds)} s` : duration(call.seconds)),
  );
  const made = h("details", { class: "call" }, summary);
  made.addEventListener(
    "toggle",
    () =>
      made.open &&
      made.children.length === 1 &&
      made.append(spoken("Prompt", call.request, call.cut.request), spoken("Reply", call.reply, call.cut.reply)),
  );
  return made;
}

function spoken(title, parts, cut) {
  const turns = parts.map((part) =>
    h(
      "div",
      { class: `turn ${part.who === "settings" ? "settings" : ""}` },
      part.who ? h("h4", {}, part.who) : null,
      h("pre", {}, part.text),
    ),
  );
  const more = cut
    ? h("p", { class: "none" }, `${number(cut)} more characters are in the run: aiga fm export writes them.`)
    : null;
  return h("div", { class: "spoken" }, h("h3", {}, title), turns, more);
}
