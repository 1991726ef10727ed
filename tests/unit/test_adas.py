import asyncio
import json
import random
from typing import Any

import jax
import numpy as np
import pytest

from aiga.agents import grammar, simulated
from aiga.agents.grammar import Facts, cost, mend, program, propose, read, reflect, vary
from aiga.agents.meta import BRIEFING, Entry
from aiga.agents.program import Asked
from aiga.agents.scoring import Workplace
from aiga.agents.seeds import SEEDS
from aiga.core.errors import UsageError
from aiga.data import arithmetic
from aiga.data.puzzles import Sizes, Task, fresh, score
from aiga.fm.client import connect
from aiga.fm.offline import Offline
from aiga.inspect.agents import agents
from aiga.runs import loop, report
from aiga.sandbox import ladder
from aiga.systems.adas import make
from tests.fm_server import Server, fail, fields, said, text

SMALL = {"generations": 2, "search": 4, "select": 4, "report": 4}
TASK = Task("t", "How many?", ("7",), "number", 1, ("6", "8"))


def entries(*fitness: float) -> tuple[Entry, ...]:
    return tuple(Entry(s.name, s.thought, s.code, f, (f, f), 1.0) for s, f in zip(SEEDS, fitness, strict=False))


def steps(system, n: int | None = None, seed: int = 0):
    """The state and infos after `n` steps, or at the end."""

    async def go():
        key = jax.random.key(seed)
        state, infos = system.init(jax.random.fold_in(key, 0)), []
        while len(infos) != n and "run/finished" not in (infos[-1] if infos else {}):
            state, info = await system.step(jax.random.fold_in(key, len(infos) + 1), state)
            infos.append(info)
        return state, infos

    return asyncio.run(go())


def test_a_run_evaluates_seeds_then_generations_then_chooses_and_reports(tmp_path):
    run = loop.run("adas", seed=3, out=tmp_path / "run", **SMALL)
    state, latest = run.state, run.latest()
    assert (run.status, latest["run/steps"], int(state.archive.size)) == ("finished", 4, 9)
    selected = ~np.isnan(np.asarray(state.select)[:, 0])
    reported = ~np.isnan(np.asarray(state.report)[:, 0])
    assert selected.tolist() == [True] * 9
    worth = list(zip(state.select[:, 0].tolist(), state.archive.fitness.tolist(), strict=True))
    assert worth[int(state.chosen)] == max(worth)
    assert set(np.flatnonzero(reported)) == {*range(7), int(state.chosen)}
    assert latest["report/accuracy"] == pytest.approx(float(state.report[int(state.chosen), 0]))
    lineage = run.lineage()
    assert lineage["operator"].tolist() == ["seed"] * 7 + ["archive"] * 2
    assert (lineage["parent"][7:] >= 0).all(), "the grammar says what it varied"
    assert run.blob(lineage["blob"][0]).decode() == SEEDS[0].code


def test_without_proposals_the_best_seed_is_chosen_and_a_finished_search_stands_still():
    system = make(proposer="none", **SMALL)
    state, infos = steps(system)
    assert len(infos) == 2
    assert int(state.chosen) < 7
    assert infos[-1]["report/gain"] == 0.0
    again, info = asyncio.run(system.step(jax.random.key(9), state))
    assert again is state
    assert info == {"run/finished": 1}


def test_what_the_meta_agent_is_shown_depends_on_the_proposer():
    for proposer, expected in {"archive": 7, "latest": 1, "random": 0}.items():
        system = make(proposer=proposer, **SMALL)
        state, _ = steps(system, 1)
        known = system.known(state)
        assert len(known) == expected
        assert not known or known[-1].name == "Role assignment"


def test_fitness_is_shown_as_an_interval():
    [entry] = entries(0.5)
    assert (
        "95% bootstrap interval of accuracy (25.0%, 75.0%), mean 50.0%" in entry._replace(interval=(0.25, 0.75)).shown()
    )
    assert BRIEFING.format(calls=4, example="?", archive=entry.shown()).count("```python") == 2


