"""A document as GitHub's Markdown, beside a folder of its pictures."""

import html
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiga.runs import printing
from aiga.runs.figures import Figure, Markup, drawable
from aiga.runs.lighten import lightened
from aiga.runs.pages import ROWS, Document

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")
SVG = re.compile(r"<svg\b.*?</svg>", re.DOTALL)


def write(document: Document, path: Path) -> None:
    """Write a document; its pictures go to a folder beside the file, named after it."""
    document = document._replace(figures=[lightened(figure) for figure in document.figures])
    drawn = {}
    if any(drawable(figure.content) for figure in document.figures):
        drawn = printing.pictures(document)
    folder = path.with_name(f"{path.stem}_pictures")
    folder.mkdir(exist_ok=True)
    parts = [f"# {escaped(document.title)}", escaped(document.line)]
    if drawn is None:
        parts.append(
            "_Figures are left out: pictures of them are made by Chromium, Chrome or Edge, and none was found._"
        )
    for i, figure in enumerate(document.figures):
        if drawable(figure.content) and i not in (drawn or {}):
            continue
        if drawable(figure.content):
            _file(folder, i, figure.title, ".png").write_bytes((drawn or {})[i])
        content = _content(figure, i, folder)
        caption = [escaped(figure.caption)] if figure.caption else []
        parts += [f"## {escaped(figure.title)}", content, *caption]
    if not any(folder.iterdir()):
        folder.rmdir()
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def escaped(text: str) -> str:
    """A text that Markdown shows as it is, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _content(figure: Figure, number: int, folder: Path) -> str:
    content = figure.content
    if drawable(content):
        return _link(_file(folder, number, figure.title, ".png"), figure.title)
    if isinstance(content, Path):
        copy = _file(folder, number, figure.title, content.suffix)
        shutil.copyfile(content, copy)
        return _link(copy, figure.title)
    if isinstance(content, Markup):
        return _markup(content.html, number, figure.title, folder)
    return _table(content)


def _markup(text: str, number: int, title: str, folder: Path) -> str:
    """HTML as Markdown takes it: drawings in files of their own, no line that is empty."""
    for part, drawing in enumerate(SVG.findall(text)):
        file = _file(folder, number, f"{title} {part + 1}" if part else title, ".svg")
        named = (
            drawing if "xmlns=" in drawing else drawing.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        )
        file.write_text(named, encoding="utf-8")
        address = f"{quote(folder.name)}/{quote(file.name)}"
        text = text.replace(drawing, f'<img alt="{html.escape(title)}" src="{address}">', 1)
    return re.sub(r"\n\s*\n", "\n&#8203;\n", text)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "nothing"
    names = list(rows[0])
    lines = [_row(names), _row(["---"] * len(names), plain=True)]
    lines += [_row(list(row.values())) for row in rows[:ROWS]]
    more = f"\n\nThe first {ROWS:,} of {len(rows):,} rows." if len(rows) > ROWS else ""
    return "\n".join(lines) + more


def _row(values: Sequence[Any], *, plain: bool = False) -> str:
    return "| " + " | ".join(str(value) if plain else escaped(str(value)) for value in values) + " |"


def _file(folder: Path, number: int, title: str, suffix: str) -> Path:
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40]
    return folder / f"{number + 1:02}-{words or 'figure'}{suffix.lower()}"


def _link(file: Path, title: str) -> str:
    address = f"{quote(file.parent.name)}/{quote(file.name)}"
    films = (".mp4", ".webm")
    return f"{'' if file.suffix in films else '!'}[{escaped(title)}]({address})"
