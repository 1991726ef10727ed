"""Questions that the user has in files: multiple choice as JSONL, and the files of MGSM, DROP, GPQA and ARC.

Nothing is downloaded.  A file that cannot be used is answered with one sentence that says where and why.
"""

import csv
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from aiga.core.errors import UsageError
from aiga.data.puzzles import Task


def read(source: str, path: str | Path) -> list[Task]:
    """All tasks of a file, or of a folder.

    Args:
        source: `choice` (JSONL: question, choices, answer), `mgsm` (TSV), `drop` (JSON), `gpqa` (CSV) or `arc` (a
            folder of JSON files, or one).
        path: Where it is.
    """
    place = Path(path)
    if not place.exists():
        raise UsageError(f"--path {place} does not exist: give the file of `{source}`.")
    at = ["line 1"]
    try:
        tasks = list(READERS[source](place, at))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, csv.Error, OSError) as error:
        why = f"{type(error).__name__}: {error}"
        raise UsageError(f"{place} cannot be read as `{source}` at {at[0]} ({why}): {SHAPES[source]}.") from error
    if not tasks:
        raise UsageError(f"{place} has no question: {SHAPES[source]}.")
    return [task._replace(name=f"{source}-{i}") for i, task in enumerate(tasks, 1)]


def choice(question: str, choices: list[str], right: int) -> Task:
    """A question with lettered choices."""
    if not 2 <= len(choices) <= 26 or not 0 <= right < len(choices):
        raise ValueError(f"{len(choices)} choices of which number {right + 1} is right")
    listed = [f"{letter}. {text}" for letter, text in zip(ascii_uppercase, choices, strict=False)]
    letters = ascii_uppercase[: len(choices)]
    asked = "\n".join([question, *listed, "Answer with one letter."])
    return Task("", asked, (letters[right],), "choice", 1, tuple(x for x in letters if x != letters[right]))


def _choices(path: Path, at: list[str]) -> Iterator[Task]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        at[0] = f"line {number}"
        if not line.strip():
            continue
        row = json.loads(line)
        answer, choices = row["answer"], [str(text) for text in row["choices"]]
        right = ascii_uppercase.index(answer) if isinstance(answer, str) else int(answer)
        yield choice(str(row["question"]), choices, right)


def _mgsm(path: Path, at: list[str]) -> Iterator[Task]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        at[0] = f"line {number}"
        question, answer = line.split("\t")
        float(answer.replace(",", ""))
        yield Task("", f"{question}\nAnswer with a number.", (answer.strip(),), "number")


def _drop(path: Path, at: list[str]) -> Iterator[Task]:
    for name, passage in json.loads(path.read_text(encoding="utf-8")).items():
        at[0] = f"passage {name}"
        for pair in passage["qa_pairs"]:
            given = [pair["answer"], *pair.get("validated_answers", [])]
            answers = tuple(dict.fromkeys(filter(None, map(_plain, given))))
            question = f"{passage['passage']}\n\n{pair['question']}\nAnswer briefly."
            if answers:
                yield Task("", question, answers, "span")


def _plain(answer: dict[str, Any]) -> str:
    """The answer of DROP as a text: a number, spans, or a date."""
    date = answer.get("date") or {}
    parts = [date.get(part, "") for part in ("day", "month", "year")]
    return str(answer.get("number", "")) or " ".join(answer.get("spans", [])) or " ".join(filter(None, parts))


def _gpqa(path: Path, at: list[str]) -> Iterator[Task]:
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 1):
            at[0] = f"row {number}"
            right, *wrong = (row[name] for name in ("Correct Answer", *(f"Incorrect Answer {i}" for i in (1, 2, 3))))
            choices = [text.strip() for text in (right, *wrong)]
            random.Random(row["Question"]).shuffle(choices)
            yield choice(row["Question"].strip(), choices, choices.index(right.strip()))


def _arc(path: Path, at: list[str]) -> Iterator[Task]:
    for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
        at[0] = file.name
        puzzle = json.loads(file.read_text(encoding="utf-8"))
        examples = [f"Input {i}: {p['input']}\nOutput {i}: {p['output']}" for i, p in enumerate(puzzle["train"], 1)]
        head = "One rule turns each input grid into its output grid. Numbers are colours."
        for pair in puzzle["test"]:
            tail = f"Input: {pair['input']}\nAnswer with the output grid as a list of rows."
            yield Task("", "\n".join([head, *examples, tail]), (json.dumps(pair["output"]),), "grid")


READERS: dict[str, Callable[[Path, list[str]], Iterator[Task]]] = {
    "choice": _choices,
    "mgsm": _mgsm,
    "drop": _drop,
    "gpqa": _gpqa,
    "arc": _arc,
}
SHAPES = {
    "choice": 'give lines like {"question": "...", "choices": ["...", "..."], "answer": "B"}',
    "mgsm": "give lines of a question, a tab and a number",
    "drop": 'give the JSON file of DROP, passages with their "qa_pairs"',
    "gpqa": "give the CSV file of GPQA, with its columns Question, Correct Answer, Incorrect Answer 1 to 3",
    "arc": 'give JSON files with "train" and "test", lists of "input" and "output"',
}
