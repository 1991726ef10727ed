"""Benchmarks of programming that a user has: instances of SWE-bench, and the exercises of Aider's polyglot benchmark.

Nothing is downloaded.  A folder that cannot be used is answered with one sentence that says where and why.  Both are
judged by their own tests, which share an interpreter with what they test: `testfiles` says what that means.  What the
programs need besides Python's standard library must be importable by the interpreter that runs aiga.
"""

import ast
import functools
import io
import json
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aiga.agents import testfiles
from aiga.agents.cases import Verdict
from aiga.agents.coding import Assignment
from aiga.agents.domain import Files
from aiga.agents.exchange import USUAL
from aiga.agents.testfiles import Required
from aiga.core.errors import UsageError
from aiga.sandbox import diffs, workspace
from aiga.sandbox.protocol import Limits, Sandbox

MOST = 256 << 20
"""Bytes of a repository."""
ROOMY = USUAL._replace(limits=Limits(memory_mb=4096, files_mb=512, processes=128))
"""Of an attempt in a repository."""
FIELDS = (
    "instance_id",
    "repo",
    "base_commit",
    "problem_statement",
    "patch",
    "test_patch",
    "FAIL_TO_PASS",
    "PASS_TO_PASS",
)
SHAPE = "give a folder with a .jsonl file of instances, and beside it repos/INSTANCE_ID or repos/OWNER__NAME"
PRACTICE = Path("python", "exercises", "practice")
TEXTS = ("introduction.md", "instructions.md", "instructions.append.md")
UNSEEN = (".docs", ".meta")


def swe_bench(path: str | Path) -> list[Assignment]:
    """The instances of a folder in the style of SWE-bench, Jimenez et al. (2024), https://arxiv.org/abs/2310.06770.

    `PATH/*.jsonl` has an instance a line, with the fields of the data set.  `PATH/repos/INSTANCE_ID` is its repository
    at the base commit; else `PATH/repos/OWNER__NAME` is a clone that has the commit, or, without `.git`, a folder that
    is at it.  Only instances whose tests are named as pytest names them can be used.  An agent is shown the repository
    without the tests of the instance; it may write tests, and what it does to those that are judged by is undone.
    """
    place = Path(path)
    listed = sorted(place.glob("*.jsonl")) if place.is_dir() else []
    if not listed:
        raise UsageError(f"{place} has no .jsonl file: {SHAPE}.")
    found = [_instance(place, file, number, line) for file in listed for number, line in _lines(file)]
    if not found:
        raise UsageError(f"{listed[0]} has no instance: {SHAPE}.")
    return _different(found, place)


def _lines(file: Path) -> Iterable[tuple[int, str]]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read ({error}): {SHAPE}.") from error
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _instance(place: Path, file: Path, number: int, line: str) -> Assignment:
    where = f"{file}, line {number}"
    try:
        row: Any = json.loads(line)
        texts = {name: row[name] for name in FIELDS}
        failing, passing = _names(texts.pop("FAIL_TO_PASS")), _names(texts.pop("PASS_TO_PASS"))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(f"{where} is no instance ({type(error).__name__}: {error}): {SHAPE}.") from error
    if wrong := [name for name, value in texts.items() if not isinstance(value, str)]:
        raise UsageError(f"{where}: {', '.join(wrong)} must be text.")
    if not failing or not all(".py::" in name for name in (*failing, *passing)):
        raise UsageError(
            f"{where}: its tests must be named as pytest names them (FILE.py::TEST), one at least in FAIL_TO_PASS; "
            "leave such instances out."
        )
    folder = _folder(place / "repos", texts["instance_id"], texts["repo"])
    load = functools.partial(_repository, folder, texts["base_commit"])
    names = tuple(dict.fromkeys((*failing, *passing)))

    async def judge(sandbox: Sandbox, left: Files) -> Verdict:
        before = load()
        tests = Required(_patched(before, texts["test_patch"], where), names, texts["patch"], plugins=True)
        return await testfiles.judged(sandbox, before, left, tests)

    return Assignment(texts["instance_id"], texts["problem_statement"], load, judge, allowance=ROOMY)


def _names(value: Any) -> list[str]:
    """A list of texts, or one as JSON, as the data set has it."""
    names = json.loads(value) if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("tests must be a list of names")
    return names


