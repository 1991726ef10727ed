"""Pictures of lines in the unit square: for a terminal, out of braille dots, and for a browser."""

import html
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

COLUMNS, ROWS = 22, 11
"""Size of a picture in characters; three of them fit beside each other into 80 columns."""
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bits of a braille character, from its upper left dot."""


def drawing(line: Float[np.ndarray, "t 2"], walls: Float[np.ndarray, "w 2 2"]) -> str:
    """A line and walls as text; the line begins at `o` and ends at `X`."""
    height, width = 4 * ROWS, 2 * COLUMNS
    dots = np.zeros((height, width), bool)
    segments = [*itertools.pairwise(line), *walls]
    for a, b in segments:
        x, y = _pixels(np.linspace(a, b, 2 * (height + width)), width, height)
        dots[y, x] = True
    codes = 0x2800 + (dots.reshape(ROWS, 4, COLUMNS, 2) * DOTS[None, :, None]).sum(axis=(1, 3))
    canvas = [[chr(code) for code in row] for row in codes]
    for mark, place in (("o", line[0]), ("X", line[-1])):
        x, y = _pixels(place[None], COLUMNS, ROWS)
        canvas[y[0]][x[0]] = mark
    return "\n".join("".join(row) for row in canvas)


def page(
    names: Sequence[str], lines: Float[np.ndarray, "n 3 t 2"], walls: Float[np.ndarray, "w 2 2"], answers: Path
) -> str:
    """A web page that shows questions, and collects the answers as lines to be saved to the file `answers`."""
    around = "".join(f'<path class="wall" d="M{_points(wall)}"/>' for wall in walls)
    questions = "".join(
        f'<section data-question="{name}"><h2>{name}</h2>'
        f"{_panel('A', a, around)}{_panel('', reference, around)}{_panel('B', b, around)}"
        '<button data-answer="skip">cannot say</button></section>\n'
        for name, (reference, a, b) in zip(names, lines, strict=True)
    )
    return PAGE.replace("FILE", html.escape(answers.name)).replace("QUESTIONS", questions)


def _pixels(points: Float[np.ndarray, "n 2"], width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows (from the top) of points of the unit square."""
    x = np.clip(points[:, 0] * width, 0, width - 1).astype(int)
    y = np.clip((1 - points[:, 1]) * height, 0, height - 1).astype(int)
    return x, y


def _points(line: Float[np.ndarray, "t 2"]) -> str:
    return " ".join(f"{100 * x:.1f},{100 * (1 - y):.1f}" for x, y in line)


def _panel(answer: str, line: Float[np.ndarray, "t 2"], around: str) -> str:
    """A picture: one to be chosen, or, without an answer, the reference."""
    x, y = 100 * line[-1][0], 100 * (1 - line[-1][1])
    picture = (
        f'<svg viewBox="-3 -3 106 106">{around}<path class="line" d="M{_points(line)}"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/></svg>'
    )
    chosen = f'<button data-answer="{answer}">{picture}{answer}</button>'
    return chosen if answer else f"<figure>{picture}reference</figure>"


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Which is closer?</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 1rem auto; padding: 0 1rem; color: #1f2933; }
section { display: flex; gap: 1rem; align-items: center; margin: 1rem 0; } h2 { font-size: .8rem; width: 6rem; }
button, figure { font: inherit; text-align: center; margin: 0; padding: .3rem; background: #fff; }
button, figure { border: 2px solid #cbd2d9; }
figure { border-color: transparent; } button.chosen { border-color: #d9480f; } svg { display: block; width: 10rem; }
path { fill: none; stroke: #1f2933; stroke-width: 1.5; } .wall { stroke: #9aa5b1; } circle { fill: #d9480f; }
textarea { width: 100%; height: 8rem; font: .8rem monospace; }
</style></head><body>
<h1>Is the reference closer to A or to B?</h1>
<p>Click on A or B. Then add the lines below to <code>FILE</code> and resume the run.</p>
QUESTIONS<textarea readonly></textarea>
<script>
const said = {};
const file = "FILE";
document.querySelectorAll("button").forEach(button => button.onclick = () => {
  const section = button.parentElement, question = section.dataset.question;
  section.querySelectorAll("button").forEach(other => other.classList.toggle("chosen", other === button));
  said[question] = button.dataset.answer;
  const rows = Object.entries(said);
  document.querySelector("textarea").value = file.endsWith(".csv")
    ? "question,answer\\n" + rows.map(row => row.join(",")).join("\\n") + "\\n"
    : rows.map(([question, answer]) => JSON.stringify({question, answer})).join("\\n") + "\\n";
});
</script></body></html>
"""
