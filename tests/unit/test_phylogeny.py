"""The report of agents that rewrite themselves: everyone is in the tree, every diff can be read, nothing is markup."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from aiga.inspect import changes, family, phylogeny
from aiga.inspect.family import Member, lines
from aiga.inspect.phylogeny import Measured
from aiga.runs.events import Approved, Born, Denied, Rejected
from aiga.runs.pages import _section
from aiga.runs.record import Run
from aiga.runs.store import Store

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"
DIFF = f"diff --git a/agent.py b/agent.py\n--- a/agent.py\n+++ b/agent.py\n@@ -1,1 +1,1 @@\n-one\n+{HOSTILE}\n"
FIRST = 0
BEST = (2 << 32) | 1


def born(identity, parent, score, blob, kind="a task"):
    parents = np.array([[parent if parent else (-1, -1)]])
    return Born(np.array([identity]), parents, kind, np.array([2]), np.array([score]), blob=[blob])


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """0.0 -> 1.0 -> 2.1 is the best line; 2.0 is a worse child of 0.0; 1.1 and 3.0 were not kept."""
    manifest = {"system": "toy", "options": {}, "seed": 0, "sandbox": None, "model": None}
    store = Store.create(tmp_path_factory.mktemp("phylogeny") / "run", manifest)
    diff = store.put(DIFF.encode())
    store.record(0, {"born": born((0, 0), None, 0.2, store.put(b""), "first")})
    rejected = Rejected((1, 1), f"not sound: {HOSTILE}", (0, 0), diff)
    store.record(1, {"born": born((1, 0), (0, 0), 0.3, diff), "rejected": rejected, "gate": Approved((1, 0), "rules")})
    store.record(2, {"a": born((2, 0), (0, 0), 0.1, diff), "b": born((2, 1), (1, 0), 0.5, diff)})
    reason = "network: agent.py, line 1: import socket"
    denied = Rejected((3, 0), f"denied by rules: {reason}", (1, 0), diff)
    store.record(3, {"rejected": denied, "gate": Denied((3, 0), "rules", reason)})
    store.close()
    return Run(store.directory)


@pytest.fixture(scope="module")
def measured():
    return {FIRST: Measured(60, (0.3, 0.2)), 1 << 32: Measured(10, (0.3,)), BEST: Measured(60, (0.4, 0.5))}


def test_the_best_line_leads_from_the_first_agent_to_the_best(grown):
    assert phylogeny.line(grown) == [FIRST, 1 << 32, BEST]
    assert phylogeny.line(grown, chosen=2 << 32) == [FIRST, 2 << 32]
    assert family.name(BEST) == "2.1"


def test_everyone_is_in_the_tree_with_score_or_reason(grown, measured):
    drawing = ElementTree.fromstring(phylogeny.tree(grown, measured).content.html)
    titles = [title.text for title in drawing.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 6
    assert "2.1, of 1.0\na task, step 2\nscore 0.500 on 60 tasks" in titles
    assert "3.0, of 1.0, step 3\nnot kept: denied by rules: network: agent.py, line 1: import socket" in titles


def test_the_best_line_shows_each_diff_with_the_score_before_and_after(grown):
    shown = phylogeny.best_lineage(grown).content.html
    summaries = re.findall("<summary>(.*?)</summary>", shown)
    assert summaries == [
        "0.0 → 1.0 · a task · score 0.200 → 0.300 (+0.100) · lines: 1 added, 1 removed",
        "1.0 → 2.1 · a task · score 0.300 → 0.500 (+0.200) · lines: 1 added, 1 removed",
    ]


def test_every_diff_can_be_reached_those_of_children_that_were_not_kept_too(grown):
    shown = phylogeny.births(grown).content.html
    assert shown.count("+&lt;script&gt;alert(1)") == 5
    assert "0.0 → 1.1 · not kept · not sound: " in shown
    assert "4 children" not in shown
    assert "6 children, in the order of birth" in shown


def test_rejections_are_counted_by_kind_and_the_gate_is_named(grown):
    figure = phylogeny.rejections(grown)
    assert [(row["why"], row["children"]) for row in figure.content] == [
        ("not sound", "1"),
        ("denied by rules: network", "1"),
    ]
    assert figure.caption == "2 of 6 agents were not kept. At the gate, rules allowed 1 and denied 1."


def test_progress_has_the_best_and_the_mean_so_far(grown):
    _, best, mean = phylogeny.progress(grown).content.data
    assert list(best.y) == pytest.approx([0.2, 0.3, 0.3, 0.5])
    assert list(mean.y) == pytest.approx([0.2, 0.25, 0.2, 0.275])


def test_stages_say_who_was_given_them_and_how_they_did(grown, measured):
    first, second = phylogeny.stages(grown, measured).content
    assert (first["tasks"], first["agents"], first["ended here"], first["mean score"]) == ("10", "3", "1", "0.333")
    assert (second["tasks"], second["agents"], second["best score"]) == ("60", "2", "0.500")


def test_nothing_that_a_run_says_is_markup_or_steers_who_reads_it(grown, measured):
    page = "".join(
        _section(f, 0, "screen", True)
        for f in phylogeny.figures(grown, measured)
        if f.title != "Scores over the births"
    )
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m\\u202e" in page


def test_a_run_without_births_has_no_figures(tmp_path):
    store = Store.create(tmp_path / "run", {"system": "toy", "options": {}, "seed": 0})
    store.close()
    assert phylogeny.figures(Run(store.directory)) == []


def test_heads_of_files_and_changed_lines_are_told_apart():
    shown = changes.coloured("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,1 @@\n--- a list\n c\n")
    rows = re.findall(r'<span style="([^"]*)">([^<]*)</span>', shown)
    bold = [text for style, text in rows if "600" in style]
    assert bold == ["diff --git a/x b/x", "--- a/x", "+++ b/x"]
    assert (changes.COLOURS["-"] in rows[4][0], rows[4][1]) == (True, "--- a list")


def test_what_is_left_out_of_a_long_diff_is_counted():
    shown = changes.coloured("+x\n" * (changes.LINES + 5) + "+" + "y" * changes.LETTERS)
    assert "(6 more lines)" in shown
    assert "(11 more letters)" in changes.coloured("+" + "y" * (changes.LETTERS + 10))


def test_branches_lie_together_and_the_marked_one_stays_on_its_line():
    everyone = [Member(i, parent, i, "", 0.0) for i, parent in enumerate([-1, 0, 0, 2, 2, 1, 0])]
    found = lines(everyone, marked=(0, 2, 4))
    assert [found[i] for i in (0, 2, 4)] == [0, 0, 0]
    assert sorted(set(found.values())) == [0, 1, 2, 3], "a line for each of the leaves 3, 4, 5, 6"
    assert found[5] == found[1]


@pytest.mark.parametrize("count", [1, 5, 300])
def test_a_tree_of_any_size_stays_within_its_picture(count):
    random = np.random.default_rng(0)
    everyone = [
        Member(i << 32, -1 if i == 0 else int(random.integers(i)) << 32, i, "", i / count) for i in range(count)
    ]
    drawing = ElementTree.fromstring(family.drawn(everyone, [], [0]))
    height = float(drawing.get("height"))
    points = [p for e in drawing.iter() for p in (e.get("points") or "").split()]
    places = np.array([[float(x) for x in p.split(",")] for p in points])
    assert ((places >= 0) & (places <= (family.WIDTH, height))).all()
    assert height < 250 + 12 * count
