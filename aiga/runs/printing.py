"""Documents through the browser of the system: printed as PDF, or their figures as pictures."""

import base64
import json
from pathlib import Path

from aiga.core.errors import UsageError
from aiga.runs import browser, pages
from aiga.runs.pages import Document


def write(document: Document, path: Path) -> None:
    """Print a document as PDF."""
    program = browser.found()
    if program is None:
        raise UsageError(
            "a PDF is printed by Chromium, Chrome or Edge, and none was found: install one (on Debian `apt install "
            "chromium`), or give --format html and print the page yourself."
        )
    with browser.showing(program, pages.page(document, "print")) as page:
        made = page.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=True, displayHeaderFooter=False)
    path.write_bytes(base64.b64decode(made["data"]))


def pictures(document: Document) -> dict[int, bytes] | None:
    """The plotly figures of a document as PNGs, by their numbers; None without a browser."""
    program = browser.found()
    if program is None:
        return None
    with browser.showing(program, pages.page(document, "pictures")) as page:
        found = json.loads(page.value("JSON.stringify([...document.images].map(one => [one.id, one.src]))"))
    return {
        int(name.removeprefix("picture-f")): base64.b64decode(address.partition(",")[2])
        for name, address in found
        if name.startswith("picture-f")
    }
