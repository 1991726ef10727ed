import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.runs import loop, report
from aiga.systems.es_robustness import PAPER, figures, make, robustness

SMALL = {"hidden": 4, "population": 8, "parents": 2, "noises": 8, "fuse": 1}


def begun(**options):
    system = make(**(SMALL | options))
    return system, system.init(jax.random.key(0))


@pytest.mark.parametrize("by", ["es", "ga", "ppo"])
def test_all_three_train_the_same_network(by):
    system, state = begun(by=by)
    state, info = system.step(jax.random.key(1), state)
    genome = system.trainer.genome(state.trained)
    assert [x.shape for x in jax.tree.leaves(genome)] == [(4, 4), (4,), (2, 4), (2,)]
    assert system.players.layout.size == 30
    assert ("born" in info) == (by != "ppo")
    assert 8 <= float(info["policy/return"]) <= 500


def test_without_noise_all_of_the_return_is_kept():
    """A policy that always pushes left falls at once, however often it is played."""
    system, _ = begun()
    left = system.players.layout.tree(jnp.zeros(30).at[-2].set(100.0))
    examined = robustness(jax.random.key(0), system.players, left, 0.0, 64)
    assert float(examined.plain) == pytest.approx(float(examined.noisy.mean()), rel=0.05)
    assert 8 <= float(examined.plain) <= 11


def test_noise_much_larger_than_the_weights_leaves_nothing_of_them():
    system, _ = begun()
    left = system.players.layout.tree(jnp.zeros(30).at[-2].set(1.0))
    examined = robustness(jax.random.key(0), system.players, left, 1e3, 64)
    assert float(examined.noisy.std()) > 3, "the policies are random now"


def test_a_run_ends_at_its_goal_but_not_before_its_least_generations():
    system, state = begun(goal=1.0, least=2)
    state, info = system.step(jax.random.key(1), state)
    assert "run/finished" not in info
    _, info = system.step(jax.random.key(2), state)
    assert info["run/finished"] == 1
    system, state = begun(goal=501.0, least=1)
    assert "run/finished" not in system.step(jax.random.key(1), state)[1]


def test_kept_is_the_share_of_what_lies_above_the_worst_return():
    """Acrobot: -500 is nothing."""
    system, state = begun(world="Acrobot-v1")
    _, info = system.step(jax.random.key(1), state)
    gained = float(info["policy/return"]) + 500
    expected = (float(info["robust/return"]) + 500) / max(gained, 1e-6)
    assert float(info["robust/kept"]) == pytest.approx(expected, abs=1e-4)


def test_the_elite_of_the_ga_was_the_best_in_more_episodes_and_was_born():
    system, state = begun(by="ga")
    for step in range(3):
        state, info = system.step(jax.random.key(step + 1), state)
    parents = state.trained
    assert float(parents.fitness[0]) > 0
    assert int(parents.generation) == 3
    births = {tuple(row) for row in np.asarray(info["born"].id)[np.asarray(info["born"].kept) > 0].tolist()}
    newest = {tuple(row) for row in np.asarray(parents.identity).tolist() if row[0] == 2}
    assert newest == births


def test_births_of_all_generations_of_a_step_are_reported():
    system, state = begun(fuse=3)
    _, info = system.step(jax.random.key(1), state)
    assert sorted({row[0] for row in info["born"].id.tolist()}) == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"population": 7}, "even number"),
        ({"hidden": 0}, "--hidden 0"),
        ({"noises": 0}, "--noises 0"),
        ({"fuse": 0}, "--fuse 0"),
        ({"sigma": 0.0, "by": "ppo"}, "--sigma 0.0"),
    ],
)
def test_options_that_cannot_work_are_refused(options, complaint):
    with pytest.raises(UsageError, match=complaint):
        make(**options)


def test_the_papers_settings_run_with_a_small_population():
    system = make(**(PAPER | {"population": 4, "noises": 4, "fuse": 1}))
    state = system.init(jax.random.key(0))
    for step in range(2):
        state, info = system.step(jax.random.key(step + 1), state)
    assert np.isfinite(float(info["robust/kept"]))


def test_the_report_shows_what_noise_leaves(tmp_path):
    run = loop.run("es_robustness", steps=2, out=tmp_path / "run", **SMALL)
    [figure] = figures(run)
    assert [len(trace.x) for trace in figure.content.data] == [2, 2]
    assert "Robustness" in report.write(run.directory).read_text()
