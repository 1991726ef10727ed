import asyncio
import json
import random

import numpy as np
import pytest

from aiga.data.findings import Example, Finding
from aiga.fm.messages import Reply
from aiga.fm.offline import Offline
from aiga.inspect import capabilities

GROUPS = ("counting letters", "adding numbers", "turning words")


def finding(name, capability="adding", success=True, difficulty=1, surprising=False):
    examples = (Example("1", "Add 1 and 2.", "3" if success else "4", float(success)),)
    return Finding(
        name, f"It is {name}.", capability, difficulty, "program", float(success), success, examples, surprising
    )


def crowd(each=14):
    """Three groups of families, far from each other, and their places."""
    generator = np.random.default_rng(0)
    found = [finding(f"{kind}_{i}", kind, success=i % 2 == 0) for kind in GROUPS for i in range(each)]
    middle = np.repeat(np.eye(3, 8) * 20, each, axis=0)
    return found, (middle + generator.normal(size=middle.shape)).astype(np.float32)


def test_groups_that_lie_apart_become_clusters_and_are_named_by_their_own_words():
    findings, places = crowd()
    groups = capabilities.atlas(places, smallest=8).groups
    names = {capabilities.terms(findings, rows, most=2) for rows in groups.values()}
    assert {findings[row].capability for rows in groups.values() for row in rows} == set(GROUPS)
    assert all(len({findings[row].capability for row in rows}) == 1 for rows in groups.values())
    assert names == {"counting, letters", "adding, numbers", "turning, words"}


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_few_families_have_a_map_and_no_clusters(n):
    where = capabilities.atlas(np.eye(n, 8, dtype=np.float32), smallest=8)
    assert where.points.shape == (n, 2)
    assert where.groups == {}


def test_the_report_tells_successes_failures_and_surprises_apart():
    findings, places = crowd(4)
    findings[1] = finding("odd", success=False, surprising=True)
    figures = {figure.title: figure.content for figure in capabilities.report(findings, places, 8)}
    assert [row["family"] for row in figures["Surprising"]] == ["odd"]
    assert figures["Surprising"][0]["one submission"] == "4 (wrong)"
    assert {row["solved"] for row in figures["The easiest failures"]} == {"0%"}
    assert {row["solved"] for row in figures["The most difficult successes"]} == {"100%"}
    drawn = {trace.name: len(trace.x) for trace in figures["Map of tasks"].data}
    assert drawn == {"success": 6, "failure": 6}


def test_a_cluster_is_named_by_the_label_that_it_was_given():
    findings, places = crowd()
    groups = capabilities.atlas(places, smallest=8).groups
    labels = {str(group): f"ability {group}" for group in groups}
    rows = capabilities.report(findings, places, 8, labels)[1].content
    assert sorted(row["cluster"] for row in rows) == sorted(labels.values())
    assert all(row["succeeded"] == "50%" for row in rows if row["families"] == 14)


def test_the_failures_shown_first_are_the_easiest():
    findings = [finding("hard", success=False, difficulty=5), finding("easy", success=False, difficulty=1)]
    figures = {f.title: f.content for f in capabilities.report(findings, np.eye(2, 8, dtype=np.float32), 8)}
    assert [row["family"] for row in figures["The easiest failures"]] == ["easy", "hard"]


def test_samples_have_the_fields_that_inspect_reads():
    lines = capabilities.samples([finding("sums"), finding("sums_that_fail", success=False)]).splitlines()
    right, wrong = map(json.loads, lines)
    assert right.keys() == {"input", "target", "id", "metadata"}
    assert (right["input"], right["target"], right["id"]) == ("Add 1 and 2.", "3", "sums/1")
    assert wrong["target"] == "", "nobody knows the solution"
    assert wrong["metadata"]["success"] is False
    assert wrong["metadata"]["program"] == "program"


def test_a_finding_is_the_same_after_it_was_written_and_read():
    assert Finding.parsed(finding("sums").dumped()) == finding("sums")


@pytest.mark.parametrize(("said", "label"), [("Adding up\nand more", "Adding up"), (" ", "")])
def test_a_models_label_is_one_line(said, label):
    def answer(seeded: random.Random, facts: None) -> Reply:
        return Reply(said)

    assert asyncio.run(capabilities.label(Offline({"acd/label": answer}), [finding("sums")])) == label
