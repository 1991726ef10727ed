from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from aiga.archives.grid import Grid, GridCells
from aiga.core.errors import UsageError
from aiga.core.lifts import Generational, Scanned
from aiga.core.protocols import Candidates, Evaluation
from aiga.runs import loop, report
from aiga.strategies.cma_es import CMAES
from aiga.systems.map_elites import Emitters, MapElites, figures, make
from aiga.variation.vectors import iso_line


class Point(eqx.Module):
    place: Float[Array, "*n 2"]
    height: Float[Array, "*n"]


GENOMES = {
    "vector": (jnp.zeros(3), lambda g: (g[:, :2], g[:, 2])),
    "dict": ({"place": jnp.zeros(2), "height": jnp.zeros(())}, lambda g: (g["place"], g["height"])),
    "module": (Point(jnp.zeros(2), jnp.zeros(())), lambda g: (g.place, g.height)),
}


@pytest.mark.parametrize(("example", "read"), GENOMES.values(), ids=GENOMES.keys())
def test_genomes_are_any_tree_of_arrays(example, read):
    def evaluate(key, genomes):
        place, height = read(genomes)
        return Evaluation(-((height - 1) ** 2), place)

    empty = Grid.empty(example, GridCells((-1.0, -1.0), (1.0, 1.0), (5, 5)), offset=-1.0)
    system = Scanned(Generational(MapElites(empty, partial(iso_line, iso=0.2), "iso_line", 64), evaluate), 200)
    _, info = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    assert int(info["archive/size"]) == 25
    assert float(info["archive/best"]) > -0.01


def test_every_elite_descends_from_a_recorded_birth():
    system = make(batch=16, fuse=3, cells=25)
    state, info = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    born = info["born"]
    assert born.operator == "iso_line"
    assert born.id.shape == (48, 2)
    assert born.id.tolist() == [[step, i] for step in range(3) for i in range(16)]
    kept = {tuple(row) for row in np.asarray(born.id)[np.asarray(born.kept) > 0].tolist()}
    elites = {tuple(row) for row in np.asarray(state.identity)[np.asarray(state.occupied)].tolist()}
    parents = {tuple(row) for row in np.asarray(born.parents).reshape(-1, 2).tolist()} - {(-1, -1)}
    assert elites <= kept
    assert parents <= kept
    replaced = {tuple(row) for row in np.asarray(born.replaced).tolist()} - {(-1, -1)}
    assert replaced == kept - elites


def test_the_first_batch_and_every_batch_of_the_control_come_from_the_start_genome():
    system = make(parents="start", batch=8, fuse=2, iso=0.01)
    state, info = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    assert (np.asarray(info["born"].parents) == -1).all()
    assert np.abs(np.asarray(state.genomes)).max() < 0.06
    elites = make(batch=8, fuse=2, iso=0.01)
    _, info = elites.step(jax.random.key(1), elites.init(jax.random.key(0)))
    assert (np.asarray(info["born"].parents[:8]) == -1).all()
    assert (np.asarray(info["born"].parents[8:, :, 0]) == 0).all()


def test_lineage_can_be_left_out():
    system = make(lineage=False, fuse=1, batch=4)
    _, info = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    assert "born" not in info


def test_a_grid_needs_a_square_number_of_cells():
    with pytest.raises(UsageError, match=r"for example 100\."):
        make(cells=99)


@pytest.mark.parametrize(("archive", "variation"), [("grid", "iso_line"), ("cvt", "iso_line"), ("grid", "cma_mae")])
def test_the_report_shows_the_map(archive, variation, tmp_path):
    options = {"archive": archive, "variation": variation, "cells": 25, "batch": 16, "emitters": 2, "fuse": 2}
    run = loop.run("map_elites", steps=1, out=tmp_path / "run", **options)
    [figure] = figures(run)
    state = run.state if variation == "iso_line" else run.state.archive
    values = figure.content.data[0].z if archive == "grid" else figure.content.data[0].marker.color
    assert np.isfinite(np.asarray(values, float)).sum() == int(state.size)
    assert "Map of elites" in report.write(run.directory).read_text()


CMA = ["cma_me", "cma_mae"]


