"""Questions to a person, "is the reference closer to A or to B?", and who answers them.

Ding et al. (2023), "Quality Diversity through Human Feedback", https://arxiv.org/abs/2310.12103.  A judge is an async
function from questions to answers.  Three are here: one that knows the ground truth, a person at the terminal, and a
file of answers.  The last two keep answers in a file, so nobody is asked twice, and a run can be repeated from it:

    question,answer                     or, as JSON lines,
    12-9f3ab2c1,A                       {"question": "12-9f3ab2c1", "answer": "A"}

An answer is A, B or skip.  A question is named by its number and a digest of its pictures, so that an answer never
counts for another question; the last of several answers to the same question counts.
"""

import contextlib
import csv
import hashlib
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel

from aiga.core.errors import UsageError
from aiga.core.keyboard import QUIT, attended, key, keys
from aiga.judges.pictures import drawing, page

ANSWERS = {"A": 1, "B": -1, "skip": 0}
KEYS = {"a": "A", "b": "B", "s": "skip"}


class Questions(NamedTuple):
    """Triplets as pictures: an arm is the line of its joints, an episode the line of its places."""

    lines: Float[np.ndarray, "n 3 t 2"]
    """Of the reference, of A and of B, in the unit square."""
    walls: Float[np.ndarray, "w 2 2"]
    """Ends of what stands around, the same in every picture."""
    first: int
    """The number of the first question."""

    @property
    def names(self) -> list[str]:
        """A name for each: it says which pictures were shown."""
        content = [(np.round(line, 3) + 0.0).astype(np.float32).tobytes() for line in self.lines]
        return [f"{i}-{hashlib.sha256(seen).hexdigest()[:8]}" for i, seen in enumerate(content, self.first)]


Judge = Callable[[Questions], Awaitable[Int[np.ndarray, " n"]]]
"""1: A is closer; -1: B is closer; 0: skipped."""


def simulated(mistakes: float = 0.0) -> Judge:
    """A judge who looks at where the lines end, and errs on a share of all questions, always the same ones."""

    async def judge(questions: Questions) -> Int[np.ndarray, " n"]:
        ends = questions.lines[:, :, -1]
        a, b = (((ends[:, 0] - ends[:, i]) ** 2).sum(axis=-1) for i in (1, 2))
        luck = np.array([int(name.rpartition("-")[2], 16) / 16**8 for name in questions.names])
        return np.where(a > b, -1, 1) * np.where(luck < mistakes, -1, 1)

    return judge


def from_file(path: Path) -> Judge:
    """The answers of a file; if some are missing, the open questions are written beside it, as a page and as JSON."""
    check(path)

    async def judge(questions: Questions) -> Int[np.ndarray, " n"]:
        given, names = read(path), questions.names
        missing = [i for i, name in enumerate(names) if name not in given]
        if missing:
            table, shown = write_questions(path, questions, missing)
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise UsageError(
                f"{path} has no answer to question {names[missing[0]]}{more}: open {shown} in a browser (or read "
                f"{table.name}), add the answers to {path}, then `aiga resume` the run."
            )
        return np.array([ANSWERS[given[name]] for name in names])

    return judge


def at_terminal(path: Path) -> Judge:
    """A person who presses a, b, s or q; every answer is in the file before the next question is shown."""
    check(path)

    async def judge(questions: Questions) -> Int[np.ndarray, " n"]:
        given, names = read(path), questions.names
        missing = [i for i, name in enumerate(names) if name not in given]
        if missing and not attended():
            raise UsageError(
                f"question {names[missing[0]]} is for a person, and this is no interactive terminal: go on in one with "
                f"`aiga resume`, or answer in a file with --judge file --answers {path}."
            )
        with keys() if missing else contextlib.nullcontext():
            for turn, i in enumerate(missing):
                _show(questions, i, f"question {turn + 1} of {len(missing)}")
                answer = _pressed()
                if answer is None:
                    kept = f"{len(names) - len(missing) + turn} of the {len(names)} answers of this round are in {path}"
                    raise UsageError(f"you stopped; {kept}: go on with `aiga resume`.")
                given[names[i]] = answer
                append(path, names[i], answer)
        return np.array([ANSWERS[given[name]] for name in names])

    return judge