def _folder(repos: Path, instance: str, repo: str) -> Path:
    names = [instance, repo.replace("/", "__")]
    for name in names:
        if name.strip(".") and Path(name).name == name and (repos / name).is_dir():
            return repos / name
    raise UsageError(f"{repos} has neither {names[0]} nor {names[1]}: check out the repository under one of the names.")


def _repository(folder: Path, commit: str) -> Files:
    """The files of a repository at a commit, links aside."""
    if not (folder / ".git").exists():
        return workspace.read(folder, MOST)
    words = ["git", "-C", str(folder), "archive", "--format=tar", commit]
    try:
        done = subprocess.run(words, capture_output=True, check=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(
            f"{folder} cannot give commit {commit!r} ({error}): fetch it there, or give its files without .git."
        ) from error
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        members = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name: file.read() for name, file in members.items() if file}


def _patched(before: Files, patch: str, where: str) -> Mapping[str, bytes | None]:
    """The files that a patch touches, as they are after it."""
    try:
        after = diffs.apply(before, patch)
    except UsageError as error:
        raise UsageError(f"{where}: its test_patch does not fit its repository ({error}).") from error
    return {name: after.get(name) for name in {*before, *after} if before.get(name) != after.get(name)}


def aider(path: str | Path) -> list[Assignment]:
    """The Python exercises of a folder like Aider's polyglot benchmark, https://github.com/Aider-AI/polyglot-benchmark.

    `PATH/python/exercises/practice/NAME` has `.docs/instructions.md` and `.meta/config.json`, which lists the files of
    the solution, the tests and the example.  The other languages need tools that a sandbox without a network lacks, and
    are left out.  As in the benchmark, an agent is shown the folder without tests and example.
    """
    place = Path(path) / PRACTICE
    folders = sorted(folder for folder in place.iterdir() if folder.is_dir()) if place.is_dir() else []
    if not folders:
        raise UsageError(f"{path} has no {PRACTICE.as_posix()}/NAME: give the folder of Aider's polyglot benchmark.")
    return _different([_exercise(folder) for folder in folders], place)


def _exercise(folder: Path) -> Assignment:
    try:
        listed: Any = json.loads((folder / ".meta" / "config.json").read_text(encoding="utf-8"))["files"]
        solution, tests, examples = (_names(listed[name]) for name in ("solution", "test", "example"))
        docs = [folder / ".docs" / name for name in TEXTS]
        statement = "\n\n".join(text.read_text(encoding="utf-8").strip() for text in docs if text.exists())
        files = workspace.read(folder, MOST)
        held: dict[str, bytes | None] = {name: files[name] for name in tests}
        names = tuple(name for test in tests for name in _tests(test, files[test]))
        example = "\n".join(files[name].decode() for name in examples)
        missing = [name for name in solution if name not in files]
    except (OSError, ValueError, TypeError, KeyError, SyntaxError) as error:
        raise UsageError(
            f"{folder} is no exercise ({type(error).__name__}: {error}): it needs .docs/instructions.md, and "
            ".meta/config.json with the lists solution, test and example of its files."
        ) from error
    if missing or not names or not statement:
        lacking = ", ".join(missing) or ("tests" if statement else "instructions")
        raise UsageError(f"{folder} lacks {lacking}: copy the exercise again, or remove its folder.")
    shown = {
        name: content
        for name, content in files.items()
        if Path(name).parts[0] not in UNSEEN and name not in (*tests, *examples)
    }

    async def judge(sandbox: Sandbox, left: Files) -> Verdict:
        return await testfiles.judged(sandbox, shown, left, Required(held, names, example))

    where = f"Change {', '.join(solution)}."
    return Assignment(folder.name, f"{statement}\n\n{where}", functools.partial(dict, shown), judge)


def _tests(file: str, content: bytes) -> Iterable[str]:
    """The tests of a file as pytest names them."""
    for node in ast.parse(content).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            yield f"{file}::{node.name}"
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.name.startswith("test"):
                    yield f"{file}::{node.name}::{inner.name}"


def _different(assignments: list[Assignment], place: Path) -> list[Assignment]:
    names = [assignment.name for assignment in assignments]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{place} has {twice[0]} twice: names of tasks must differ.")
    return assignments
