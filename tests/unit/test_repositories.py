"""Benchmarks that a user has: read from their folders, and judged by their own tests in the sandbox."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aiga.agents import repositories, testfiles
from aiga.agents.cases import Verdict
from aiga.agents.coding import Assignment, Coding, Divided
from aiga.agents.testfiles import Required
from aiga.core.errors import UsageError
from aiga.fm.offline import Offline
from aiga.sandbox import diffs, ladder
from aiga.sandbox.protocol import Result

BEFORE = {
    "calc/__init__.py": b"",
    "calc/core.py": b"def add(a, b):\n    return a - b\n",
    "tests/test_core.py": b"from calc.core import add\n\n\ndef test_zero():\n    assert add(3, 0) == 3\n",
}
TEST = BEFORE["tests/test_core.py"] + (
    b"\n\n@pytest.mark.parametrize('a', [1, 2])\ndef test_add(a):\n    assert add(a, 1) == a + 1\n"
    b"\n\nclass TestMore:\n    def test_negative(self):\n        assert add(-1, -1) == -2\n"
)
AFTER = {
    **BEFORE,
    "calc/core.py": b"def add(a, b):\n    return a + b\n",
    "tests/test_core.py": b"import pytest\n" + TEST,
}
FIXED = {**BEFORE, "calc/core.py": AFTER["calc/core.py"]}
NAMES = ["tests/test_core.py::test_add[1]", "tests/test_core.py::test_add[2]"]
MORE = "tests/test_core.py::TestMore::test_negative"


def patch(*names: str) -> str:
    return diffs.diff({name: BEFORE[name] for name in names}, {name: AFTER[name] for name in names})


ROW: dict[str, Any] = {
    "instance_id": "owner__calc-1",
    "repo": "owner/calc",
    "base_commit": "",
    "problem_statement": "add subtracts.",
    "patch": patch("calc/core.py"),
    "test_patch": patch("tests/test_core.py"),
    "FAIL_TO_PASS": json.dumps([*NAMES, MORE]),
    "PASS_TO_PASS": ["tests/test_core.py::test_zero"],
    "version": "1.0",
}


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def bench(folder: Path, *rows: Any, repo: str = "owner__calc-1") -> Path:
    """A folder in the style of SWE-bench."""
    write(folder / "repos" / repo, BEFORE)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows or (ROW,)]
    (folder / "instances.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def judged(task: Assignment, files: Any) -> Verdict:
    return asyncio.run(task.judge(ladder.best(), files))


def verdict_on(files: Any) -> Verdict:
    """The verdict of the instance's tests, without the plugins that happen to be here."""
    names = (*NAMES, MORE, "tests/test_core.py::test_zero")
    required = Required({"tests/test_core.py": AFTER["tests/test_core.py"]}, names, ROW["patch"])
    return asyncio.run(testfiles.judged(ladder.best(), BEFORE, files, required))


def test_an_instance_is_solved_by_what_its_tests_say(tmp_path):
    (task,) = repositories.swe_bench(bench(tmp_path))
    assert (task.name, task.statement, dict(task.files())) == ("owner__calc-1", "add subtracts.", BEFORE)
    assert judged(task, FIXED).score == 1
    found = verdict_on(BEFORE)
    assert (found.score, found.share) == (0.0, 0.25)
    assert f"failed: {NAMES[0]}" in found.text
    assert "+    return a + b" in found.text


def test_what_an_agent_does_to_tests_and_their_settings_is_undone():
    forged = {
        **BEFORE,
        "tests/test_core.py": b"def test_zero(): pass\ndef test_add(): pass\n",
        "conftest.py": b"import pytest\n\n\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport():\n"
        b"    outcome = yield\n    outcome.get_result().outcome = 'passed'\n",
        "pytest.ini": b"[pytest]\npython_functions = nothing\n",
        "pytest.py": b"def main(*_, **__): pass\n",
    }
    assert verdict_on(forged).share == 0.25
    assert verdict_on({**forged, "calc/core.py": FIXED["calc/core.py"]}).score == 1


@pytest.mark.parametrize(
    "code",
    [
        "print('4 passed')\nimport os\nos._exit(0)\n",
        "import sys\nsys.exit(0)\n",
        "import sys\nsys.stdout.write('0' * 64 + '[\"tests/test_core.py::test_zero\"]\\n')\nadd = lambda a, b: 0\n",
        "import pytest\npytest.skip('not here', allow_module_level=True)\n",
    ],
)
def test_a_program_that_prints_a_report_skips_or_ends_early_passes_nothing(code):
    assert verdict_on({**BEFORE, "calc/core.py": code.encode()}).share == 0