def test_the_splits_are_new_for_every_seed_and_the_report_split_is_not_asked_about_before_the_choice():
    system, seen = make(**SMALL), []
    worker = system.fm.proposers["adas/work"]

    def watched(rng: Any, asked: Asked) -> str:
        seen.append(asked.about.name)
        return worker(rng, asked)

    system.fm.proposers["adas/work"] = watched
    state, infos = steps(system, 3)
    splits = system.splits(int(state.tasks))
    assert set(seen) == {task.name for task in splits.search}
    assert splits.search != system.splits(int(state.tasks) + 1).search
    assert not any(key.startswith("report/") for info in infos for key in info)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"domain": "mgsm"}, "--domain mgsm reads a file: give its place with --path"),
        ({"path": "x"}, "--path is of no use with --domain arithmetic"),
        ({"search": 1}, "--search is 1: give a larger"),
        ({"calls": 0}, "--calls is 0: give a larger"),
        ({"generations": -1}, "--generations is -1: give zero or more"),
    ],
)
def test_options_that_cannot_be_are_refused(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        make(**options)


GOOD = """from broker import ask

def forward(task):
    return ask({"prompt": task["question"]})["texts"][0]
"""
BROKEN = {
    "raises": "def forward(task):\n    return task['answer']",
    "network": "import urllib.request\n\ndef forward(task):\n    return urllib.request.urlopen('http://127.0.0.1/').read()",
    "killed": "import os\n\ndef forward(task):\n    os.kill(os.getpid(), 9)",
}


def test_a_model_behind_an_address_writes_agents_and_answers_them(tmp_path):
    """Five steps: seeds; a good agent; one that is broken four ways; no JSON, three times; a good one; the end."""
    rows = [{"question": f"{i}?", "choices": ["x", "y"], "answer": "AB"[i % 3 == 0]} for i in range(40)]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    turns = iter([GOOD] * 3 + ["def forward(task) broken"] * 3 + list(BROKEN.values()) + [None] * 3 + [GOOD] * 6)

    def script(request):
        if "You invent agents" not in said(request):
            return text("Answer: A")
        code = next(turns)
        words = {"thought": "Ask once.", "name": "One", "based_on": "Debate; nobody"}
        return text("no JSON, sorry") if code is None else fields(code=code, **words)

    with Server(script) as server:
        options = {**SMALL, "search": 2, "select": 1, "report": 1, "domain": "choice", "path": str(path), "calls": 12}
        run = loop.run("adas", fm=server.model(), out=tmp_path / "run", **options)
        assert run.cost()["calls"] + 2 == server.requests["ok"], "a reply without JSON was asked for three times"
        proposals = [words for words in map(said, server.received) if "You invent agents" in words]
    failed = [(event["step"], event["what"], event["reason"].partition(":")[0]) for event in run.events("failed")]
    assert failed == [(2, "agent One", "the program ended with 'killed'"), (3, "proposal", "invalid")]
    assert "The program failed: SyntaxError" in proposals[6]
    assert "The program failed: KeyError" in proposals[7]
    assert "The program failed: URLError" in proposals[8]
    assert "## One" in proposals[9]
    assert "## One" not in proposals[0]
    everyone = agents(run)
    assert [(agent.step, agent.name, agent.parents) for agent in everyone[7:]] == [
        (1, "One", ("Debate",)),
        (4, "One", ("Debate",)),
    ]
    splits = make(**options).splits(int(run.state.tasks))
    assert everyone[7].search[0] == np.mean([task.answers == ("A",) for task in splits.search])
    page = report.write(run.directory).read_text()
    for words in ("The chosen agent beside the seeds", "def forward(task)", "Decide who should answer", "Ask once."):
        assert words in page


def test_a_model_that_never_answers_stops_the_run_at_once():
    with Server(lambda request: fail(400)) as server:
        system = make(fm=connect(server.model(), backoff=0.001, retries=0), **SMALL)
        with pytest.raises(UsageError, match=r"every seed failed on every task .*aiga fm check"):
            steps(system)


def test_parts_are_read_from_programs_and_cost_what_their_programs_ask_for():
    """The count against the broker's own, for programs that the grammar makes up."""
    workplace = Workplace(Offline({"w": simulated.answer}), ladder.best(), 200, "w")
    tasks = fresh(arithmetic.problem, Sizes(2, 1, 1), 0, 4).search
    for seed in range(8):
        agent = propose(random.Random(seed), Facts((), 200))
        parts = read(agent.code)
        assert program(parts, agent.thought) == agent
        scored = asyncio.run(workplace.score(agent.code, tasks, seed))
        assert (scored.failure, scored.calls) == ("", cost(parts)), agent.name


def test_seven_seeds_have_parts_and_run():
    workplace = Workplace(Offline({"w": simulated.answer}), ladder.best(), 16, "w")
    tasks = fresh(arithmetic.problem, Sizes(8, 1, 1), 0, 2).search
    for agent in SEEDS:
        assert agent.code.startswith("# parts: ")
        assert set(dict(read(agent.code))) <= set(grammar.MOST)
        scored = asyncio.run(workplace.score(agent.code, tasks, 0))
        assert scored.failure == ""
        assert scored.accuracy > 0


def test_the_grammar_prefers_what_the_archive_says_is_good():
    good, bad = (("panel", 4), ("draft", 2)), (("direct", 4), ("judge", 1))
    archive = tuple(
        Entry(f"{i}", "", program(parts, "").code, fitness, (0.0, 1.0), 1.0)
        for i, (parts, fitness) in enumerate([(good, 0.9), (bad, 0.1)] * 4)
    )
    promise = grammar.worth(archive)
    assert promise(good) > promise((("panel", 4),)) > promise((("direct", 4),))
    found = [propose(random.Random(seed), Facts(archive, 16)) for seed in range(20)]
    assert sum("panel" in agent.name for agent in found) > sum("direct" in agent.name for agent in found)
    assert all(set(agent.based_on.split(";")) <= {str(i) for i in range(8)} for agent in found)


def test_reflection_makes_an_agent_new_and_small_enough_and_mending_smaller():
    large = program((("panel", 5), ("check", 2), ("check", 2)), "large", "Debate")
    found = reflect(random.Random(0), Facts((), 16, large))
    assert cost(read(large.code)) == 25
    assert cost(read(found.code)) <= 16
    assert found.based_on == "Debate"
    old = program((("draft", 3),), "old")
    known = Entry("old", "", old.code, 0.5, (0.0, 1.0), 3.0)
    assert read(reflect(random.Random(0), Facts((known,), 16, old)).code) != read(old.code)
    assert len(read(mend(random.Random(0), Facts((), 16, large)).code)) == 2
    assert read(mend(random.Random(0), Facts((), 16, program((("draft", 3),), ""))).code) == (("draft", 2),)
    assert all(1 <= len(vary(random.Random(i), read(large.code))) <= grammar.LONGEST for i in range(50))


def said_by(prompt: str, *, system: str = "", temperature: float = 0.7, task: Task = TASK, n: int = 250) -> float:
    """How often the simulated worker is right."""
    asked = Asked(system, prompt, temperature, task)
    answers = (simulated.answer(random.Random(i), asked).rpartition("Answer:")[2] for i in range(n))
    return sum(score(task, answer) for answer in answers) / n


def test_the_simulated_worker_is_what_the_page_says():
    hard = TASK._replace(difficulty=3)
    assert said_by("What?") == 0.0, "it does not know the question"
    assert said_by("How many? Step by step.") > said_by("How many?") > said_by("How many?", task=hard)
    kept = {text: said_by(f"How many?\nAnswer: {text}\nImprove it.") for text in ("7", "6")}
    assert kept["7"] > 0.75
    assert kept["6"] < 0.25
    assert said_by("How many?\nAnswer: 6\nCheck it.") > kept["6"]
    assert said_by("How many?\nAnswer: 7\nAnswer: 7\nAnswer: 6") > said_by("How many?\nAnswer: 6\nAnswer: 8\nAnswer: 6")
    insight = said_by(f"How many? {simulated.GOOD}"), said_by(f"How many? {simulated.BAD}")
    assert insight[0] > said_by("How many?") > insight[1]
    remarks = [
        simulated.answer(random.Random(i), Asked("", "How many? Do not solve it.", 0.7, TASK)) for i in range(200)
    ]
    assert set(remarks) == {simulated.GOOD, simulated.BAD}
    assert 0.6 < remarks.count(simulated.GOOD) / 200 < 0.8
