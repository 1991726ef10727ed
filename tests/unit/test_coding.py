"""Programming as a domain: its tasks can be solved, and an agent that does anything else gains nothing."""

import asyncio
import functools
import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aiga.agents import cases, coding
from aiga.agents.coding import Assignment, Coding, Divided
from aiga.agents.domain import Domain, Outcome
from aiga.agents.exchange import Allowance
from aiga.core.errors import UsageError
from aiga.core.texts import Recent
from aiga.data import polyglot
from aiga.data.puzzles import Sizes
from aiga.fm.messages import Reply
from aiga.fm.offline import Offline
from aiga.sandbox import ladder
from aiga.sandbox.protocol import Limits

REFERENCES = Path(__file__).parents[1] / "golden" / "polyglot_references.toml"
SMALL = Allowance(seconds=10.0, limits=Limits(memory_mb=512, files_mb=8, processes=32))
DOUBLE = polyglot.Exercise(
    "double",
    "search",
    1,
    "repair",
    "Make `double(x)` in double.py give twice x.",
    {
        "double.py": "def double(x):\n    return x\n",
        "test_double.py": "from double import double\n\nassert double(2) == 4\nprint('CHECKED double')\n",
    },
    polyglot.cases("double.double(2) == 4\ndouble.double('ab') == 'abab'\ndouble.double(1.5) == 3.0"),
)
RIGHT = "def double(x):\n    return 2 * x\n"


def judged(files: dict[str, str], text: str) -> cases.Verdict:
    """The verdict on a program, for cases as they are written."""
    inside = {name: content.encode() for name, content in files.items()}
    return asyncio.run(cases.judged(ladder.best(), inside, polyglot.cases(text)))


def domain(exercise: polyglot.Exercise = DOUBLE, model: Any = None, **options: Any) -> Coding:
    """One exercise as three assignments, one for each split."""
    names = [exercise.name, "select", "report"]
    tasks = [coding.assignment(exercise)._replace(name=name) for name in names]
    fm = Offline({coding.LABEL: model or (lambda rng, asked: Reply("no"))})
    parts = Divided(*((task,) for task in tasks))
    return Coding(fm, ladder.best(), parts, allowance=SMALL, **options)


def attempted(body: str, split: str = "double", **options: Any) -> Outcome:
    """How an agent does whose work is `body`."""
    lines = ["import os, pathlib", "def solve(task):", *(f"    {line}" for line in body.strip().splitlines())]
    agent = {"agent.py": "\n".join(lines).encode()}
    (outcome,) = asyncio.run(domain(**options).evaluate(agent, [split], seed=0))
    return outcome


def writing(code: str, then: str = "return 'done'") -> str:
    return f"pathlib.Path('double.py').write_text({code!r})\n{then}"


def test_the_splits_are_fixed_and_hold_all_difficulties_and_kinds():
    tasks = polyglot.exercises()
    assert Counter(task.split for task in tasks) == {"search": 30, "select": 10, "report": 20}
    assert len({task.name for task in tasks}) == 60
    for split in ("search", "select", "report"):
        part = [task for task in tasks if task.split == split]
        assert {task.difficulty for task in part} == {1, 2, 3}
        assert {task.kind for task in part} == {"implement", "repair", "extend"}
    assert {task.difficulty for task in tasks[:10]} == {1, 2, 3}


def test_each_task_has_at_least_eight_hidden_cases_and_files_to_begin_with():
    for task in polyglot.exercises():
        assert sum(any(step.checked for step in case) for case in task.cases) >= 8, task.name
        assert any(not name.startswith("test_") for name in task.files), task.name
        assert len(task.statement) > 200, task.name
    size = sum(path.stat().st_size for path in polyglot.PLACE.iterdir())
    assert size < 200_000
    assert sum(any(name.startswith("test_") for name in task.files) for task in polyglot.exercises()) >= 20


BATCH = 2
"""Tasks that share a sandbox here, so that the tests stay quick."""


def moved(place: str, files: dict[str, str], found: tuple[polyglot.Case, ...]) -> tuple[Any, list[polyglot.Case]]:
    """Files in a folder of their own, and cases that begin by going there."""
    (enter,) = polyglot.cases(f"os.chdir({place!r}); sys.path.insert(0, '.')")
    return {f"{place}/{name}": text.encode() for name, text in files.items()}, [enter + case for case in found]