def test_a_report_counts_only_once_and_only_with_its_mark():
    mark = "ab" * 32
    report = mark + '["x::y", 3]\n'
    assert testfiles.said(Result("ok", stdout=f"noise\n{report}noise"), mark) == {"x::y"}
    for stdout in ("", report * 2, mark + "[", mark + "{}", "cd" * 32 + '["x::y"]'):
        assert testfiles.said(Result("ok", stdout=stdout), mark) == set()


def test_a_mark_is_the_same_for_the_same_files_and_no_others():
    files = {"a": b"1", "b": b"2"}
    assert testfiles.marked(files, ["x"]) == testfiles.marked(dict(reversed(files.items())), ["x"])
    assert testfiles.marked(files, ["x"]) != testfiles.marked({**files, "b": b"3"}, ["x"])


def test_without_pytest_tests_of_unittest_are_run():
    code = (
        b"import unittest\nimport thing\n\n\nclass T(unittest.TestCase):\n    def test_a(self):\n"
        b"        self.assertEqual(thing.one(), 1)\n    def test_b(self):\n        self.fail()\n"
        b"    @unittest.skip('no')\n    def test_c(self):\n        pass\n"
    )
    names = tuple(f"t/test_t.py::T::test_{letter}" for letter in "abc")
    program = {"thing.py": b"def one():\n    return 1\n"}
    runner = testfiles.RUNNER.replace("import pytest\n", "raise ImportError\n")
    files = {f"work/{name}": content for name, content in {**program, "t/test_t.py": code}.items()}
    asked = json.dumps({"mark": "m" * 8, "names": names, "plugins": False})
    run = ladder.best().run(["python", "-P", "runner.py"], files={**files, "runner.py": runner, "asked.json": asked})
    assert testfiles.said(asyncio.run(run), "m" * 8) == {names[0]}


def test_a_clone_gives_the_files_of_the_base_commit(tmp_path):
    place = bench(tmp_path, repo="owner__calc")
    clone = place / "repos" / "owner__calc"

    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *who, *words], cwd=clone, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "base")
    commit = git("rev-parse", "HEAD").strip()
    (clone / "calc" / "core.py").write_text("later = True\n")
    git("commit", "-q", "-a", "-m", "later")
    (place / "instances.jsonl").write_text(json.dumps({**ROW, "base_commit": commit}))
    (task,) = repositories.swe_bench(place)
    assert dict(task.files()) == BEFORE
    (place / "instances.jsonl").write_text(json.dumps({**ROW, "base_commit": "0" * 40}))
    (task,) = repositories.swe_bench(place)
    with pytest.raises(UsageError, match="cannot give commit"):
        task.files()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "line 1 is no instance"),
        ("[1]", "line 1 is no instance"),
        ({"instance_id": "x"}, "KeyError"),
        ({**ROW, "FAIL_TO_PASS": "[1"}, "line 1 is no instance"),
        ({**ROW, "FAIL_TO_PASS": []}, "named as pytest names them"),
        ({**ROW, "PASS_TO_PASS": ["test_add (calc.T)"]}, "named as pytest names them"),
        ({**ROW, "problem_statement": 3}, "problem_statement must be text"),
        ({**ROW, "instance_id": "other", "repo": "a/b"}, "neither other nor a__b"),
        ({**ROW, "instance_id": "..", "repo": "../.."}, "neither"),
    ],
)
def test_a_corrupt_instance_is_a_sentence(row, words, tmp_path):
    with pytest.raises(UsageError, match=words):
        repositories.swe_bench(bench(tmp_path, row))


def test_a_folder_without_instances_or_with_one_twice_is_a_sentence(tmp_path):
    with pytest.raises(UsageError, match=r"has no \.jsonl file"):
        repositories.swe_bench(tmp_path / "missing")
    with pytest.raises(UsageError, match="has owner__calc-1 twice"):
        repositories.swe_bench(bench(tmp_path, ROW, ROW))
    (tmp_path / "instances.jsonl").write_text("\n")
    with pytest.raises(UsageError, match="has no instance"):
        repositories.swe_bench(tmp_path)


def test_a_test_patch_that_does_not_fit_is_a_sentence(tmp_path):
    wrong = patch("tests/test_core.py").replace("add(3, 0)", "add(4, 0)")
    (task,) = repositories.swe_bench(bench(tmp_path, {**ROW, "test_patch": wrong}))
    with pytest.raises(UsageError, match="its test_patch does not fit"):
        judged(task, FIXED)


