"""What the command line shows: tables and summaries on the terminal."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from aiga.core.texts import visible
from aiga.runs.catalogue import Entry
from aiga.safety.pending import Pending
from aiga.safety.rules import parsed


def overview(commands: Mapping[str, Callable[..., int]]) -> None:
    """The commands, a line each."""
    grid = _grid()
    for name, function in commands.items():
        grid.add_row(f"aiga {name}", (function.__doc__ or "").partition("\n")[0])
    console = _console()
    console.print("AI-generating algorithms: run them, resume them, look at what they found, test their claims.\n")
    console.print(grid)
    console.print(
        "\n`aiga COMMAND --help` shows a command's options, `aiga run SYSTEM --help` a system's.", markup=False
    )


def entries(catalogue: Sequence[Entry]) -> None:
    """The catalogue."""
    table = Table("name", "what it is", "papers", "pillar", "needs", box=None, pad_edge=False, header_style="bold")
    for entry in catalogue:
        papers = ", ".join(map(str, entry.papers))
        table.add_row(entry.name, entry.title, papers, entry.pillar, ", ".join(entry.needs))
    _console().print(table)


def summary(directory: Path, values: Mapping[str, Any]) -> None:
    """One run: what it is, how far it is, what it found, what it cost, how to go on."""
    grid = _grid()
    grid.add_row("system", str(values["system"]))
    grid.add_row("options", _pairs({"seed": values["seed"]} | dict(values["options"])))
    grid.add_row("status", f"{values['status']}, {values['steps']} steps in {_duration(values['seconds'])}")
    metrics = {name: v for name, v in values["metrics"].items() if not name.startswith(("archive/", "run/"))}
    for part, pairs in (("metrics", metrics), ("archive", values["archive"]), ("cost", values["cost"])):
        if any(pairs.values()):
            grid.add_row(part, _pairs(pairs))
    for part in ("model", "sandbox"):
        if values.get(part):
            grid.add_row(part, str(values[part]))
    grid.add_row("go on", f"aiga resume {directory}")
    _console().print(grid)


def finished(directory: Path, reason: str = "") -> None:
    """Where a run's result is, and why it ended early, if it did."""
    console = _console(soft_wrap=True)
    if reason:
        console.print(f"Stopped: {reason}")
    console.print(f"{directory}: see `aiga show {directory}`.")


def say(sentence: str) -> None:
    """A sentence, in one line however long."""
    _console(soft_wrap=True).print(sentence)


def waiting(directory: Path, papers: Sequence[Pending]) -> None:
    """Proposals that wait for a person, and how to answer."""
    if not papers:
        _console(soft_wrap=True).print(f"{directory}: nothing waits for an answer.")
        return
    table([{"name": p.name, "candidate": visible(p.proposed.name), "lines": _changed(p)} for p in papers])
    _console(soft_wrap=True).print(f"\n`aiga approve {directory} NAME` shows one, with yes or no behind it answers.")


def _changed(paper: Pending) -> int:
    """Lines added and removed."""
    return sum(line.mark in "+-" for line in parsed(paper.proposed.changes))


def claim(result: Mapping[str, Any]) -> None:
    """A claim, every arm's median and values, and the verdict."""
    console = _console()
    console.print(f"{result['claim']}\n")
    rows = [
        {"arm": arm, "metric": name, "median": statistics.median(values), "seeds": values}
        for arm, metrics in result["table"].items()
        for name, values in metrics.items()
    ]
    table(rows)
    verdict = "holds" if result["holds"] else "does not hold"
    effect = f"effect on {result['metric']} {_value(result['effect'])} ({_value(result['interval'])})"
    console.print(f"\n{effect}: the claim {verdict}; {_duration(result['seconds'])}.")


def side_by_side(rows: Sequence[Mapping[str, Any]]) -> None:
    """A column for each row, as rows have more fields than a terminal has columns."""
    first, *fields = dict.fromkeys(name for row in rows for name in row)
    table([{first: field} | {str(row[first]): row.get(field, "") for row in rows} for field in fields])


def table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows that share their columns."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    shown = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        shown.add_row(*(_value(row.get(column, "")) for column in columns))
    _console().print(shown)


def _console(*, soft_wrap: bool = False) -> Console:
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=soft_wrap)


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    return grid


def _pairs(values: Mapping[str, Any]) -> str:
    return "\n".join(f"{name} = {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