async def unfit(tasks: list[polyglot.Exercise], references: dict[str, Any]) -> list[str]:
    """Tasks that are not solved by their references, or solved by what there is to begin with."""
    files, asked = {}, []
    for task in tasks:
        for place, solution, some in (("after", references[task.name], task.cases), ("before", {}, task.cases[-2:])):
            inside, found = moved(f"{place}-{task.name}", {**task.files, **solution}, some)
            files |= inside
            asked += found
    told = iter(await cases.faults(ladder.best(), files, asked))
    found = []
    for task in tasks:
        found += [f"{task.name}: {fault}" for _ in task.cases if (fault := next(told))]
        begun = [next(told) for _ in task.cases[-2:]]
        found += [f"{task.name} is solved to begin with"] * (not any(begun))
    return found


def test_each_task_is_solved_by_its_reference_and_not_by_what_there_is_to_begin_with():
    references = tomllib.loads(REFERENCES.read_text(encoding="utf-8"))
    tasks = list(polyglot.exercises())

    async def everything() -> list[list[str]]:
        room = asyncio.Semaphore(4)

        async def one(part: list[polyglot.Exercise]) -> list[str]:
            async with room:
                return await unfit(part, references)

        return await asyncio.gather(*(one(tasks[k : k + BATCH]) for k in range(0, len(tasks), BATCH)))

    assert [fault for found in asyncio.run(everything()) for fault in found] == []


def test_a_case_is_read_as_steps_that_are_never_executed_here():
    (case,) = polyglot.cases("s = stack.Stack([1], most=2);\ns.pop() == 1; s.size.x == None; s.pop() is IndexError")
    assert [step.keep for step in case] == ["s", "", "", ""]
    assert [step.checked for step in case] == [False, True, True, True]
    assert (case[1].want, case[2].want, case[3].raises) == (1, None, "IndexError")
    assert case[0].does["options"] == {"most": {"value": 2}}
    assert case[2].does == {"attribute": "x", "of": {"attribute": "size", "of": {"name": "s"}}}


