"""Figures as one self-contained web page: it needs no network, and nothing that a run says is executed."""

import base64
import hashlib
import html
import io
import json
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aiga.core.errors import require
from aiga.runs.figures import INK, Figure, Markup, drawable
from aiga.runs.lighten import lightened

PALE = "#e4e7eb"
"""In the dark, the colour of what is ink by day."""
ROWS = 500
"""Of one table."""
EMBEDDED = 24 * 2**20
"""Bytes of pictures and films in one page."""


class Document(NamedTuple):
    """What a page, a PDF or a Markdown file says."""

    title: str
    line: str
    figures: Sequence[Figure]


Kind = Literal["screen", "print", "pictures"]


def page(document: Document, kind: Kind = "screen") -> str:
    """The page: to be read on a screen or printed; or its plotly figures alone, each as a picture of `picture-ID`."""
    figures = [lightened(figure) for figure in document.figures]
    if kind == "pictures":
        figures = [figure if drawable(figure.content) else figure._replace(content=[]) for figure in figures]
    left, sections, data = EMBEDDED, [], []
    for i, figure in enumerate(figures):
        if isinstance(figure.content, Path):
            left -= figure.content.stat().st_size
        sections.append(_section(figure, i, kind, left >= 0))
        if drawable(figure.content):
            data.append(f'<script type="application/json" id="f{i}">{_data(figure.content)}</script>')
    scripts = _scripts() if data else ()
    return PAGE.format(
        kind={"screen": "", "print": "print", "pictures": "print pictures"}[kind],
        state="" if data else ' data-drawn="all"',
        policy=_policy(scripts),
        title=html.escape(document.title),
        line=html.escape(document.line),
        css=_beside("report.css"),
        body="".join(sections),
        data="\n".join([*data, _shared()] if data else []),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def film(path: Path) -> list[bytes]:
    """Four moments of an animated picture as PNGs; none, if it does not move."""
    image = require("PIL.Image", "report")
    moments = []
    with image.open(path) as opened:
        count = getattr(opened, "n_frames", 1)
        for place in [] if count == 1 else [round(i * (count - 1) / 3) for i in range(4)]:
            opened.seek(place)
            written = io.BytesIO()
            opened.convert("RGB").save(written, "PNG")
            moments.append(written.getvalue())
    return moments


def _section(figure: Figure, number: int, kind: Kind, fits: bool) -> str:
    caption = f'<p class="caption">{html.escape(figure.caption)}</p>' if figure.caption else ""
    short = isinstance(figure.content, list) and len(figure.content) <= 12
    whole = short or drawable(figure.content) or isinstance(figure.content, Path)
    content = _content(figure, number, kind, fits)
    head = f"<h2>{html.escape(figure.title)}</h2>"
    slim = " slim" * (isinstance(figure.content, list) and _slim(figure.content))
    return f'<section{" class=whole" * whole}>{head}<div class="content{slim}">{content}</div>{caption}</section>\n'


def _slim(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two columns of a table fit on a sheet of paper."""
    return len(rows) > 8 and all(len(row) < 3 and sum(map(len, map(str, row.values()))) < 50 for row in rows)


def _content(figure: Figure, number: int, kind: Kind, fits: bool) -> str:
    content = figure.content
    if isinstance(content, Path):
        return _embedded(content, figure.title, kind) if fits else f"<p>{html.escape(_too_large(content))}</p>"
    if isinstance(content, Markup):
        return f'<div class="drawing">{content.html}</div>' if "<svg" in content.html else content.html
    if isinstance(content, Sequence):
        return _table(content)
    panels = " class=panels" if len([name for name in content.layout if name.startswith("xaxis")]) > 1 else ""
    return f'<div{panels} data-figure="f{number}"></div>'


def _too_large(path: Path) -> str:
    return (
        f"{path.parent.name}/{path.name} in the run's folder: the page holds {EMBEDDED >> 20} MB of pictures already."
    )


def _embedded(path: Path, title: str, kind: Kind) -> str:
    media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if media == "image/svg+xml":  # in the page itself: what its titles say is shown
        return f'<div class="drawing">{path.read_text(encoding="utf-8")}</div>'
    if media.startswith("video/"):
        if kind != "screen":
            return f"<p>A film: {html.escape(path.parent.name)}/{html.escape(path.name)} in the run's folder.</p>"
        return f'<video controls loop muted src="{_address(media, path.read_bytes())}"></video>'
    moments = film(path) if media == "image/gif" and kind != "screen" else []
    if moments:
        return '<div class="film">' + "".join(_image(title, "image/png", moment) for moment in moments) + "</div>"
    return _image(title, media, path.read_bytes())


def _image(title: str, media: str, data: bytes) -> str:
    return f'<img alt="{html.escape(title)}" src="{_address(media, data)}">'


def _address(media: str, data: bytes) -> str:
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p>nothing</p>"
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in rows[0])
    cells = ("".join(f"<td>{html.escape(str(v))}</td>" for v in row.values()) for row in rows[:ROWS])
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    more = f"<p>The first {ROWS:,} of {len(rows):,} rows.</p>" if len(rows) > ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _data(content: Any) -> str:
    """A figure as JSON that no script element can end."""
    figure = json.loads(content.to_json())
    figure["layout"].pop("template", None)  # all figures of a page share one
    if "customdata" not in str([trace.get("hovertemplate") for trace in figure["data"]]):
        frames = [trace for frame in figure.get("frames") or () for trace in frame.get("data") or ()]
        for trace in [*figure["data"], *frames]:
            trace.pop("customdata", None)  # names for a click, which a page does not answer
    return _inert(figure)


def _inert(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


@cache
def themes() -> dict[str, Any]:
    """What all figures of a page share: templates for day and night, and the colours that night replaces."""
    graph = require("plotly.graph_objects", "report")
    day, night = (
        json.loads(graph.Figure(layout_template=name).to_json())["layout"]["template"]
        for name in ("plotly_white", "plotly_dark")
    )
    night["layout"] |= {"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}
    return {"ink": INK, "pale": PALE, "light": day, "dark": night}


def _shared() -> str:
    return f'<script type="application/json" id="shared">{_inert(themes())}</script>'


@cache
def _scripts() -> tuple[str, str]:
    return require("plotly.offline", "report").get_plotlyjs(), _beside("report.js")


def _policy(scripts: Iterable[str]) -> str:
    """What the browser may do: these scripts, and nothing from elsewhere; scattergl compiles functions."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    script = f"{allowed} 'unsafe-eval'" if hashes else "'none'"
    own = "style-src 'unsafe-inline'; img-src data: blob:; media-src data:; worker-src blob:"
    return f"default-src 'none'; script-src {script}; {own}"


@cache
def _beside(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


PAGE = """<!doctype html>
<html lang="en" class="{kind}"{state}><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{css}</style></head>
<body><h1>{title}</h1><p class="line">{line}</p>
{body}{data}
{scripts}
</body></html>
"""
