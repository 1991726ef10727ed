// Markup of figures, rebuilt from a closed list of elements and attributes.  The document that it is parsed into is
// inert; what is not on the list is dropped, with what scripts, styles and frames hold.

const HTML = new Set(
  "a abbr b blockquote br code dd del details div dl dt em figcaption figure h2 h3 h4 h5 hr i img ins li mark ol p pre s small span strong sub summary sup table tbody td tfoot th thead tr u ul".split(
    " ",
  ),
);
const SVG = new Set(
  "svg g path rect circle ellipse line polyline polygon text tspan title desc defs clipPath linearGradient radialGradient stop marker".split(
    " ",
  ),
);
const DROPPED = new Set(
  "script style iframe object embed link meta base form input button textarea select template noscript foreignObject use image animate set audio video".split(
    " ",
  ),
);
const ATTRIBUTES = new Set(
  `class title lang dir open colspan rowspan role aria-label viewBox width height x y x1 y1 x2 y2 cx cy r rx ry d points
   fill fill-opacity fill-rule stroke stroke-width stroke-opacity stroke-dasharray stroke-linecap stroke-linejoin opacity
   transform text-anchor dominant-baseline font-size font-family font-weight font-style dx dy preserveAspectRatio offset
   stop-color stop-opacity id clip-path marker-end marker-start refX refY orient markerWidth markerHeight style
   data-individual`.split(/\s+/),
);
const NAMESPACE = "http://www.w3.org/2000/svg";
const DEEPEST = 60;

export function rebuilt(html) {
  const place = document.createElement("div");
  place.className = "markup";
  const parsed = new DOMParser().parseFromString(html, "text/html");
  copy(parsed.body, place, 0);
  return place;
}

function copy(from, to, depth) {
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) to.append(node.data);
    else if (node.nodeType === Node.ELEMENT_NODE) element(node, to, depth);
  }
}

function element(node, to, depth) {
  const name = node.localName;
  if (DROPPED.has(name) || depth > DEEPEST) return;
  const drawn = node.namespaceURI === NAMESPACE && SVG.has(name);
  if (!drawn && !HTML.has(name)) {
    copy(node, to, depth + 1);
    return;
  }
  const made = drawn ? document.createElementNS(NAMESPACE, name) : document.createElement(name);
  for (const { name: attribute, value } of node.attributes) {
    if (ATTRIBUTES.has(attribute) && harmless(attribute, value)) set(made, attribute, value);
  }
  if (name === "img") {
    if (!PICTURE.test(node.getAttribute("src") ?? "")) return;
    made.src = node.getAttribute("src");
    made.alt = node.getAttribute("alt") ?? "";
  }
  copy(node, made, depth + 1);
  to.append(made);
}

// A picture is one that stands in the markup itself.
const PICTURE = /^data:image\/(png|jpeg|gif|webp);base64,[\w+/=]*$/;

// No value asks for anything: neither an address, nor a place outside of the flow.  A style with escapes is none of ours.
function harmless(attribute, value) {
  if (attribute === "style" && value.includes("\\")) return false;
  const plain = value.toLowerCase().replace(/\/\*.*?\*\//gs, "");
  const addresses = /url\(|image-set|image\(|expression|@import|javascript:|position\s*:\s*(fixed|sticky)/;
  return !addresses.test(attribute === "style" ? plain : plain.replace(/url\(#[\w-]+\)/g, ""));
}

function set(made, attribute, value) {
  if (attribute === "style") made.style.cssText = value;
  else if (attribute === "id") made.setAttribute("id", `of-a-run-${value}`);
  else made.setAttribute(attribute, value.replace(/url\(#/g, "url(#of-a-run-"));
}
