"""Paper review: papers of a user or made here, splits of them, and agents that judge them in the sandbox."""

import asyncio
import json
import math

import pytest

from aiga.agents.domain import Domain, Outcome
from aiga.agents.responses import Asking
from aiga.agents.reviews import LABEL, Reviews, parsed, rates
from aiga.core.errors import UsageError
from aiga.core.texts import Recent
from aiga.data.puzzles import Sizes
from aiga.data.reviews import BAR, DECISIONS, SENTENCES, Paper, divided, made, quality, read
from aiga.fm.messages import Reply
from aiga.fm.offline import Offline
from aiga.sandbox import ladder

SIZES = Sizes(4, 2, 2)
ASKING = b"""
from broker import ask

def solve(task):
    return {"response": ask({"messages": [{"role": "user", "text": task["instruction"]}]})["text"]}
"""


def row(**fields):
    return json.dumps({"id": "1", "title": "A title", "abstract": "Words.", "decision": "accept"} | fields)


def reviews(say="accept", **options):
    """A domain of synthetic papers, a model that says the same of all, and what it was asked."""
    seen = []

    def answer(_, asked):
        seen.append(asked)
        return Reply(say)

    asking = Asking(Offline({LABEL: answer}), ladder.best(), LABEL, **options)
    return Reviews(asking, sizes=SIZES), seen


def evaluated(domain, code, tasks, seed=0):
    return asyncio.run(domain.evaluate({"task_agent.py": code}, tasks, seed=seed))


def test_made_papers_are_balanced_different_and_fixed_by_the_seed():
    papers = made(300, 0)
    assert papers == made(300, 0) != made(300, 1)
    assert len({paper.text for paper in papers}) == 300
    assert sum(paper.decision == "accept" for paper in papers) == 150


def test_what_is_told_of_a_made_paper_decides_and_what_is_claimed_does_not():
    def level(paper, aspect):
        return next(n for n, told in enumerate(SENTENCES[aspect]) if any(text in paper.text for text in told))

    papers = made(2000, 0)
    right = claimed = 0
    for paper in papers:
        levels = {aspect: level(paper, aspect) for aspect in SENTENCES}
        says = quality(levels) > BAR and levels["soundness"] > 0
        right += DECISIONS[not says] == paper.decision
        boasts = any(word in paper.text for word in ("breakthrough", "transforms", "first to solve"))
        claimed += DECISIONS[not boasts] == paper.decision
    assert 0.84 < right / len(papers) < 0.91
    assert 0.45 < claimed / len(papers) < 0.55


def test_splits_are_balanced_at_every_even_beginning_and_share_no_paper():
    papers = made(40, 0)
    parts = divided([*papers, *papers], Sizes(20, 10, 10), 3)
    assert len({paper.text for part in parts for paper in part}) == 40
    for part in parts:
        for end in range(2, len(part) + 1, 2):
            assert sum(paper.decision == "accept" for paper in part[:end]) == end // 2
    assert divided(papers, Sizes(20, 10, 10), 3).search != divided(papers, Sizes(20, 10, 10), 4).search


@pytest.mark.parametrize(("sizes", "said"), [(Sizes(3, 2, 2), "even numbers"), (Sizes(40, 2, 2), "20 accepted")])
def test_splits_that_cannot_be_are_refused(sizes, said):
    with pytest.raises(UsageError, match=said):
        divided(made(40, 0), sizes, 0)


def test_papers_are_read_and_running_heads_that_tell_are_left_out(tmp_path):
    text = "Published as a conference paper at ICLR 2024\nThe work.\nUnder review as a conference paper"
    lines = [row(venue="ICLR", year=2024), "", row(id=2, title="Another", abstract=None, text=text, decision="Reject ")]
    (tmp_path / "papers.jsonl").write_text("\n".join(lines))
    assert read(tmp_path / "papers.jsonl") == [
        Paper("A title", "Words.", "accept"),
        Paper("Another", "The work.", "reject"),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "1", "title"', "line 2 .*Expecting"),
        ("[1]", "no JSON object"),
        (row(id="2", title=""), "`title` is missing"),
        (row(id="2", abstract=""), "neither an abstract nor a text"),
        (row(id="2", abstract=7), "must be texts"),
        (row(id="2", decision="maybe"), "'maybe'; accept and reject"),
        (row(title="Other"), "the id `1` is that of line 1"),
        (row(id="2", decision="reject"), "that of line 1, with another decision"),
        ("[" * 100_000, "line 2"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, line, said):
    (tmp_path / "papers.jsonl").write_text(f"{row()}\n{line}\n")
    with pytest.raises(UsageError, match=said):
        read(tmp_path / "papers.jsonl")


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe{}"])
def test_a_file_without_papers_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "papers.jsonl").write_bytes(content)
    with pytest.raises(UsageError, match=r"does not exist|has no paper|cannot be read"):
        read(tmp_path / "papers.jsonl")


