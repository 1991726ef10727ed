// Plotly's figures: drawn when they come into view, light or dark, redrawn in place with zoom kept.
import { ask } from "./api.js";
import { facts } from "./live.js";

const CONFIG = {
  displaylogo: false,
  responsive: true,
  showLink: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["lasso2d", "select2d", "sendChartToCloud"],
};
const NAME = /^(\d{1,19}|c\d{1,12}\.\d{1,12})$/;
const NARROWEST = 230; // pixels of a panel
const WIDE = 560; // of a figure with several rows of buttons
const LARGE = new Set([
  "x",
  "y",
  "z",
  "text",
  "customdata",
  "ids",
  "hovertext",
  "labels",
  "parents",
  "bdata",
  "colorscale",
]);
const NIGHT = new Map([
  ["white", "#12161b"],
  ["#fff", "#12161b"],
  ["#ffffff", "#12161b"],
  ["black", "#e4e7eb"],
  ["#000", "#e4e7eb"],
  ["#000000", "#e4e7eb"],
  ["#52606d", "#9aa5b1"],
  ["#323f4b", "#cbd2d9"],
  ["#f5f7fa", "#1f2933"],
]);

let library = null;
let themes = null;

export function fetchLibrary() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `/plotly.js?v=${facts.plotly ?? ""}`;
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => {
      library = null;
      reject(new Error("the plotting library did not arrive"));
    });
    document.head.append(script);
  });
  themes ??= ask("/api/themes");
  return Promise.all([library, themes]);
}

const inView = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      entry.target.plot.visible = entry.isIntersecting;
      if (entry.isIntersecting) entry.target.plot.refresh();
    }
  },
  { rootMargin: "300px" },
);

export class Plot {
  constructor(onindividual) {
    this.place = document.createElement("div");
    this.place.className = "plot";
    this.place.plot = this;
    this.onindividual = onindividual;
    this.visible = this.drawn = this.stale = this.busy = false;
    this.repaint = () => this.mark();
    document.addEventListener("theme", this.repaint);
    inView.observe(this.place);
  }

  show(figure) {
    this.figure = figure;
    this.place.style.minHeight = `${figure.layout?.height ?? 450}px`;
    this.mark();
  }

  mark() {
    this.stale = true;
    if (this.visible) this.refresh();
  }

  async refresh() {
    if (!this.stale || this.busy || !this.figure) return;
    this.busy = true;
    this.stale = false;
    try {
      await this.draw();
    } catch (error) {
      this.place.textContent = `This figure cannot be drawn: ${error.message}`;
    } finally {
      this.busy = false;
    }
    if (this.stale && this.visible) this.refresh();
  }

  async draw() {
    const [Plotly, templates] = await fetchLibrary();
    if (!this.figure) return;
    const figure = dressed(this.figure, templates, this.place.parentElement?.clientWidth ?? 800);
    this.place.style.minWidth = figure.narrowest;
    await Plotly.react(this.place, {
      data: figure.data,
      layout: figure.layout,
      frames: figure.frames ?? [],
      config: CONFIG,
    });
    if (!this.drawn) this.place.on("plotly_click", (event) => this.clicked(event));
    this.drawn = true;
    this.place.style.minHeight = "";
  }

  clicked(event) {
    const name = individual(event.points?.[0]?.customdata);
    if (name) this.onindividual?.(name);
  }

  close() {
    inView.unobserve(this.place);
    document.removeEventListener("theme", this.repaint);
    this.figure = null;
    if (this.drawn) window.Plotly.purge(this.place);
  }
}

// The name of the individual that a point stands for.
export function individual(value) {
  const first = Array.isArray(value) || ArrayBuffer.isView(value) ? value[0] : value;
  return typeof first === "string" && NAME.test(first) ? first : null;
}

function dressed(figure, templates, width) {
  const night = window.theme.dark();
  const drawn = structuredClone(figure);
  if (night) darken(drawn, new Map([...NIGHT, [templates.ink, templates.pale]]));
  const layout = drawn.layout ?? {};
  layout.template = structuredClone(night ? templates.dark : templates.light);
  layout.template.layout.paper_bgcolor = layout.template.layout.plot_bgcolor = "rgba(0,0,0,0)";
  layout.uirevision ??= "kept";
  layout.autosize = true;
  delete layout.width;
  if (night) for (const part of ["updatemenus", "sliders"]) layout[part]?.forEach(atNight);
  drawn.layout = layout;
  const narrowest = Math.max(columns(layout) * NARROWEST, (layout.updatemenus ?? []).length > 1 ? WIDE : 0);
  drawn.narrowest = narrowest > width ? `${narrowest}px` : "";
  return drawn;
}

function atNight(control) {
  control.bgcolor ??= "#1f2933";
  control.bordercolor ??= "#52606d";
  if ("buttons" in control) control.font = { ...control.font, color: "#ff922b" };
}

// How many panels stand beside each other.
function columns(layout) {
  const starts = new Set();
  for (const [name, axis] of Object.entries(layout)) {
    if (/^xaxis\d*$/.test(name) && Array.isArray(axis?.domain)) starts.add(axis.domain[0].toFixed(2));
  }
  return Math.max(1, starts.size);
}

function darken(value, colours) {
  for (const [name, part] of Object.entries(value)) {
    if (typeof part === "string") {
      const dark = colours.get(part.toLowerCase());
      if (dark && !LARGE.has(name)) value[name] = dark;
    } else if (part && typeof part === "object" && !LARGE.has(name)) darken(part, colours);
  }
}
