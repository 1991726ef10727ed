import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation
from aiga.envs.brax import BraxState
from aiga.nn.normaliser import Normaliser
from aiga.runs import loop, report
from aiga.strategies.evolvability import Diversity
from aiga.systems.evolvability_es import (
    Interference,
    Quality,
    Towards,
    directions,
    figures,
    make,
    walked,
    walked_forward,
)

SMALL = {"pairs": 4, "adaptation_pairs": 4, "horizon": 4, "hidden": 4, "fuse": 1}
TOY = {**SMALL, "world": "interference", "sigma": 0.3, "optimiser": "sgd"}
STILL = {"world": "interference", "pairs": 100, "adaptation_pairs": 50, "sigma": 0.01, "fuse": 1}


def step(system, seed=0):
    return system.step(jax.random.key(seed + 1), system.init(jax.random.key(seed)))


def test_the_toy_behaves_as_in_the_paper():
    x = jnp.array([[1.0], [2.5 * np.pi]])
    evaluation = Interference()(jax.random.key(0), x, Normaliser.none((0,)))
    assert evaluation.descriptor[0, 0] == pytest.approx(5 * np.sin(0.2) * np.sin(20.0), abs=1e-4)
    assert evaluation.fitness.tolist() == evaluation.descriptor[:, 0].tolist()


def test_tasks_are_both_ways_along_a_line_and_all_round_in_a_plane():
    assert directions(1).tolist() == [[1.0], [-1.0]]
    round_ = directions(2)
    assert round_.shape == (8, 2)
    np.testing.assert_allclose(np.linalg.norm(round_, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(round_.sum(0), 0, atol=1e-6)
    np.testing.assert_allclose(round_[2], [0, 1], atol=1e-6)


def test_both_estimators_make_the_same_step():
    means = {}
    for objective in ("max_var", "max_ent"):
        for estimator in ("direct", "graph"):
            search = make(objective=objective, estimator=estimator, **TOY).search
            begun = search.init(jax.random.key(0))
            state, _ = search.step(jax.random.key(1), begun)
            means[objective, estimator] = state.es.mean
            assert not np.allclose(state.es.mean, begun.es.mean)
        np.testing.assert_allclose(means[objective, "direct"], means[objective, "graph"], atol=1e-5)
    assert not np.allclose(means["max_var", "direct"], means["max_ent", "direct"])


def test_quality_ranks_by_fronts_of_fitness_and_distance_and_equals_alike():
    """Distances from the mean behaviour: 1, 1, 0 and 0 beside the failed one; fitness decides within each."""
    behaviour = jnp.array([[-1.0], [1.0], [0.0], [0.0], [5.0]])
    utilities = Quality(Diversity(unit="none"))
    fitness = jnp.array([2.0, 1.0, 3.0, 3.0, jnp.nan])
    found = utilities(Evaluation(fitness, behaviour))
    np.testing.assert_allclose(found[:4], [1 / 6, -0.5, 1 / 6, 1 / 6], atol=1e-6)
    assert np.isnan(found[4])


def test_a_task_prefers_who_goes_farthest_its_way():
    behaviour = jnp.array([[0.0, 1.0], [3.0, -1.0], [1.0, 0.0]])
    assert Towards(jnp.array([1.0, 0.0]))(Evaluation(jnp.zeros(3), behaviour)).tolist() == [-0.5, 0.5, 0.0]


def test_the_examination_does_not_touch_the_search():
    searched, _ = step(make(**TOY))
    otherwise, _ = step(make(**{**TOY, "adaptation": 3, "adaptation_rate": 0.5, "adaptation_pairs": 2}))
    for one, other in zip(jax.tree.leaves(searched), jax.tree.leaves(otherwise), strict=True):
        np.testing.assert_array_equal(one, other)


def test_adaptation_goes_where_it_is_asked_to():
    """At x = 1 the toy's slope is steep: a step up and a step down change the behaviour by the slope times the step."""
    options = {**STILL, "learning_rate": 0.0, "adaptation_rate": 0.005}
    _, info = step(make(**options))
    up, down = (5 * np.sin(x / 5) * np.sin(20 * x) for x in (1.005, 0.995))
    assert float(info["evolvability/adapted"]) == pytest.approx(abs(up - down) / 2, rel=0.02)
    assert info["evolvability/worst_adapted"] < info["evolvability/adapted"]


def test_the_spread_is_the_deviation_of_the_generations_behaviour():
    state, info = step(make(**STILL))
    slope = np.cos(0.2) * np.sin(20.0) + 100 * np.sin(0.2) * np.cos(20.0)
    assert float(info["evolvability/spread"]) == pytest.approx(0.01 * abs(slope), rel=0.15)
    assert float(info["evolvability/best_offspring"]) > float(info["evolvability/spread"])
    assert int(state.es.generation) == 1


def test_observations_are_counted_and_the_mean_is_a_birth_of_its_own():
    state, info = step(make(**{**SMALL, "fuse": 2}))
    assert float(state.seen.seen) == 2 * 8 * 4
    born = info["born"]
    assert born.operator == "max_ent"
    assert np.asarray(born.id)[[0, 8, 9, 17]].tolist() == [[0, 0], [0, 8], [1, 0], [1, 8]]
    assert (np.asarray(born.parents)[:9] == -1).all()
    assert (np.asarray(born.parents)[9:] == [0, 8]).all()


def test_pairs_in_blocks_are_the_same_pairs():
    means = [step(make(**TOY, block=block))[0].es.mean for block in (1, 4)]
    np.testing.assert_allclose(*means, atol=1e-5)
    with pytest.raises(UsageError, match="divisor of 64 and of 32 pairs"):
        make(block=5)


@pytest.mark.parametrize(
    "wrong", [{"hidden": 0}, {"horizon": 0}, {"bandwidth": 0.0}, {"adaptation": -1}, {"fuse": 0}, {"sigma": 0.0}]
)
def test_options_that_cannot_work_are_refused(wrong):
    with pytest.raises(UsageError):
        make(**wrong)


def test_a_robot_of_brax_takes_two_steps_of_the_papers_kind():
    options = {"pairs": 2, "adaptation_pairs": 2, "horizon": 2, "hidden": 8, "fuse": 1, "block": 2}
    search = make(world="ant", sigma=0.02, learning_rate=0.01, l2=0.01, **options).search
    state = search.init(jax.random.key(0))
    advance = eqx.filter_jit(search.step)
    for seed in (1, 2):
        state, info = advance(jax.random.key(seed), state)
    assert int(state.es.generation) == 2
    assert float(state.seen.seen) == 2 * 4 * 2
    assert float(info["evolvability/spread"]) > 0
    assert float(info["es/step_norm"]) > 0


def test_a_cheetah_behaves_as_far_as_it_comes_to_and_fro():
    assert walked_forward(BraxState((), jnp.array([3.0, 7.0]), jnp.array(0))).tolist() == [3.0]
    assert walked(BraxState((), jnp.array([3.0, 7.0]), jnp.array(0))).tolist() == [3.0, 7.0]


@pytest.mark.parametrize("world", ["stepper", "interference"])
def test_the_report_shows_where_perturbations_end(world, tmp_path):
    run = loop.run("evolvability_es", steps=1, out=tmp_path / "run", world=world, **SMALL)
    [figure] = figures(run)
    assert len(figure.content.data[0].x) == 4 * 8
    assert "Perturbations" in report.write(run.directory).read_text()
