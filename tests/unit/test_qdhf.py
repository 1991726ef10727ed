import asyncio
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from terminal import person

from aiga.core.errors import UsageError
from aiga.judges.human import append
from aiga.runs import loop, report
from aiga.systems import qdhf
from aiga.systems.qdhf import different, make, maps, principal

SMALL = {"iterations": 20, "batch": 16, "founders": 20, "cells": 100, "questions": 8}
KEY = 5


def steps(system, state, count, first=0):
    infos = []
    for step in range(first, first + count):
        state, info = asyncio.run(system.step(jax.random.fold_in(jax.random.key(KEY), step), state))
        infos.append(info)
    return state, infos


@pytest.fixture(scope="module")
def small():
    """A small run of three steps, with two rounds of questions."""
    system = make(**SMALL)
    state = system.init(jax.random.key(1))
    return system, *steps(system, state, 3)


def test_three_different_numbers_are_drawn_evenly():
    drawn = np.asarray(different(jax.random.key(0), 6000, jnp.array(5)))
    assert drawn.min() == 0
    assert drawn.max() == 4
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 5 * 4 * 3
    assert 60 < counts.min() <= counts.max() < 150  # 100 expected


def test_principal_components_are_of_the_counted_rows():
    wide = jnp.array([[4.0, 0, 0], [-4, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 1], [0, 0, -1]]) + 7
    outlier = jnp.array([[0.0, 0, 1000]])
    found = principal(jnp.concatenate([wide, outlier]), jnp.arange(7) < 6)
    assert np.allclose(np.abs(found), [[0, 1], [1, 0], [0, 0]], atol=1e-5)


def test_the_elites_span_the_unit_square_of_a_descriptor_that_was_just_learned():
    system = make(**SMALL | {"descriptor": "pca"})
    state = system.learn(jax.random.key(2), system.init(jax.random.key(1)))
    places = np.asarray(state.view.of(state.archive.genomes.features))[np.asarray(state.archive.occupied)]
    assert np.allclose(places, state.archive.descriptor[state.archive.occupied], atol=1e-5)
    assert np.allclose(places.max(axis=0), 1, atol=1e-5)
    assert np.allclose(places.min(axis=0), 0, atol=1e-5)
    assert int(state.learned.lost) == 20 - int(state.archive.size)


def test_in_the_first_round_random_solutions_are_asked_about_and_later_elites(small):
    system, state, _ = small
    asked = np.asarray(state.triplets).reshape(4, 2 * 3, -1)
    assert np.abs(asked[:2]).min() > 0
    assert (asked[2:] == 0).all()  # rounds to come
    assert np.asarray(state.answers != 0).tolist() == [True] * 4 + [False] * 4
    elites = np.asarray(system.ask(jax.random.key(3), state)).reshape(6, -1)
    known = np.asarray(state.archive.genomes.features)[np.asarray(state.archive.occupied)]
    assert all((known == row).all(axis=1).any() for row in elites)


def test_every_elite_and_its_line_of_ancestors_was_recorded(small):
    _, state, infos = small
    births = [infos[0]["founders"], *(info["born"] for info in infos)]
    ids = [tuple(row) for born in births for row in np.asarray(born.id)[np.asarray(born.kept) > 0].tolist()]
    assert len(set(ids)) == len(ids)
    parents = {tuple(row) for born in births for row in np.asarray(born.parents).reshape(-1, 2).tolist()}
    elites = {tuple(row) for row in np.asarray(state.archive.identity)[np.asarray(state.archive.occupied)].tolist()}
    assert elites <= set(ids)
    assert parents - {(-1, -1)} <= set(ids)
    assert "founders" not in infos[1]


def test_the_ground_truth_as_descriptor_is_sorted_by_it_already():
    system = make(**SMALL | {"descriptor": "truth", "lineage": False})
    state, infos = steps(system, system.init(jax.random.key(1)), 2)
    for name in ("truth", "seen"):
        assert float(infos[1][f"{name}/coverage"]) == float(infos[1]["archive/coverage"])
        assert float(infos[1][f"{name}/qd_score"]) == pytest.approx(float(infos[1]["archive/qd_score"]) / 100, rel=1e-5)
    assert np.isnan(infos[1]["judge/accuracy"])
    assert int(infos[1]["judge/answers"]) == 0
    assert int(state.iteration) == 2
    assert not {"born", "founders"} & infos[0].keys()  # as asked


def test_what_was_seen_covers_what_is_kept(small):
    _, _, infos = small
    for info in infos:
        assert float(info["seen/coverage"]) >= float(info["truth/coverage"]) > 0
    assert [int(info["judge/answers"]) for info in infos] == [2, 2, 4]


def answer_from_pictures(path):
    """Answer the open questions of a file as the simulated judge would."""
    for line in path.with_name(f"{path.stem}.questions.jsonl").read_text().splitlines():
        row = json.loads(line)
        ends = {name: np.array(row[name][-1]) for name in ("reference", "A", "B")}
        a, b = (((ends["reference"] - ends[name]) ** 2).sum() for name in "AB")
        append(path, row["question"], "B" if a > b else "A")


