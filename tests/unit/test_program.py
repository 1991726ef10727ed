import asyncio
from typing import Any

import pytest

from aiga.agents.program import Asked, Broker, attempts, derived, evaluate, problem
from aiga.core.errors import BudgetExceeded
from aiga.fm.messages import ModelFailed
from aiga.fm.offline import Offline
from aiga.sandbox import ladder
from aiga.sandbox.protocol import USUAL, Result

TASKS = {"one": {"question": "1 + 1"}, "two": {"question": "2 + 2"}}


def worker(rng: Any, asked: Asked) -> str:
    return f"{asked.system}|{asked.prompt}|{asked.temperature}|{asked.about}|{rng.random()}"


def run(code: str, *, proposer: Any = worker, **options: Any) -> list[Any]:
    options = {"seed": 1, "about": {"one": "first", "two": "second"}, "limits": USUAL._replace(seconds=5)} | options
    fm = Offline({"agents/answer": proposer})
    return asyncio.run(evaluate(code, TASKS, fm=fm, sandbox=ladder.best(), **options))


@pytest.mark.parametrize("at_once", [True, False])
def test_an_agent_asks_about_its_task_and_answers(at_once):
    code = """
from broker import ask

def forward(task):
    return [task["question"], ask({"prompt": task["question"], "system": "S", "temperature": 0.5, "k": 2})["texts"]]
"""
    found = run(code, at_once=at_once)
    assert [attempt.failure for attempt in found] == ["", ""]
    assert [attempt.calls for attempt in found] == [2, 2]
    assert [attempt.answer[0] for attempt in found] == ["1 + 1", "2 + 2"]
    first, second = found[1].answer[1]
    assert first.startswith("S|2 + 2|0.5|second|")
    assert first != second, "each text has a seed of its own"
    assert found == run(code, together=1)
    assert found != run(code, seed=2)


def test_what_is_wrong_with_a_program_is_said_with_its_line():
    assert [a.failure for a in run("def forward(task):\n    return 1 / 0")] == [
        "ZeroDivisionError: division by zero line 2"
    ] * 2
    assert "SyntaxError" in run("def forward(task) return 1")[0].failure
    assert run("answer = 1")[0].failure == "there is no function `forward`"
    assert run("def forward(task):\n    pass")[0].failure == "`forward` returned None"
    assert "not JSON serializable" in run("def forward(task):\n    return {1, 2}")[0].failure


def test_a_program_that_fails_on_one_task_still_answers_the_other():
    code = "def forward(task):\n    return 2 / (task['question'] != '1 + 1')"
    assert [(a.answer, bool(a.failure)) for a in run(code)] == [(None, True), (2.0, False)]


def test_more_texts_than_allowed_and_nonsense_are_refused_and_a_program_may_go_on():
    code = """
from broker import ask

def forward(task):
    said = []
    for request in ({"prompt": "x", "k": 2}, {"prompt": "x", "k": 2}, {"prompt": ""}, {"prompt": "x", "task": "other"}):
        try:
            said.append(len(ask(request)["texts"]))
        except RuntimeError as error:
            said.append(str(error))
    return said
"""
    found = run(code, calls=3)
    assert found[0].calls == 3
    assert found[0].answer[0] == 2
    assert found[0].answer[1] == "a task has 3 calls, 2 of which are used; 2 more were asked for"
    assert found[0].answer[2].startswith('ask for {"prompt": text}')
    assert found[0].answer[3] == 1, "a program cannot ask in the name of another task"


def test_the_network_a_loop_without_end_and_an_exit_are_failures():
    network = "import socket\n\ndef forward(task):\n    socket.create_connection(('127.0.0.1', 80), 1)"
    assert "Error" in run(network)[0].failure
    endless = "def forward(task):\n    while True:\n        pass"
    limits = USUAL._replace(seconds=0.2)
    assert run(endless, limits=limits)[0].failure == "the program ended with 'timeout'"
    assert "the program ended with" in run("import os\n\ndef forward(task):\n    os._exit(0)")[0].failure


def test_a_model_that_fails_is_an_exception_in_the_program_and_no_money_is_one_here():
    def failing(rng, asked):
        raise ModelFailed("empty", "nothing came")

    def broke(rng, asked):
        raise BudgetExceeded("no dollar left")

    code = "from broker import ask\n\ndef forward(task):\n    return ask({'prompt': 'x'})"
    assert "the model gave no usable reply (empty)" in run(code, proposer=failing)[0].failure
    with pytest.raises(BudgetExceeded, match="no dollar left"):
        run(code, proposer=broke)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ("text", 'ask for {"prompt": text}'),
        ({"prompt": " "}, 'ask for {"prompt": text}'),
        ({"prompt": "x", "task": "one", "max_tokens": 5}, "unknown: max_tokens"),
        ({"prompt": "x", "task": "three"}, "not one of yours"),
        ({"prompt": "x", "task": "one", "system": 1}, "`system` must be a text"),
        ({"prompt": "\ud800", "task": "one"}, "half a character"),
        ({"prompt": "x" * 50_001, "task": "one"}, "more than 50000 characters"),
        ({"prompt": "x", "task": "one", "temperature": True}, "`temperature` must be a number from 0 to 2"),
        ({"prompt": "x", "task": "one", "temperature": 2.1}, "`temperature` must be a number from 0 to 2"),
        ({"prompt": "x", "task": "one", "k": 0}, "`k`, how many texts"),
        ({"prompt": "x", "task": "one", "k": True}, "`k`, how many texts"),
        ({"prompt": "x", "task": "one", "k": 2, "temperature": 0, "system": ""}, ""),
    ],
)
def test_a_request_is_checked(request_, sentence):
    assert problem(request_, TASKS).startswith(sentence) or sentence in problem(request_, TASKS)
    assert bool(problem(request_, TASKS)) == bool(sentence)


@pytest.mark.parametrize(
    "value", [None, "x", [], [["a", ""]], [["a", ""], "b"], [["a", ""], ["b", 1]], [[1, "", 2]] * 2]
)
def test_a_result_that_the_program_made_up_is_a_failure(value):
    found = attempts(Result("ok", value), {"one": 1, "two": 0})
    assert [a.failure for a in found] == ["the program forged its result"] * 2
    assert [a.calls for a in found] == [1, 0]


def test_seeds_differ_by_task_number_and_seed_and_are_the_same_tomorrow():
    assert derived(1, "one", 0) == 398134668
    assert len({derived(s, t, n) for s in range(3) for t in TASKS for n in range(3)}) == 18


def test_calls_are_counted_before_the_answer_comes():
    async def both():
        broker = Broker(Offline({"w": worker}), 1, 2, label="w", about={"one": None})
        return await asyncio.gather(*(broker({"prompt": "x", "task": "one", "k": 2}) for _ in range(2)))

    assert [sorted(reply) for reply in asyncio.run(both())] == [["texts"], ["error"]]
