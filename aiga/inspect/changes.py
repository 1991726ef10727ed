"""A diff as something to read: coloured lines, with what it says as text and never as markup."""

from collections import Counter
from html import escape

from aiga.core.texts import visible
from aiga.safety.rules import parsed

LINES = 2_000
"""Of one diff that are shown."""
LETTERS = 2_000
"""Of one line."""
COLOURS = {"+": "#d3f4dc", "-": "#fddcd9", "@": "#dde7f3"}
HEADS = ("diff --git ", "--- ", "+++ ", "new file mode", "deleted file mode", "Binary file ")


def coloured(changes: str) -> str:
    """A diff as HTML, a line a block; what is left out is counted."""
    lines = changes.removesuffix("\n").split("\n")
    rows, head = [], True
    for line in lines[:LINES]:
        head = line.startswith("diff --git ") or (head and not line.startswith("@@"))
        rows.append(_row(line, head))
    if len(lines) > LINES:
        rows.append(_block(f"({len(lines) - LINES:,} more lines)", "color:#52606d"))
    return f'<pre style="padding:.3rem 0;color:#1f2933;overflow-x:auto">{"".join(rows)}</pre>'


def folded(summary: str, changes: str, *, opened: bool = False) -> str:
    """A diff that a click shows, under a line that says what it is."""
    marks = Counter(line.mark for line in parsed(changes))
    counted = f"{summary} · lines: {marks['+']:,} added, {marks['-']:,} removed" if changes else summary
    return f"<details{' open' * opened}><summary>{escape(visible(counted))}</summary>{coloured(changes)}</details>"


def _row(line: str, head: bool) -> str:
    cut = f" ({len(line) - LETTERS:,} more letters)" if len(line) > LETTERS else ""
    text = line[:LETTERS] + cut
    if head and line.startswith(HEADS):
        return _block(text, "font-weight:600;background:#eef1f4")
    colour = COLOURS.get(line[:1])
    return _block(text, f"background:{colour}" if colour else "")


def _block(text: str, style: str) -> str:
    styled = f";{style}" if style else ""
    return f'<span style="display:block;padding:0 .8rem{styled}">{escape(visible(text)) or " "}</span>'