def test_a_search_that_is_answered_in_a_file_equals_a_simulated_one(small, tmp_path):
    """The loop's part in this is tested with a person, below; the command line's by the page's own blocks."""
    _, expected, _ = small
    path = tmp_path / "answers.csv"
    system = make(**SMALL, judge="file", answers=str(path))
    state = system.init(jax.random.key(1))
    for step, asked in enumerate(("0-", None, "2-")):
        if asked:
            with pytest.raises(UsageError, match=f"no answer to question {asked}"):
                steps(system, state, 1, first=step)
            answer_from_pictures(path)
        state, _ = steps(system, state, 1, first=step)
        path.unlink(missing_ok=True)  # what was answered is part of the state
    for found, wanted in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        assert np.array_equal(found, wanted, equal_nan=True)


def test_a_person_stops_a_run_goes_on_later_and_the_run_can_be_repeated_from_the_answers(tmp_path):
    path = tmp_path / "answers.csv"
    options = SMALL | {"answers": str(path)}
    with person(b"a", b"q"), pytest.raises(UsageError, match="1 of the 2 answers of this round"):
        loop.run("qdhf", out=tmp_path / "run", judge="terminal", **options)
    with person(b"b", b"a", b"s", b"b", b"b", b"a", b"a"):
        run = loop.resume(tmp_path / "run")
    assert run.status == "finished"
    assert run.latest()["judge/answers"] == 7
    given = [line.partition(",")[2] for line in path.read_text().splitlines()[1:]]
    assert given == ["A", "B", "A", "skip", "B", "B", "A", "A"]
    again = loop.run("qdhf", out=tmp_path / "again", judge="file", **options)
    assert again.latest()["truth/qd_score"] == run.latest()["truth/qd_score"]


def test_a_rescaled_descriptor_keeps_its_projection_and_follows_what_is_found():
    system = make(**SMALL | {"descriptor": "rescaled"})
    assert (system.learning, system.scaling, system.questions) == ((0,), (0, 2, 5, 10), 8)
    learned, _ = steps(system, system.init(jax.random.key(1)), 2)
    moved = system.rescale(learned)
    assert np.array_equal(moved.view.projection, learned.view.projection)
    places = np.asarray(learned.archive.genomes.features @ learned.view.projection)[learned.archive.occupied]
    assert np.allclose(moved.view.low, places.min(axis=0), atol=1e-5)
    assert np.allclose(moved.view.high, places.max(axis=0), atol=1e-5)
    assert not np.array_equal(moved.view.low, learned.view.low)
    assert float(moved.learned.accuracy) == float(learned.learned.accuracy)
    state, _ = steps(system, learned, 1, first=2)
    assert np.array_equal(state.view.low, moved.view.low)


def test_the_maze_is_illuminated_too():
    system = make(**SMALL | {"world": "maze", "descriptor": "offline"})
    state, infos = steps(system, system.init(jax.random.key(1)), 2)
    assert system.sigma == 0.2
    assert 0 < float(infos[1]["truth/coverage"]) < 0.5
    assert 0 < float(infos[1]["archive/best"]) <= 100
    assert int(state.archive.size) > 10


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"cells": 99}, "--cells is 99: a square number"),
        ({"cells": 64, "founders": 100}, "from --founders, 100, on"),
        ({"iterations": 30}, "--iterations is 30.*multiple of 20"),
        ({"questions": 10}, "--questions is 10.*4 equal rounds"),
        ({"batch": 0}, "--batch 0.*1 or more"),
        ({"founders": 0}, "--founders 0.*1 or more"),
        ({"answers": "answers.csv"}, "--answers is for --judge terminal or file"),
        ({"mistakes": 2.0}, "--mistakes 2.0.*0 to 1"),
        ({"sigma": 0.0}, "--sigma 0.0.*above zero"),
        ({"judge": "terminal"}, "--judge terminal needs --answers"),
        ({"judge": "file", "answers": "answers.txt"}, r"ends with \.csv or \.jsonl"),
    ],
)
def test_wrong_options_are_refused_with_the_mend(options, complaint):
    with pytest.raises(UsageError, match=complaint):
        make(**options)


def test_the_report_shows_both_views(tmp_path):
    run = loop.run("qdhf", steps=1, out=tmp_path / "run", **SMALL)
    learned, truth = maps(run)
    assert learned.shape == truth.shape == (10, 10)
    assert np.isfinite(learned).sum() == int(run.state.archive.size)
    assert np.isfinite(truth).mean() == pytest.approx(run.latest()["truth/coverage"])
    [figure] = qdhf.figures(run)
    assert len(figure.content.data) == 2
    assert "Two views" in report.write(run.directory).read_text()
