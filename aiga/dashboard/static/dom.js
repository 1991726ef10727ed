// Elements and texts.  What a run says becomes a text node or an attribute's value, never markup.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name in element && typeof value === "boolean") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size >= 1e6 || (size < 1e-3 && size > 0)) return value.toExponential(2);
  return value.toLocaleString("en", { maximumSignificantDigits: size >= 1000 ? 6 : 4 });
}

export function duration(seconds) {
  if (!(seconds >= 0)) return "–";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function ago(time) {
  const seconds = (Date.now() - time) / 1000;
  if (!(seconds >= -60)) return "–";
  for (const [size, unit] of [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
  ]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return "just now";
}

export function money(cost) {
  if (!cost || !(cost.calls > 0)) return "";
  const dollars = cost.usd > 0 && cost.usd < 0.01 ? "< $0.01" : `$${cost.usd.toFixed(2)}`;
  return `${dollars} · ${compact(cost.tokens)} tokens`;
}

export function compact(value) {
  return new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

export const WORDS = {
  running: "running",
  finished: "finished",
  stopped: "stopped",
  budget: "budget spent",
  failed: "failed",
  killed: "killed",
  unreadable: "unreadable",
  reading: "reading …",
};

export function status(row) {
  const known = row.status in WORDS ? row.status : "other";
  return h(
    "span",
    { class: `status ${known}`, title: row.reason || row.fault || "" },
    WORDS[row.status] ?? String(row.status),
  );
}

export function progress(row) {
  if (typeof row.progress !== "number" || row.status === "finished") return null;
  const percent = Math.round(100 * row.progress);
  const inner = h("span");
  inner.style.width = `${percent}%`;
  const facts = { role: "progressbar", "aria-valuenow": percent, "aria-valuemin": 0, "aria-valuemax": 100 };
  return h("span", { class: "progress", title: `${percent} %`, "aria-label": "progress", ...facts }, inner);
}

export function copier(text, label = "copy") {
  const button = h(
    "button",
    { class: "copy", type: "button", title: `Copy: ${text}`, "aria-label": `Copy ${text}` },
    label,
  );
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    button.textContent = (await copied(text)) ? "copied" : "press Ctrl-C";
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // not a secure context: over plain HTTP from another machine
    const field = h("textarea", { class: "away" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

// What goes on with a run; nothing for a name that would steer the terminal it is pasted into.
export function command(name) {
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(name)) return "";
  return `aiga resume ${/^[\w./-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`}`;
}

export function picture(id, path, version) {
  return `/media?${new URLSearchParams({ run: id, path, v: version ?? "" })}`;
}

// A small curve of a metric.
export function spark(values) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 60");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "spark");
  svg.setAttribute("aria-hidden", "true");
  const low = Math.min(...values),
    span = Math.max(...values) - low || 1;
  const points = values.map(
    (value, i) =>
      `${((100 * i) / Math.max(1, values.length - 1)).toFixed(1)},${(54 - (48 * (value - low)) / span).toFixed(1)}`,
  );
  for (const [tag, attributes] of [
    ["polygon", { points: `0,60 ${points.join(" ")} 100,60` }],
    ["polyline", { points: points.join(" ") }],
  ]) {
    const shape = document.createElementNS(svg.namespaceURI, tag);
    for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
    svg.append(shape);
  }
  return svg;
}
