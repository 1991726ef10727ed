"""A run goes on while one request in five fails, in every way that there is, and tells of each."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from aiga.runs import report
from aiga.runs.loop import run
from tests.fm_server import Server, cut, empty, fail, filtered, length, malformed, stall, text

SEEKER = str(Path(__file__).parents[1] / "toys" / "seeker.py")
STEPS = 150
KINDS = {
    "429": "rate",
    "500": "server",
    "529": "server",
    "stall": "timeout",
    "cut": "cut",
    "malformed": "malformed",
    "empty": "empty",
    "length": "length",
    "filter": "filter",
    "ok": "ok",
}
"""How a run calls what the server did."""
WAYS = (
    fail(429),
    fail(429, after=0.01),
    fail(500),
    fail(529),
    stall(),
    cut(),
    malformed(),
    empty(),
    length(),
    filtered(),
)


STALLS = (20, 25, 30)
"""Close together, so that they are waited for at the same time."""


class Unreliable:
    """A script in which one request in five fails."""

    def __init__(self):
        self.chance, self.requests = random.Random(0), 0

    def __call__(self, request):
        self.requests += 1
        if self.requests in STALLS:
            return stall()
        if self.chance.random() < 0.19:
            return self.chance.choice(WAYS)
        tokens = self.chance.randrange(10, 500), self.chance.randrange(1, 50)
        return text(f"{self.chance.random()}", usage=tokens, delay=0.01 * self.chance.random())


@pytest.fixture(scope="module")
def survived(tmp_path_factory):
    with Server(Unreliable()) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        out = tmp_path_factory.mktemp("faults") / "run"
        done = run(SEEKER, seed=0, steps=STEPS, out=out, fm="openai:gpt-4o-mini", workers=1, calls=16, hurry=True)
        seen = Counter()
        for way, count in server.requests.items():
            seen[KINDS[way]] += count
        return done, server, seen


def test_the_run_is_finished_and_every_way_to_fail_was_tried(survived):
    done, _, seen = survived
    assert done.status == "finished"
    assert np.array_equal(done.metric("run/steps").values, np.arange(1, STEPS + 1))
    assert seen.keys() == set(KINDS.values())
    assert 0.15 < 1 - seen["ok"] / seen.total() < 0.25


def test_the_report_counts_each_kind_as_the_server_does(survived):
    done, _, seen = survived
    table = report.conversations(done)[0]
    assert {row["outcome"]: int(row["requests"]) for row in table.content} == seen
    assert f"{seen.total():,} requests, of which {seen.total() - seen['ok']:,} brought no usable reply" in table.caption
    page = report.write(done.directory).read_text()
    assert all(f"<td>{kind}</td>" in page for kind in seen)


def test_tokens_and_dollars_are_the_servers_own_count(survived):
    done, server, _ = survived
    assert done.cost()["tokens"] == server.tokens_in + server.tokens_out
    assert done.cost()["usd"] == pytest.approx(server.dollars, rel=1e-9)
    assert server.dollars > 0


def test_a_candidate_without_a_reply_failed_and_is_no_birth(survived):
    done, _, seen = survived
    failed = Counter(event["what"] for event in done.events("failed"))
    assert failed.keys() == {"length", "filter"}, "all else was asked again"
    assert all(count <= seen[kind] for kind, count in failed.items())
    fitness = done.lineage()["fitness"]
    assert len(fitness)
    assert np.isfinite(fitness).all()
