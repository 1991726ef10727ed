"""What tests say of a program: the tests of a benchmark's own, run in the sandbox beside the program that they test.

Such tests share an interpreter with the program, so a program that is written to forge their report can.  What is done
against it: the test files, and the files by which a test run is configured, are as they were; only a report that begins
with a mark that the program was not told counts, so that what it prints does not; a test counts only if it is named
beforehand and its report says that it passed, so that what is skipped, lacking or ended early fails.  A program that
searches its own process for the mark gets through.  Where scores must not be forged, use `polyglot-lite`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from aiga.agents.cases import Verdict
from aiga.sandbox.protocol import Limits, Result, Sandbox

LIMITS = Limits(seconds=600.0, memory_mb=4096, files_mb=1024, processes=64, output_kb=4096)
WORK = "work"
SETTINGS = (
    *("conftest.py", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml"),
    *("sitecustomize.py", "usercustomize.py"),
)
"""Files that may change how tests are run, in whatever folder."""
SHADOWS = ("pytest.py", "pytest", "_pytest", "pluggy", "unittest.py", "unittest", "json.py", "importlib")
"""Names in the outermost folder that would take the place of what runs the tests."""
NAMED = 10
"""Failed tests of a verdict."""
LONGEST = 4000
"""Characters of a solution in a verdict."""


class Required(NamedTuple):
    """Tests that a program must pass."""

    files: Mapping[str, bytes | None]
    """Test files as they are to be; None: it is to be removed."""
    names: tuple[str, ...]
    """As pytest names them: `FOLDER/FILE.py::CLASS::METHOD`."""
    solution: str = ""
    """What would have been right, for a diagnosis."""
    plugins: bool = False
    """Whether pytest loads all plugins that are installed, or only those that the tests ask for."""


async def judged(
    sandbox: Sandbox, before: Mapping[str, bytes], left: Mapping[str, bytes], tests: Required, limits: Limits = LIMITS
) -> Verdict:
    """The verdict of tests on the files that an agent left, where there were others before."""
    files = {f"{WORK}/{name}": content for name, content in restored(before, left, tests).items()}
    mark = marked(files, tests.names)
    asked = json.dumps({"mark": mark, "names": tests.names, "plugins": tests.plugins})
    inside = {**files, "runner.py": RUNNER.encode(), "asked.json": asked.encode()}
    result = await sandbox.run(["python", "-P", "runner.py"], files=inside, limits=limits)
    passed = said(result, mark)
    failed = [name for name in tests.names if name not in passed]
    lines = [f"{len(tests.names) - len(failed)} of {len(tests.names)} tests pass."]
    lines += [f"failed: {name}" for name in failed[:NAMED]]
    lines += [f"and {len(failed) - NAMED} more."] * (len(failed) > NAMED)
    if failed and tests.solution:
        lines += ["", "A solution:", tests.solution[:LONGEST]]
    return Verdict(1 - len(failed) / len(tests.names), "\n".join(lines))


def restored(before: Mapping[str, bytes], left: Mapping[str, bytes], tests: Required) -> dict[str, bytes]:
    """What an agent left, with the tests and all that configures them as they are to be."""
    files = {name: content for name, content in left.items() if not configures(name)}
    files |= {name: content for name, content in before.items() if configures(name)}
    for name, content in tests.files.items():
        files.pop(name, None)
        if content is not None:
            files[name] = content
    for name in list(files):
        for folder in PurePosixPath(name).parents:  # a file in the place of a folder gives way
            files.pop(str(folder), None)
    return files


def configures(name: str) -> bool:
    """Whether a file may change how tests are run."""
    path = PurePosixPath(name)
    return path.name in SETTINGS or path.parts[0] in SHADOWS


def marked(files: Mapping[str, bytes], names: Sequence[str]) -> str:
    """What a report begins with: the same for the same files, so that a resumed run finds its result again."""
    digest = hashlib.sha256(json.dumps(list(names)).encode())
    for name, content in sorted(files.items()):
        digest.update(hashlib.sha256(name.encode() + b"\0" + content).digest())
    return digest.hexdigest()


def said(result: Result, mark: str) -> set[str]:
    """The tests that passed, as the one report with the mark says; several are none."""
    reports = [line.removeprefix(mark) for line in result.stdout.splitlines() if line.startswith(mark)]
    try:
        (report,) = map(json.loads, reports)
    except (ValueError, RecursionError):
        return set()
    return {name for name in report if isinstance(name, str)} if isinstance(report, list) else set()


RUNNER = r"""
import importlib.util
import json
import os
import sys
import unittest

with open("asked.json") as file:
    asked = json.load(file)
for name in ("asked.json", "runner.py"):
    os.remove(name)
os.chdir("work")
sys.path.insert(0, os.getcwd())
wanted, output = set(asked["names"]), os.dup(1)
if not asked["plugins"]:
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
paths = sorted({name.split("::")[0] for name in wanted})


class Watcher:
    def __init__(self):
        self.good, self.bad = set(), set()

    def pytest_collection_modifyitems(self, config, items):
        items[:] = [item for item in items if item.nodeid in wanted]

    def pytest_runtest_logreport(self, report):
        expected = hasattr(report, "wasxfail")
        if report.failed or (report.skipped and not expected):
            self.bad.add(report.nodeid)
        elif report.when == "call":
            self.good.add(report.nodeid)

    @property
    def passed(self):
        return self.good - self.bad


def with_pytest():
    watcher = Watcher()
    here = [path for path in paths if os.path.exists(path)]
    words = ["-q", "-p", "no:cacheprovider", "--rootdir", os.getcwd(), "--continue-on-collection-errors", *here]
    pytest.main(words, plugins=[watcher])
    return watcher.passed


def with_unittest():
    passed = set()
    for number, path in enumerate(paths):
        sys.path.insert(0, os.path.abspath(os.path.dirname(path)))
        try:
            spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
            suites = [unittest.defaultTestLoader.loadTestsFromModule(module)]
        except BaseException:
            continue
        while suites:
            test = suites.pop()
            if isinstance(test, unittest.TestSuite):
                suites += list(test)
                continue
            result = unittest.TestResult()
            name = "::".join([path, type(test).__name__, test._testMethodName])
            if name in wanted:
                test.run(result)
                if result.testsRun and result.wasSuccessful() and not (result.skipped or result.unexpectedSuccesses):
                    passed.add(name)
    return passed


try:
    import pytest
except ImportError:
    pytest = None
mark = asked.pop("mark")
passed = with_pytest() if pytest else with_unittest()
os.write(output, ("\n" + mark + json.dumps(sorted(passed)) + "\n").encode())
os._exit(0)
"""
"""Runs inside the sandbox: pytest if it is there, else unittest."""
