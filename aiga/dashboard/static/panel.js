// The individual that was clicked: facts, ancestors, changes, and its life again.
import { Refused, ask, tell } from "./api.js";
import { copier, h } from "./dom.js";
import { Figures } from "./figures.js";
import { waiting } from "./waiting.js";

const place = document.getElementById("panel");
let open = null;

// `go(name)` opens another individual, `go(null)` closes the panel; both change the address.
export async function show(id, name, go) {
  if (open?.id === id && open.name === name) return;
  const before = open?.before ?? document.activeElement;
  open?.figures.close();
  open?.again.close();
  const figures = new Figures(id, { onindividual: go });
  const again = new Figures(id, { onindividual: go });
  const body = h("div", { class: "body" });
  const close = h(
    "button",
    { type: "button", class: "plain", "aria-label": "Close (Esc)", onclick: () => go(null) },
    "✕",
  );
  const title = h("h1", { tabindex: "-1" }, "Individual ", h("code", {}, short(name)));
  const sheet = h(
    "aside",
    { class: "panel", role: "dialog", "aria-label": `Individual ${name}` },
    h("header", {}, title, copier(name), inTree(id, name), h("span", { class: "grow" }), close),
    body,
  );
  place.replaceChildren(sheet);
  const mine = (open = { id, name, before, figures, again, go });
  document.documentElement.classList.add("with-panel");
  title.focus({ preventScroll: true });
  const wait = waiting("Reading the lineage");
  body.append(wait.element);
  try {
    const answer = await ask("/api/individual", { run: id, name });
    if (open !== mine) return;
    figures.show(answer.figures);
    body.replaceChildren(answer.replayable ? replayer(id, name, again) : "", again.place, figures.place);
  } catch (error) {
    body.replaceChildren(h("p", { class: "fault", role: "alert" }, error.message));
    if (!(error instanceof Refused)) throw error;
  } finally {
    wait.stop();
  }
}

function inTree(id, name) {
  return /^\d+$/.test(name)
    ? h(
        "a",
        { class: "small", href: `#/run?${new URLSearchParams({ id, view: "lineage", name })}` },
        "its line in the tree",
      )
    : null;
}

// An identity is birth step and index; the name has both in one number.
function short(name) {
  return !/^\d+$/.test(name) ? name : `${BigInt(name) >> 32n}.${BigInt(name) & 0xffffffffn}`;
}

export function close() {
  if (!open) return false;
  open.figures.close();
  open.again.close();
  place.replaceChildren();
  document.documentElement.classList.remove("with-panel");
  const { before } = open;
  open = null;
  if (before?.isConnected) before.focus({ preventScroll: true });
  return true;
}

export function leave() {
  if (!open) return false;
  open.go(null);
  return true;
}

function replayer(id, name, figures) {
  const button = h("button", { type: "button", class: "main" }, "▶ Simulate again");
  const said = h("div", { role: "status" });
  button.addEventListener("click", async () => {
    button.disabled = true;
    const wait = waiting("Simulating");
    said.replaceChildren(wait.element);
    try {
      figures.show(await tell("/api/replay", { run: id, name }));
      said.replaceChildren();
    } catch (error) {
      said.replaceChildren(h("p", { class: "fault", role: "alert" }, error.message));
    } finally {
      wait.stop();
      button.disabled = false;
    }
  });
  return h("div", { class: "replay" }, button, said);
}
