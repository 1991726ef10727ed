"""Figures and facts as JSON for the page."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiga.core.errors import UsageError
from aiga.runs.figures import Figure, Markup, drawable

LARGEST = 96 << 20
"""Bytes of the figures of a view."""
ROWS, CELL = 5_000, 10_000
"""Rows of a table, and characters of one of its cells; what is beyond is cut, and the page says so."""
FILMS = {".mp4", ".webm"}


def dumps(value: Any) -> str:
    """JSON that every browser reads: NaN and infinities are null."""
    return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False)


def figures(found: Iterable[Figure], directory: Path) -> bytes:
    """Figures of a run, as a JSON list."""
    parts, size = [], 0
    for figure in found:
        parts.append(_figure(figure, directory).encode())
        size += len(parts[-1])
        if size > LARGEST:
            raise UsageError(f"these figures have more than {LARGEST >> 20} MB, too many to show.")
    return b"[" + b",".join(parts) + b"]"


def _figure(figure: Figure, directory: Path) -> str:
    told = {"title": figure.title, "caption": figure.caption}
    content = figure.content
    if drawable(content):
        content.update_layout(template=None)  # the page has those of day and night
        return f'{dumps(told | {"kind": "plotly"})[:-1]},"figure":{content.to_json()}}}'
    if isinstance(content, Path):
        return dumps(told | _file(content, directory))
    if isinstance(content, Markup):
        return dumps(told | {"kind": "markup", "html": content.html})
    return dumps(told | _table(content))


def _file(path: Path, directory: Path) -> dict[str, Any]:
    """A picture or a film of the run; what lies elsewhere, also by a link, is not shown."""
    whole = path.resolve()
    if not whole.is_relative_to(directory) or not whole.is_file():
        return {"kind": "missing", "reason": f"{path.name} does not lie in the folder of the run"}
    kind = "film" if whole.suffix.lower() in FILMS else "picture"
    return {"kind": kind, "file": whole.relative_to(directory).as_posix(), "time": whole.stat().st_mtime_ns}


def _table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    columns = list(dict.fromkeys(str(name) for row in rows[:ROWS] for name in row))
    cells = [[cut(str({str(k): v for k, v in row.items()}.get(c, ""))) for c in columns] for row in rows[:ROWS]]
    return {"kind": "table", "columns": columns, "rows": cells, "left": max(0, len(rows) - ROWS)}


def cut(text: str, most: int = CELL) -> str:
    """The beginning of a text, and how much is missing."""
    return text if len(text) <= most else f"{text[:most]} … ({len(text) - most:,} more characters)"


def _plain(value: Any) -> Any:
    """The value with what JSON has; texts that are no Unicode are mended."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, (bool, int)) else str(value)