def check(path: Path) -> None:
    """Refuse what cannot be a file of answers."""
    if path.suffix not in (".csv", ".jsonl"):
        raise UsageError(f"--answers is {str(path)!r}: give a file whose name ends with .csv or .jsonl.")


def read(path: Path) -> dict[str, str]:
    """The answers in a file, by question; none, if there is no such file yet."""
    if not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = list(_csv(text) if path.suffix == ".csv" else _jsonl(text))
    except (OSError, ValueError) as error:  # a folder, another encoding, no JSON
        raise UsageError(f"{path} cannot be read as answers ({error}): mend or remove it.") from error
    folded = {answer.casefold(): answer for answer in ANSWERS}
    for number, (name, answer) in rows:
        if answer.casefold() not in folded:
            allowed = ", ".join(ANSWERS)
            raise UsageError(f"{path}, line {number}, says {answer!r} to question {name!r}: say one of {allowed}.")
    return {name: folded[answer.casefold()] for _, (name, answer) in rows}


def append(path: Path, question: str, answer: str) -> None:
    """Add one answer to a file, at once."""
    fresh = not path.exists() or not path.stat().st_size
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        if path.suffix == ".csv":
            file.write(("question,answer\n" if fresh else "") + f"{question},{answer}\n")
        else:
            file.write(json.dumps({"question": question, "answer": answer}) + "\n")


def write_questions(path: Path, questions: Questions, rows: Sequence[int]) -> tuple[Path, Path]:
    """Write some of the questions beside a file of answers: as JSON lines, and as a page to look at."""
    names = questions.names
    table, shown = (path.with_name(f"{path.stem}.questions.{kind}") for kind in ("jsonl", "html"))
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [dict(zip(("reference", "A", "B"), np.round(questions.lines[i], 3).tolist(), strict=True)) for i in rows]
    asked = [json.dumps({"question": names[i]} | picture) for i, picture in zip(rows, pictures, strict=True)]
    table.write_text("".join(f"{line}\n" for line in asked), encoding="utf-8")
    shown.write_text(page([names[i] for i in rows], questions.lines[rows], questions.walls, path), encoding="utf-8")
    return table, shown


def _csv(text: str) -> Iterator[tuple[int, tuple[str, str]]]:
    for number, row in enumerate(csv.reader(text.splitlines()), 1):
        if not any(cell.strip() for cell in row) or (number == 1 and row[0].strip() == "question"):
            continue
        if len(row) != 2:
            raise ValueError(f"line {number} has {len(row)} columns instead of a question and an answer")
        yield number, (row[0].strip(), row[1].strip())


def _jsonl(text: str) -> Iterator[tuple[int, tuple[str, str]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        row = json.loads(line)
        if not isinstance(row, Mapping) or not {"question", "answer"} <= row.keys():
            raise ValueError(f"line {number} is not an object with `question` and `answer`")
        yield number, (str(row["question"]), str(row["answer"]))


def _show(questions: Questions, i: int, title: str) -> None:
    """Three pictures side by side; through `sys.stdout`, which a progress line on the screen may have replaced."""
    console = Console()
    reference, a, b = (drawing(line, questions.walls) for line in questions.lines[i])
    panels = [Panel.fit(text, title=name) for name, text in (("A", a), ("reference", reference), ("B", b))]
    with console.capture() as captured:
        console.print(f"\n[bold]{title}[/bold]: is the reference closer to A or to B?", highlight=False)
        console.print(Columns(panels))
        console.print("press [bold]a[/bold], [bold]b[/bold], [bold]s[/bold] to skip, [bold]q[/bold] to go on later")
    sys.stdout.write(captured.get())
    sys.stdout.flush()


def _pressed() -> str | None:
    """The answer of the next key that means something; None: the person wants to stop."""
    while True:
        pressed = key()
        if pressed in QUIT:
            return None
        if pressed in KEYS:
            return KEYS[pressed]
