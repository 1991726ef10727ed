// Something is computed, and for how long already.
import { h } from "./dom.js";

export function waiting(what) {
  const seconds = h("span");
  const element = h(
    "p",
    { class: "wait", role: "status" },
    h("span", { class: "dots", "aria-hidden": "true" }),
    `${what} … `,
    seconds,
  );
  const began = Date.now();
  const timer = setInterval(() => {
    const passed = Math.round((Date.now() - began) / 1000);
    if (passed >= 2) seconds.textContent = `${passed} s`;
  }, 500);
  return { element, stop: () => clearInterval(timer) };
}
