import asyncio
import json
from collections.abc import Sequence

import pytest

from aiga.agents import evaluations
from aiga.agents.domain import Domain, Files, Outcome, Splits
from aiga.agents.evaluations import Known, Measured
from aiga.data.puzzles import Sealed


class Fixed:
    """A domain of four tasks to search with and two to choose with, whose scores are given."""

    def __init__(self, name: str, *scores: float) -> None:
        self.name = name
        self._scores = dict(zip(("a", "b", "c", "d", "y", "z"), scores, strict=True))
        self.asked: list[str] = []

    @property
    def splits(self) -> Splits:
        return Splits(("a", "b", "c", "d"), ("y", "z"), Sealed(("r",)))

    def statement(self, task: str) -> str:
        return task

    async def evaluate(self, agent: Files, tasks: Sequence[str], *, seed: int) -> list[Outcome]:
        self.asked += tasks
        return [Outcome(task, self._scores[task], "said", "log", "right was: yes", usd=0.5, tokens=2) for task in tasks]


GOOD, POOR = Fixed("good", 1, 0, 1, 1, 0, 1), Fixed("poor", 0, 0, 1, 1, 1, 1)


def measured(*domains: Domain, least: float = 0.0) -> list[Measured]:
    return asyncio.run(evaluations.measured(domains, {}, 2, least, seed=0))


def test_a_program_that_did_something_in_every_domain_is_given_everything():
    (found,) = measured(GOOD)
    assert [outcome.task for outcome in found.search] == ["a", "b", "c", "d"]
    assert (found.share, found.score) == (1.0, 0.5), "the score is that on `select`"
    assert evaluations.staged([found], 2) == (4, 0.5, 0.75)


def test_one_that_did_nothing_in_one_domain_is_given_no_more_in_any_and_its_score_counts_by_its_share():
    domains = Fixed("good", 1, 0, 1, 1, 0, 1), Fixed("poor", 0, 0, 1, 1, 1, 1)
    found = measured(*domains)
    assert [domain.asked for domain in domains] == [["a", "b"], ["a", "b"]]
    assert [(one.share, one.score) for one in found] == [(0.5, 0.25), (0.5, 0.0)]
    assert evaluations.total(found) == 0.125
    assert evaluations.staged(found, 2)[:2] == (4, 0.25)
    assert evaluations.cost(found) == (2.0, 8)


def test_the_score_over_domains_is_the_mean():
    assert evaluations.total(measured(GOOD, Fixed("other", 1, 1, 0, 0, 1, 1))) == 0.75


@pytest.mark.parametrize(("least", "given"), [(0.4, 4), (0.5, 4), (0.6, 2)])
def test_a_gate_is_what_must_be_reached_on_the_first_tasks(least, given):
    assert len(measured(GOOD, least=least)[0].search) == given


def test_evaluations_are_read_as_they_were_written():
    found = measured(GOOD, POOR)
    assert evaluations.read(evaluations.written(found)) == found


def test_labels_of_the_choice_are_not_shown_and_those_of_the_search_are():
    archive = [Known(-1, 0.5, 1, False, "", measured(GOOD)), Known(0, 0.5, 0, True, "diff", measured(GOOD))]
    files = {name: content.decode() for name, content in evaluations.material(archive, 7).items()}
    assert sorted(files) == [
        "0/good.search.json",
        "0/good.select.json",
        "1/changes.diff",
        "1/good.search.json",
        "1/good.select.json",
        "archive.json",
    ]
    assert "right was" in files["1/good.search.json"]
    assert json.loads(files["1/good.select.json"]) == [{"task": task, "handed_in": "said"} for task in ("y", "z")]
    told = json.loads(files["archive.json"])
    assert told["changes_left"] == 7
    assert told["programs"][1] == {
        "number": 1,
        "parent": 0,
        "score": 0.5,
        "children": 0,
        "meta_agent_failed": True,
        "mean_scores": {"good": {"search": 0.75, "select": 0.5}},
    }


def test_who_fails_at_the_end_of_each_task_is_not_told_which_of_the_choice_were_solved():
    outcomes = [Outcome("y", 1.0, "a diff"), Outcome("z", 0.0, "a diff", failure="crash")]
    found = Measured("good", outcomes, outcomes, 1.0)
    files = evaluations.material([Known(-1, 0.5, 0, False, "", [found])], 7)
    first, second = (set(task.items()) for task in json.loads(files["0/good.select.json"]))
    assert first ^ second == {("task", "y"), ("task", "z")}
    assert json.loads(files["0/good.search.json"])[1]["failure"] == "crash"


def test_the_report_is_never_asked_for():
    assert {task for domain in (GOOD, POOR) for task in domain.asked} <= {"a", "b", "c", "d", "y", "z"}
