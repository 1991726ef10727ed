"""The documentation runs: blocks are executed, systems' pages have their headings, links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SYSTEM_PAGES = sorted((ROOT / "docs" / "systems").glob("*.md"))
HEADINGS = [
    "Idea",
    "Run it",
    "How it works",
    "Options and metrics",
    "Differences from the paper",
    "Result against the control",
    "Reading",
]
TIME_LIMIT = 180
"""Seconds for a block."""
CACHE_RACE = ("-W", "ignore:Error reading persistent compilation cache entry")
"""As in pyproject.toml: another process may be writing the same program."""
BLOCK = re.compile(
    r"(?:^<!-- not executed: (?P<why>[^\n]+) -->\n)?^```(?P<language>\w*)(?P<about>[^\n]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    title: str
    code: str
    excused: bool


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """All blocks that are programs; `console` and `text` show what a program said."""
    found = []
    for match in BLOCK.finditer(page.read_text()):
        title = re.search(r'title="([^"]+)"', match["about"])
        found.append(Block(match["language"], title[1] if title else "", match["code"], bool(match["why"])))
    return found


def test_every_block_names_its_language():
    unnamed = [name(page) for page in PAGES for block in blocks(page) if not block.language]
    assert unnamed == []


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name)
def test_every_block_of_the_page_runs(page, tmp_path):
    """Blocks of a page share a folder; a block with a title is a file that the next ones use."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for block in blocks(page):
        if block.title:
            (tmp_path / block.title).write_text(block.code)
        if block.title or block.excused or block.language not in ("bash", "python"):
            continue
        python = [sys.executable, "-W", "error", *CACHE_RACE, "-"]
        command = ["bash", "-euo", "pipefail"] if block.language == "bash" else python
        done = subprocess.run(
            command,
            input=block.code,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            check=False,
        )
        assert done.returncode == 0, f"{block.code}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("page", SYSTEM_PAGES, ids=name)
def test_the_page_of_a_system_has_its_seven_headings(page):
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_to_files_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