EXERCISE = {
    ".docs/instructions.md": b"# Instructions\n\nReturn the greeting.\n",
    ".docs/instructions.append.md": b"Only in English.\n",
    ".meta/config.json": json.dumps(
        {"files": {"solution": ["hello.py"], "test": ["hello_test.py"], "example": [".meta/example.py"]}}
    ).encode(),
    ".meta/example.py": b"def hello():\n    return 'Hello'\n",
    "hello.py": b"def hello():\n    pass\n",
    "data.txt": b"data",
    "hello_test.py": b"import unittest\nfrom hello import hello\n\n\nclass HelloTest(unittest.TestCase):\n"
    b"    def test_hello(self):\n        self.assertEqual(hello(), 'Hello')\n\n\nif __name__ == '__main__':\n"
    b"    unittest.main()\n",
}


def practice(folder: Path, files: dict[str, bytes], name: str = "hello") -> Path:
    """A folder like Aider's polyglot benchmark."""
    write(folder / "python" / "exercises" / "practice" / name, files)
    return folder


def test_an_exercise_is_shown_without_tests_and_example_and_judged_by_them(tmp_path):
    (task,) = repositories.aider(practice(tmp_path, EXERCISE))
    assert task.name == "hello"
    assert task.statement == "# Instructions\n\nReturn the greeting.\n\nOnly in English.\n\nChange hello.py."
    assert task.files() == {"hello.py": EXERCISE["hello.py"], "data.txt": b"data"}
    assert judged(task, {**task.files(), "hello.py": EXERCISE[".meta/example.py"]}).score == 1
    found = judged(task, {**task.files(), "hello_test.py": b"def test_hello(): pass\n"})
    assert found.score == 0
    assert "failed: hello_test.py::HelloTest::test_hello" in found.text
    assert "return 'Hello'" in found.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({".meta/config.json": None}, "is no exercise"),
        ({".meta/config.json": b"{"}, "is no exercise"),
        ({".meta/config.json": b'{"files": {"solution": "hello.py"}}'}, "is no exercise"),
        ({"hello_test.py": None}, "is no exercise"),
        ({"hello_test.py": b"def broken(:"}, "is no exercise"),
        ({"hello_test.py": b"x = 1\n"}, "lacks tests"),
        ({"hello.py": None}, "lacks hello.py"),
        ({".docs/instructions.md": None, ".docs/instructions.append.md": None}, "lacks instructions"),
    ],
)
def test_a_partial_exercise_is_a_sentence(change, words, tmp_path):
    files = {name: content for name, content in {**EXERCISE, **change}.items() if content is not None}
    with pytest.raises(UsageError, match=words):
        repositories.aider(practice(tmp_path, files))


def test_a_folder_without_exercises_is_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="has no python/exercises/practice/NAME"):
        repositories.aider(tmp_path)


def test_both_are_assignments_of_the_same_domain(tmp_path):
    swe, exercise = repositories.swe_bench(bench(tmp_path)), repositories.aider(practice(tmp_path, EXERCISE))
    agent = {
        "agent.py": b"import os\n\n\ndef solve(task):\n"
        b"    name = 'hello.py' if os.path.exists('hello.py') else 'calc/core.py'\n"
        b"    open(name, 'w').write('hello = lambda: \"Hello\"\\nadd = int.__add__\\n')\n"
    }
    parts = Divided(tuple(swe), tuple(exercise), ())
    domain = Coding(Offline({}), ladder.best(), parts, name="mine")
    outcomes = asyncio.run(domain.evaluate(agent, ["owner__calc-1", "hello"], seed=0))
    assert [outcome.score for outcome in outcomes] == [1.0, 1.0]
    assert domain.splits.search == ("owner__calc-1",)


def test_files_that_a_tests_patch_removes_are_gone():
    tests = Required({"tests/test_core.py": None, "tests/new.py": b"x"}, ("a.py::t",))
    left = {**BEFORE, "conftest.py": b"forged"}
    found = testfiles.restored({**BEFORE, "tests/conftest.py": b"own"}, left, tests)
    assert found == {
        "calc/__init__.py": b"",
        "calc/core.py": BEFORE["calc/core.py"],
        "tests/conftest.py": b"own",
        "tests/new.py": b"x",
    }


def test_a_file_in_the_place_of_a_folder_of_tests_is_no_fault_of_ours():
    left = {"calc/core.py": FIXED["calc/core.py"], "calc/__init__.py": b"", "tests": b"a file"}
    assert verdict_on(left).score == 1