def emitters(variation: str, example=None, *, count: int = 2, population: int = 8, shape=(3, 3)) -> Emitters:
    """Emitters over the square from -1 to 1."""
    example = jnp.zeros(2) if example is None else example
    annealed = {"learning_rate": 0.1, "threshold_min": -10.0} if variation == "cma_mae" else {}
    empty = Grid.empty(example, GridCells((-1.0, -1.0), (1.0, 1.0), shape), parents=1, offset=-10.0, **annealed)
    return Emitters(empty, CMAES(sum(x.size for x in jax.tree.leaves(example)), population, 0.5), count, variation)


def stepped(system: Generational, steps: int):
    state, info = system.init(jax.random.key(0)), {}
    for step in range(steps):
        state, info = system.step(jax.random.key(step + 1), state)
    return state, info


@pytest.mark.parametrize(("example", "read"), GENOMES.values(), ids=GENOMES.keys())
def test_emitters_take_genomes_of_any_tree(example, read):
    def evaluate(key, genomes):
        place, height = read(genomes)
        return Evaluation(-((height - 1) ** 2), place)

    system = Scanned(Generational(emitters("cma_me", example), evaluate), 60)
    state, info = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    assert int(info["archive/size"]) == 9
    assert float(info["archive/best"]) > -0.01
    assert jax.tree.structure(state.archive.genomes) == jax.tree.structure(example)


@pytest.mark.parametrize("variation", CMA)
def test_an_emitter_whose_samples_all_fail_learns_nothing_and_begins_again(variation):
    def failing(key, genomes):
        return Evaluation(jnp.full(16, jnp.nan), genomes)

    system = Generational(emitters(variation), failing)
    state, info = stepped(system, 2)
    assert int(state.archive.size) == 0
    assert int(info["emitters/restarts"]) == 4
    assert (np.asarray(state.emitters.mean) == 0).all(), "an empty archive gives the start genome"
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.emitters))


@pytest.mark.parametrize("variation", CMA)
def test_failed_samples_do_not_move_an_emitter(variation):
    def half_failing(key, genomes):
        return Evaluation(jnp.where(genomes[:, 0] > 0, jnp.nan, genomes[:, 1]), genomes)

    state, _ = stepped(Generational(emitters(variation), half_failing), 1)
    assert (np.asarray(state.emitters.mean)[:, 0] < 0).all()
    assert np.isfinite(np.asarray(state.emitters.mean)).all()


@pytest.mark.parametrize("variation", CMA)
def test_emitters_that_cannot_tell_their_samples_apart_begin_again_at_an_elite(variation):
    """All-equal fitness, and one cell, for descriptors far outside of it."""

    def flat(key, genomes):
        return Evaluation(jnp.ones(16), genomes + 100)

    state, info = stepped(Generational(emitters(variation, shape=(1, 1)), flat), 3)
    assert int(state.archive.size) == 1
    assert int(info["emitters/restarts"]) == 6
    assert np.array_equal(state.emitters.mean, np.repeat(state.archive.genomes, 2, axis=0))
    assert np.array_equal(state.origins, np.repeat(state.archive.identity, 2, axis=0))


def told(variation: str, fitness: list[float], place: list[float]):
    """One emitter that was asked in vain for four numbers 0.1, 0.2, 0.3, 0.4 and told of their fitness and place.

    The middle cell of three has an elite of fitness 5 already.
    """
    strategy = emitters(variation, jnp.zeros(1), count=1, population=4, shape=(3, 1))
    before = strategy.init(jax.random.key(0))
    archive, _ = before.archive.place(jnp.ones((1, 1)), Evaluation(jnp.array([5.0]), jnp.zeros((1, 2))))
    samples = jnp.array([[0.1], [0.2], [0.3], [0.4]])
    candidates = Candidates(samples, jnp.full((4, 1, 2), -1))
    evaluation = Evaluation(jnp.array(fitness), jnp.stack([jnp.array(place), jnp.zeros(4)], axis=1))
    after, _ = strategy.tell(jax.random.key(0), before._replace(archive=archive), candidates, evaluation)
    return after