@pytest.mark.parametrize(
    ("text", "decision"),
    [
        ("accept", "accept"),
        (" **Rejected**.\n", "reject"),
        ('"ACCEPT"', "accept"),
        ("", None),
        ("accept or reject", None),
        ("I accept", None),
        ("acceptable", None),
        ("unaccept", None),
    ],
)
def test_a_response_is_one_word(text, decision):
    assert parsed(text) == decision


def test_responses_are_scored_and_only_search_has_verdicts():
    domain, seen = reviews("accept")
    assert isinstance(domain, Domain)
    tasks = [*domain.splits.search, *domain.splits.select]
    outcomes = evaluated(domain, ASKING, tasks)
    assert [outcome.task for outcome in outcomes] == tasks
    assert [outcome.verdict for outcome in outcomes[4:]] == ["", ""]
    assert sorted(outcome.verdict for outcome in outcomes[:4]) == ["right", "right", "wrong", "wrong"]
    assert rates(outcomes) == (0.5, 1.0, 1.0)
    assert all(outcome.tokens > 0 or outcome.log for outcome in outcomes)
    assert len(seen) == 6


def test_what_is_shown_of_a_paper_does_not_depend_on_its_decision():
    def shown(papers):
        domain = Reviews(Asking(Offline({}), ladder.best(), LABEL), papers, sizes=SIZES)
        splits = domain.splits
        return sorted(str(domain.shown(task)) for task in (*splits.search, *splits.select, *splits.report.open("")))

    turned, papers = {"accept": "reject", "reject": "accept"}, made(8, 0)
    assert shown(papers) == shown([paper._replace(decision=turned[paper.decision]) for paper in papers])


@pytest.mark.parametrize(
    ("code", "failure", "said"),
    [
        (b"def solve(task): return {'response': 'I would accept it'}", "format", "must be one word"),
        (b"def solve(task): return {'response': ['accept']}", "format", "must be a text"),
        (b"def solve(task): return 'accept'", "format", 'return {"response"'),
        (b"def solve(task): return None", "empty", "nothing"),
        (b"def solve(task): raise ValueError('no')", "crash", "ValueError: no"),
    ],
)
def test_what_is_no_decision_is_a_failure_with_a_reason(code, failure, said):
    domain, _ = reviews()
    (outcome,) = evaluated(domain, code, domain.splits.search[:1])
    assert (outcome.score, outcome.failure) == (0.0, failure)
    assert said in outcome.verdict
    (hidden,) = evaluated(domain, code, domain.splits.select[:1])
    assert (hidden.failure, hidden.verdict) == (failure, "")


def test_a_finished_attempt_is_not_made_again():
    finished = Recent()
    domain, seen = reviews(finished=finished)
    first = evaluated(domain, ASKING, domain.splits.search[:2])
    again, unseen = reviews(finished=finished)
    assert evaluated(again, ASKING, again.splits.search[:2]) == first
    assert (len(seen), len(unseen)) == (2, 0)


def test_the_report_split_is_sealed():
    domain, _ = reviews()
    assert domain.splits.report.open("one") == ("report-1", "report-2")
    with pytest.raises(UsageError, match="another choice"):
        domain.splits.report.open("other")


def test_rates_of_who_decides_nothing():
    outcomes = [Outcome("a", 0.0, "perhaps", failure="format"), Outcome("b", 0.0, "accept", failure="time")]
    found = rates(outcomes)
    assert (found.accuracy, found.decided) == (0.0, 0.0)
    assert math.isnan(found.accepts)