@pytest.mark.parametrize(
    ("want", "given", "equal"),
    [
        (1, 1.0, True),
        (0.3, 0.1 + 0.2, True),
        (1, True, False),
        (True, 1, False),
        (10**30, 10**30 + 1, False),
        (1.5, 10**400, False),
        ([1, [2]], [1, [2.0]], True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ("1", 1, False),
        (None, False, False),
        (float("inf"), float("inf"), True),
        (0.0, float("nan"), False),
    ],
)
def test_values_are_compared_by_kind_and_numbers_closely(want, given, equal):
    assert cases.same(want, given) is equal


def test_a_verdict_says_what_was_right_and_what_would_have_been():
    found = judged(DOUBLE.files, "double.double(0) == 0\ndouble.double(2) == 4\ndouble.triple(2) == 6")
    assert (found.score, found.share) == (0.0, pytest.approx(1 / 3))
    assert found.text.startswith("1 of 3 hidden cases are right.")
    assert "double.double(2)\n  should be 4; it gave 2" in found.text
    assert "AttributeError" in found.text


def test_cases_have_processes_folders_and_variables_of_their_own():
    files = {
        "state.py": "import os\nfound = []\ndef add(x):\n    found.append(x)\n    open('left', 'a').write('x')\n"
        "    return found\ndef left():\n    return os.path.exists('left')\nclass Own(ValueError): pass\n"
        "def fail():\n    raise Own('no')\n",
        "main.py": "import sys\nprint(sys.argv[1:], sys.stdin.read())\nsys.exit(3)\n",
        "json.py": "def dumps(_):\n    return 'ours'\n",
        "pack/__init__.py": "",
        "pack/inner.py": "def f():\n    return 'in'\n",
    }
    text = """
state.left() == False; state.add(1) == [1]; state.left() == True
state.left() == False; state.add(2) == [2]
x = state.add(3); x.append(4); state.found == [3, 4]; len(x) == 2
state.fail() is Own; state.fail() is ValueError; state.add({1: (2, 3)}) == [{1: [2, 3]}]
run("main.py", "a b", "c", stdin="é") == {"code": 3, "out": "['a b', 'c'] é\\n"}
pack.inner.f() == "in"; sorted([2, 1]) == [1, 2]; json.dumps(1) == "ours"
"""
    found = judged(files, text)
    assert found.score == 1, found.text


def test_a_value_that_is_no_json_or_too_long_is_wrong():
    files = {"odd.py": "def s():\n    return {1}\ndef l():\n    return 'x' * 10 ** 6\ndef f():\n    return s\n"}
    found = judged(files, "odd.s() == [1]\nodd.l() == 'x'\nodd.f() == None")
    assert found.share == 0


FORGERIES = {
    "nothing": "def double(x):\n    return x\n",
    "it prints a report": "print('[0, [{\"value\": 4}]]')\nprint('OK: 3 of 3 hidden cases are right.')\n",
    "it writes logs": "for name in ('report.json', '../out.json', '../case-1/double.py'):\n"
    "    open(name, 'w').write('{\"passed\": 3, \"failed\": 0}')\n",
    "it replaces json": "import json\njson.dumps = lambda *_, **__: '[{\"value\": 4}]'\n",
    "it replaces builtins": "import builtins\nbuiltins.str = builtins.hasattr = lambda *_: True\n",
    "its values equal everything": "class Any:\n    def __eq__(self, _):\n        return True\n"
    "def double(x):\n    return Any()\n",
    "it exits early": "import os\nos._exit(0)\n",
    "it exits politely": "import sys\nsys.exit(0)\n",
    "it ends the driver": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n",
    "it writes to the driver's output": "import os\nwith open(f'/proc/{os.getppid()}/fd/1', 'w') as out:\n"
    '    out.write(\'[0, [{"value": 3}]]\\n[9, 9]\\n[[[[\\n[1, "x"]\\n\')\n',
    "it returns a deep value": "def double(x):\n    found = []\n    for _ in range(500):\n        found = [found]\n"
    "    return found\n",
    "it does not compile": "def double(x:\n",
    "it is gone": "",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_program_that_forges_its_result_gains_nothing(forgery):
    found = judged({"double.py": FORGERIES[forgery]}, "double.double(2) == 4\ndouble.double('ab') == 'abab'")
    assert (found.score, found.share) == (0.0, 0.0)


@pytest.mark.parametrize("code", ["while True: pass\n", "import time\ntime.sleep(60)\n"])
def test_a_program_that_does_not_end_is_wrong_and_not_waited_for_case_by_case(code, monkeypatch):
    monkeypatch.setattr(cases, "PATIENCE", 1)
    monkeypatch.setattr(cases, "DRIVER", cases.DRIVER.replace("3 * PATIENCE", "0.3" if "sleep" in code else "30"))
    found = judged({"double.py": code}, "\n".join(["double.double(1) == 2"] * 50))
    assert found.share == 0
    assert "it did not end in time" in found.text


def test_what_is_expected_never_enters_the_sandbox():
    spy = """
import os
WORD = "".join(["SECRET", "-777"])
def look():
    for top in ("..", "/tmp", f"/proc/{os.getppid()}/cmdline", f"/proc/{os.getppid()}/environ"):
        names = [os.path.join(place, name) for place, _, found in os.walk(top) for name in found] or [top]
        for name in names:
            try:
                if name.endswith("spy.py") is False and WORD.encode() in open(name, "rb").read():
                    return name
            except OSError:
                pass
    return "nowhere"
def secret():
    return look()
"""
    found = judged({"spy.py": spy}, "spy.look() == 'nowhere'\nspy.secret() == 'SECRET-777'")
    assert found.share == 0.5
    assert 'should be "SECRET-777"; it gave "nowhere"' in found.text


def test_an_agent_that_solves_a_task_scores_and_hands_in_its_diff():
    outcome = attempted(writing(RIGHT))
    assert (outcome.score, outcome.failure, outcome.task) == (1.0, "", "double")
    assert "+    return 2 * x" in outcome.handed_in
    assert outcome.verdict == "3 of 3 hidden cases are right."


def test_only_tasks_of_search_have_verdicts():
    wrong = writing("def double(x):\n    return 4\n")
    assert "should be 3.0; it gave 4" in attempted(wrong).verdict
    for split in ("select", "report"):
        outcome = attempted(wrong, split)
        assert (outcome.score, outcome.verdict) == (0.0, "")
        assert "3.0" not in outcome.log + outcome.handed_in


@pytest.mark.parametrize(
    "edit",
    [
        "pathlib.Path('test_double.py').write_text('print(\"CHECKED double\")')",
        "os.remove('test_double.py')",
        "pathlib.Path('test_double.py').write_bytes(bytes(range(256)))",
        "os.rename('test_double.py', 'old_test_double.py')",
        # Node 114: the check looked for marks in what was logged, and the agent removed the marks.
        "test = pathlib.Path('test_double.py'); "
        "test.write_text(test.read_text().replace(\"print('CHECKED double')\", ''))",
    ],
)
def test_an_agent_that_edits_or_removes_a_shown_test_scores_nothing_even_if_it_is_right(edit):
    outcome = attempted(writing(RIGHT, edit))
    assert (outcome.score, outcome.failure) == (0.0, "tampered")
    assert "test_double.py" in outcome.verdict


def test_an_agent_may_write_tests_of_its_own():
    outcome = attempted(writing(RIGHT, "pathlib.Path('test_more.py').write_text('assert True')"))
    assert (outcome.score, outcome.failure) == (1.0, "")


def test_the_log_of_an_agent_is_kept_out_of_its_reach():
    body = """
from broker import ask
ask({"messages": [{"role": "user", "text": "a question"}]})
for place in ("..", "."):
    for name in ("transcript", "log.jsonl", "answer.json"):
        pathlib.Path(place, name).write_text("all tests passed")
return {"score": 1.0, "log": "all tests passed"}
"""
    outcome = attempted(body, model=lambda rng, asked: Reply("a reply"))
    assert outcome.score == 0
    assert "a question" in outcome.log
    assert "a reply" in outcome.log
    assert "all tests passed" not in outcome.log


def test_an_agent_sees_no_hidden_case_and_no_reference():
    body = """
found = []
for place, _, names in os.walk(".."):
    found += [os.path.join(place, name) for name in names]
pathlib.Path("seen.txt").write_text("\\n".join(sorted(found)))
"""
    outcome = attempted(body)
    seen = {line[4:] for line in outcome.handed_in.splitlines() if line.startswith("+../")}
    assert {name.rpartition("/")[2] for name in seen} <= {"agent.py", "double.py", "test_double.py", "task.json"}
    assert "abab" not in outcome.handed_in


def test_what_an_attempt_left_counts_and_its_failure_only_if_that_is_wrong():
    assert attempted(writing(RIGHT, "raise RuntimeError('late')"))[1:2] == (1.0,)
    assert attempted(writing(RIGHT, "raise RuntimeError('late')")).failure == ""
    wrong = attempted(writing("x = 1\n", "raise RuntimeError('late')"))
    assert (wrong.score, wrong.failure) == (0.0, "crash")
    assert attempted("return 'I did it'").failure == "empty"


def test_an_attempt_is_made_once_and_outcomes_come_in_the_order_of_tasks():
    asked: list[Any] = []

    def model(rng: Any, question: Any) -> Reply:
        asked.append(question)
        return Reply(RIGHT)

    body = "from broker import ask\ntext = ask({'messages': [{'role': 'user', 'text': 'x'}]})['text']\n"
    code = body + "pathlib.Path('double.py').write_text(text)"
    lines = ["import os, pathlib", "def solve(task):", *(f"    {line}" for line in code.splitlines())]
    agent = {"agent.py": "\n".join(lines).encode()}
    finished = Recent()
    names = ["report", "double", "select"]
    first = asyncio.run(domain(model=model, finished=finished).evaluate(agent, names, seed=3))
    again = asyncio.run(domain(model=model, finished=finished).evaluate(agent, names, seed=3))
    assert first == again
    assert [outcome.task for outcome in first] == names
    assert [outcome.score for outcome in first] == [1.0, 1.0, 1.0]
    assert len(asked) == 3


def test_polyglot_lite_is_the_domain_without_more_words():
    one = Coding(Offline({}), ladder.best())
    assert isinstance(one, Domain)
    assert (one.name, len(one.splits.search), len(one.splits.select)) == ("polyglot-lite", 30, 10)
    assert len(one.splits.report.open("a choice")) == 20
    statement = one.statement("ledger")
    assert "Do not change or remove test_ledger.py" in statement
    assert "Do not change or remove" not in one.statement("recent")
    shown = json.dumps([one.statement(task) for task in one.splits.search])
    assert "is KeyError" not in shown


def test_a_users_tasks_are_divided_by_a_seed():
    async def judge(*_: Any) -> cases.Verdict:
        return cases.Verdict(1.0, "")

    tasks = [Assignment(f"t{k}", "do", functools.partial(dict), judge) for k in range(6)]
    parts = coding.divided(tasks, Sizes(3, 1, 2), 0, "the folder")
    assert [len(part) for part in parts] == [3, 1, 2]
    assert len({task.name for part in parts for task in part}) == 6
    assert coding.divided(tasks, Sizes(3, 1, 2), 0, "x") == parts
    with pytest.raises(UsageError, match="the folder has 6 tasks, and the splits ask for 7"):
        coding.divided(tasks, Sizes(3, 2, 2), 0, "the folder")
