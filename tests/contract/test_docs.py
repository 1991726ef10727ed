"""The documentation runs: blocks are executed, systems' pages have their headings, links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from aiga.cli.main import main

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
SHELL = ["bash", "-euo", "pipefail"]
PYTHON = [sys.executable, "-W", "error", "-W", "ignore:Error reading persistent compilation cache entry", "-"]
"""With the warnings of pyproject.toml: another process may be writing the same program."""
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
def test_every_block_of_the_page_runs(page, tmp_path, monkeypatch):
    """Blocks of a page share a folder; a block with a title is a file that the next ones use.

    Those of the README are told to a shell and to Python, each in its own process, as by a reader; the others run here.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)
    for block in blocks(page):
        if block.title:
            (tmp_path / block.title).write_text(block.code)
        elif not block.excused and block.language in ("bash", "python"):
            carry_out(block, apart=page.name == "README.md")
    for module in set(sys.modules) - known:
        if str(getattr(sys.modules[module], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[module]  # the next page may have a file of the same name


def carry_out(block: Block, apart: bool) -> None:
    """Run a block in the working directory."""
    bash = block.language == "bash"
    lines = [shlex.split(line, comments=True) for line in block.code.splitlines() if line] if bash else []
    if apart or not all(plain(words) for words in lines):
        tell(block)
    elif bash:
        for words in lines:
            assert main(words[1:]) == 0, words
    else:
        exec(compile(block.code, "a block", "exec"), {"__name__": "__main__"})


def plain(words: list[str]) -> bool:
    """Whether a line of a shell is a command of ours and nothing else."""
    return words[:1] == ["aiga"] and not {"|", "||", ">", ">>", "&&", ";", "&"} & set(words)


def tell(block: Block) -> None:
    """Give a block to a process of its own."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = SHELL if block.language == "bash" else PYTHON
    done = subprocess.run(
        command, input=block.code, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT, check=False
    )
    assert done.returncode == 0, f"{block.code}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("page", SYSTEM_PAGES, ids=name)
def test_the_page_of_a_system_has_its_seven_headings(page):
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_to_files_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
