"""Pages through the browser of the system: printed as PDF, or their figures as pictures.

No browser is shipped or downloaded.  It runs without a window, with a profile of its own that is thrown away, and the
page's own policy keeps it from asking for anything.
"""

import base64
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from aiga.core.errors import UsageError
from aiga.runs import pages
from aiga.runs.pages import Document

NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge",
)  # fmt: skip
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
LIMIT = 180
"""Seconds for one page."""
PATIENCE = 60_000
"""Milliseconds of the page's own clock in which its figures are drawn; the clock stands still while it computes."""


def browser() -> str | None:
    """The system's Chromium, Chrome or Edge, if there is one."""
    return next((path for name in (*NAMES, *PLACES) if (path := shutil.which(name))), None)


def write(document: Document, path: Path) -> None:
    """Print a document as PDF."""
    program = browser()
    if program is None:
        raise UsageError(
            "a PDF is printed by Chromium, Chrome or Edge, and none was found: install one (on Debian `apt install "
            "chromium`), or give --format html and print the page yourself."
        )
    with tempfile.TemporaryDirectory(prefix="aiga-print-") as folder:
        made = Path(folder) / "page.pdf"
        _asked(
            program, pages.page(document, "print"), Path(folder), [f"--print-to-pdf={made}", "--no-pdf-header-footer"]
        )
        if not made.is_file():
            raise UsageError(f"{program} printed nothing: give --format html and print the page yourself.")
        shutil.copyfile(made, path)


def pictures(document: Document) -> dict[int, bytes] | None:
    """The plotly figures of a document as PNGs, by their numbers; None without a browser."""
    program = browser()
    if program is None:
        return None
    with tempfile.TemporaryDirectory(prefix="aiga-print-") as folder:
        said = _asked(program, pages.page(document, "pictures"), Path(folder), ["--dump-dom"])
    found = re.findall(r'<img id="picture-f(\d+)" src="data:image/png;base64,([^"]+)"', said)
    if 'data-drawn="all"' not in said:
        raise UsageError(f"{program} did not draw the figures: give --format html.")
    return {int(number): base64.b64decode(data) for number, data in found}


def _asked(program: str, page: str, folder: Path, words: Sequence[str]) -> str:
    """What the browser says when it is given a page."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    own = [
        "--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
        "--disable-background-networking", "--disable-sync", f"--user-data-dir={folder / 'profile'}",
        f"--virtual-time-budget={PATIENCE}", "--window-size=900,1200",
    ]  # fmt: skip
    if os.geteuid() == 0:
        own.append("--no-sandbox")  # Chromium's own does not start for root
    try:
        done = subprocess.run(
            [program, *own, *words, file.as_uri()], capture_output=True, timeout=LIMIT, check=False, cwd=folder
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{program} cannot draw the page ({type(error).__name__}): give --format html.") from error
    if done.returncode:
        raise UsageError(f"{program} ended with exit code {done.returncode}: give --format html.")
    return done.stdout.decode(errors="replace")