def test_cma_me_moves_to_new_cells_first_and_to_all_that_the_archive_accepted():
    after = told("cma_me", fitness=[9.0, -9.0, 4.0, 6.0], place=[0.0, 0.9, 0.0, 0.0])
    # In order: 0.2, new; 0.1, improved by 4; 0.4, improved by 1; 0.3 was rejected.  Weights ln 3.5 - ln 1, 2, 3.
    weights = np.log(3.5) - np.log([1, 2, 3])
    assert float(after.emitters.mean[0, 0]) == pytest.approx(weights @ [0.2, 0.1, 0.4] / weights.sum(), rel=1e-5)
    assert int(after.restarts) == 0


def test_cma_mae_moves_to_the_half_that_improved_most_on_the_thresholds():
    # The threshold of the middle cell is 0.9 (-10) + 0.1 (5) = -8.5, of the others -10.
    after = told("cma_mae", fitness=[9.0, -9.0, 4.0, 8.0], place=[0.0, 0.9, 0.0, 0.9])
    weights = np.log(2.5) - np.log([1, 2])  # improvements are 17.5, 1, 12.5 and 18
    assert float(after.emitters.mean[0, 0]) == pytest.approx(weights @ [0.4, 0.1] / weights.sum(), rel=1e-5)


def test_emitters_that_found_nothing_begin_again_in_cma_me_but_not_in_cma_mae():
    nothing = {"fitness": [4.0, 3.0, 2.0, 1.0], "place": [0.0] * 4}
    assert told("cma_me", **nothing).emitters.mean.tolist() == [[1.0]], "the genome of the only elite"
    assert int(told("cma_mae", **nothing).restarts) == 0


@pytest.mark.parametrize("variation", CMA)
def test_the_parent_of_a_sample_is_the_elite_that_its_emitter_began_around(variation):
    system = make("sphere", variation=variation, cells=25, emitters=3, batch=24, fuse=30, iso=0.5)
    state, info = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    born = info["born"]
    assert born.operator == variation
    kept = {tuple(row) for row in np.asarray(born.id)[np.asarray(born.kept) > 0].tolist()}
    parents = {tuple(row) for row in np.asarray(born.parents).reshape(-1, 2).tolist()} - {(-1, -1)}
    origins = {tuple(row) for row in np.asarray(state.origins).tolist()} - {(-1, -1)}
    assert parents | origins <= kept
    assert variation == "cma_mae" or parents


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cells": -4, "archive": "cvt"}, "--cells is -4: give a number above zero"),
        ({"batch": 0}, "--batch is 0: give a number above zero"),
        ({"iso": float("nan")}, "--iso is nan and --line is 0.2: give numbers from zero on"),
        ({"line": -1.0}, "--line is -1.0: give numbers from zero on"),
        ({"variation": "cma_me", "batch": 20, "emitters": 15}, "--batch is 20 for 15 emitters; give a multiple"),
        ({"variation": "cma_me", "batch": 15, "emitters": 15}, "twice as many or more"),
        ({"variation": "cma_me", "batch": 15, "emitters": 0}, "--emitters is 0: give a number above zero"),
        ({"variation": "cma_mae", "parents": "start"}, "emitters have no such option"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        make(**options)


def test_a_resumed_run_of_emitters_equals_an_uninterrupted_one(tmp_path):
    options = {"world": "sphere", "variation": "cma_mae", "cells": 25, "emitters": 3, "batch": 24, "fuse": 5}
    whole = loop.run("map_elites", steps=2, out=tmp_path / "whole", **options).state
    loop.run("map_elites", steps=1, out=tmp_path / "parts", **options)
    resumed = loop.resume(tmp_path / "parts", steps=2).state
    assert all(
        np.array_equal(expected, found, equal_nan=True)
        for expected, found in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True)
    )


def test_the_second_step_of_emitters_has_the_types_of_the_first():
    system = make("sphere", variation="cma_mae", cells=25, emitters=3, batch=24, fuse=5)
    first = system.init(jax.random.key(0))
    second, _ = system.step(jax.random.key(1), first)
    before, after = ([(x.shape, x.dtype, x.weak_type) for x in jax.tree.leaves(s)] for s in (first, second))
    assert before == after, "another type compiles the step again"
