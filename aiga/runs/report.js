// Draws the figures of a page: light or dark as the reader's system is, on white paper when printed.
const root = document.documentElement;
const printed = root.classList.contains("print");
const pictured = root.classList.contains("pictures");
const dark = matchMedia("(prefers-color-scheme: dark)");
const shared = JSON.parse(document.getElementById("shared").textContent);
const tallest = 880; // what a sheet holds below a heading; the first also holds the title
const first = 770;
const narrow = 560;
const below = { orientation: "h", x: 0, xanchor: "left", y: -0.25, yanchor: "top" };

function specification(place) {
  const night = dark.matches && !printed;
  const text = document.getElementById(place.dataset.figure).textContent;
  const figure = JSON.parse(night ? text.replaceAll(shared.ink, shared.pale) : text);
  figure.layout.template = night ? shared.dark : shared.light;
  if (place.clientWidth < narrow) figure.layout.legend = { ...figure.layout.legend, ...below };
  if (printed) {
    delete figure.layout.sliders;
    delete figure.layout.updatemenus;
    const room = place.closest("section").previousElementSibling.tagName === "P" ? first : tallest;
    figure.layout.height = Math.min(figure.layout.height || 450, room);
    figure.layout.width = Math.min(figure.layout.width || place.clientWidth, place.clientWidth);
  }
  return figure;
}

async function draw(place) {
  const figure = specification(place);
  figure.config = { displaylogo: false, responsive: true, staticPlot: printed, modeBarButtonsToRemove: ["sendChartToCloud"] };
  const drawn = await Plotly.newPlot(place, figure);
  if (figure.frames && figure.frames.length && printed) {
    const last = figure.frames[figure.frames.length - 1];
    await Plotly.animate(place, [last.name], { mode: "immediate", frame: { duration: 0 }, transition: { duration: 0 } });
  }
  if (!pictured) return;
  const picture = document.createElement("img");
  picture.id = "picture-" + place.dataset.figure;
  picture.src = await Plotly.toImage(drawn, { format: "png", scale: 2 });
  place.replaceChildren(picture);
}

async function drawAll() {
  for (const place of document.querySelectorAll("[data-figure]")) await draw(place);
}

function drawAllAndSay() {
  drawAll().then(() => (root.dataset.drawn = "all"), (error) => (root.dataset.drawn = String(error)));
}

dark.addEventListener("change", drawAllAndSay);
drawAllAndSay();
