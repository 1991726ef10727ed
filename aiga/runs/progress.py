"""The progress line of a run: how far, how fast, how long still; silent where nobody looks."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

REFRESH = 0.2
"""Seconds between two pictures of the line."""


class Progress:
    """Shows a run on the terminal; does nothing when standard error is not one."""

    def __init__(self, name: str, fraction: Callable[[int, float], float]) -> None:
        self._fraction = fraction
        self._shown, self._origin, self._line = 0.0, None, "compiling"
        columns = (
            TextColumn("{task.description}"),
            BarColumn(24),
            TaskProgressColumn(),
            TextColumn("{task.fields[line]}"),
        )
        console = Console(stderr=True)
        self._bar = Bar(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task(name, total=1.0, line=self._line)
        self._open = False

    def __enter__(self) -> "Progress":
        self._open = True
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._bar.stop()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave the screen to somebody else for a while."""
        self._bar.stop()
        try:
            yield
        finally:
            if self._open:
                self._bar.start()

    def say(self, text: str) -> None:
        """Show what the running step waits for; nothing: it waits no more."""
        self._bar.update(self._task, line=text or self._line)

    def tell(self, sentence: str) -> None:
        """Say something that must be seen, also where nobody looks at the line."""
        self._bar.console.print(f"aiga: {sentence}", soft_wrap=True, highlight=False, markup=False)

    def update(self, step: int, seconds: float, info: Mapping[str, Any]) -> None:
        """Show the state after `step` steps and `seconds` seconds."""
        now = time.monotonic()
        self._origin = self._origin or (step - 1, seconds)  # the first step compiles: the rate starts behind it
        if self._bar.disable or now - self._shown < REFRESH:
            return
        self._shown = now
        done = self._fraction(step, seconds)
        rate = (step - 1 - self._origin[0]) / max(seconds - self._origin[1], 1e-9)
        left = f"{_clock(seconds * (1 - done) / done)} left" if 0 < done <= 1 else f"{_clock(seconds)} so far"
        scalars = [(name, value) for name, value in info.items() if not isinstance(value, str | tuple)]
        figures = "  ".join(f"{name} {float(value):,.6g}" for name, value in scalars[:3])
        self._line = f"step {step:,}  {rate:,.3g}/s  {left}  {figures}"
        self._bar.update(self._task, completed=min(done, 1.0), total=1.0 if done else None, line=self._line)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
