"""A person who is shown every change, and says whether it may go on: at the terminal, or in files.

Every proposal is written down in the run's directory (`aiga.safety.pending`), and every answer is kept there at once.
At the terminal one is shown after the other; who answers in the files first, from another shell, is heard as well.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.text import Text

from aiga.core import keyboard
from aiga.core.errors import Stopped, UsageError
from aiga.core.texts import visible
from aiga.safety import pending
from aiga.safety.approval import Decision, Proposed
from aiga.safety.pending import Pending

LOOK = 0.1
"""Seconds between two looks at keyboard and files."""
LETTERS = 400
"""Of one line that are shown."""
PURPOSE = 12
"""Lines of the purpose that are shown."""
AROUND = 8
"""Lines of the terminal that are left for what is no change."""


@runtime_checkable
class Host(Protocol):
    """The run, as far as a person is concerned."""

    def approvals(self) -> Path:
        """The folder of proposals and answers."""
        ...

    stopped: Callable[[], bool]
    """Whether somebody asked the run to stop."""
    say: Callable[[str], None]
    aside: Callable[[], AbstractContextManager[None]]
    """Keeps the run's progress off the screen."""


class Person:
    """Asks a person; who presses q goes on later, with `aiga resume`.

    Args:
        host: The run.
        terminal: Whether to ask at the terminal; else the answers are files, and the run waits for them.
    """

    name = pending.PERSON

    def __init__(self, host: Host, *, terminal: bool) -> None:
        if terminal and not keyboard.attended():
            raise UsageError(
                "--approve person asks at the terminal, and this is no interactive one: run in one, or give "
                "--approve files and answer from another shell with `aiga approve DIR`."
            )
        self._host, self._terminal = host, terminal
        self._turn, self._left = asyncio.Lock(), False

    async def decide(self, proposed: Proposed) -> Decision:
        paper = pending.put(self._host.approvals(), proposed)
        try:
            if not self._terminal:
                return await self._answered(paper)
            async with self._turn:
                return await self._asked(paper)
        finally:
            self._host.say("")

    async def _answered(self, paper: Pending) -> Decision:
        """The answer in the files, however long it takes."""
        while (decision := self._look(paper)) is None:
            self._host.say(f"waiting for a person: aiga approve {self._host.approvals().parent}")
            await asyncio.sleep(LOOK)
        return decision

    async def _asked(self, paper: Pending) -> Decision:
        """The answer at the keyboard, or in the files if it is there first."""
        if (decision := self._look(paper)) is not None:
            return decision
        with self._host.aside():
            pages, pressed = _pages(paper), None
            with keyboard.keys():
                keyboard.forget()  # what was typed before was not meant for this
                next(pages)
                while decision is None and pressed is None:
                    pressed = await self._key(pages)
                    decision = self._look(paper)
            if decision is not None:
                _print(Text("answered in the files"))
                return decision
            return paper.answer(pressed == "y", await self._why() if pressed == "n" else "")

    def _look(self, paper: Pending) -> Decision | None:
        if self._left or self._host.stopped():
            raise Stopped
        return paper.decision()

    async def _key(self, pages: Iterator[None]) -> str | None:
        """The key that was pressed, if it is an answer."""
        if not keyboard.typed():
            await asyncio.sleep(LOOK)
            return None
        pressed = keyboard.key()
        if pressed in keyboard.QUIT:
            self._left = True
            raise Stopped
        if pressed == " ":
            next(pages, None)
        return pressed if pressed in ("y", "n") else None

    async def _why(self) -> str:
        """A reason, in a line."""
        sys.stdout.write("why not? (Enter: no reason) ")
        sys.stdout.flush()
        while not keyboard.typed():
            if self._host.stopped():
                raise Stopped
            await asyncio.sleep(LOOK)
        return keyboard.line()


def show(paper: Pending) -> None:
    """Print a proposal, all of it."""
    lines = paper.proposed.changes.removesuffix("\n").split("\n")
    _print(*_head(paper), *map(coloured, lines))


def coloured(line: str) -> Text:
    """A line of a diff; what could steer the terminal is written out."""
    more = f" … {len(line) - LETTERS:,} more letters" if len(line) > LETTERS else ""
    bold = line.startswith(("diff --git ", "new file mode", "deleted file mode"))
    colours = {"+": "green", "-": "red", "@": "cyan"}
    return Text(visible(line[:LETTERS]) + more, "bold" if bold else colours.get(line[:1], ""))


def _pages(paper: Pending) -> Iterator[None]:
    """Print a proposal, a page each time."""
    lines = paper.proposed.changes.removesuffix("\n").split("\n")
    size, seen = Console().size, 0
    room = max(size.height - AROUND, 10)
    _print(*_head(paper))
    while seen < len(lines):
        rows, begin = 0, seen
        while seen < len(lines) and rows < room:
            rows += 1 + min(len(lines[seen]), LETTERS) // max(size.width, 1)
            seen += 1
        _print(*map(coloured, lines[begin:seen]), _keys(len(lines) - seen, paper))
        yield


def _head(paper: Pending) -> Sequence[Text]:
    purpose = paper.proposed.purpose.strip().split("\n")
    told = [visible(line)[:LETTERS] for line in purpose[:PURPOSE]]
    told += [f"… {len(purpose) - PURPOSE:,} more lines"] if len(purpose) > PURPOSE else []
    return [Text(""), Text(f"May {visible(paper.proposed.name)} go on?", "bold"), *map(Text, told), Text("")]


def _keys(left: int, paper: Pending) -> Text:
    more = f"space: {left:,} more lines of {paper.diff}, " if left else ""
    return Text(f"\n{more}y: it may, n: it may not, q: to go on later", "bold")


def _print(*lines: Text) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    for line in lines:
        console.print(line, soft_wrap=True)
