import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.learners.completion import Completion, greys

TASK = Completion(8, None, None, patterns=2, rounds=2, shown=2, blank=1, recall=3, batch=2, examined=2)


def test_an_episode_shows_every_pattern_in_every_round_and_then_half_of_one():
    episode = TASK.episode(jax.random.key(0), None)
    steps = np.asarray(TASK.inputs(episode, 10))
    assert steps.shape == (2 * 2 * 3 + 3, 10)
    np.testing.assert_array_equal(steps[:, 8], 20)
    np.testing.assert_array_equal(steps[:, 9], 0)
    assert sorted(episode.order[:2].tolist()) == sorted(episode.order[2:].tolist()) == [0, 1]
    for showing, which in enumerate(episode.order):
        np.testing.assert_array_equal(steps[3 * showing : 3 * showing + 2, :8], [20 * episode.stored[which]] * 2)
        np.testing.assert_array_equal(steps[3 * showing + 2, :8], 0)
    assert episode.given.sum() == 4
    np.testing.assert_array_equal(steps[-3:, :8], [20 * episode.stored[episode.asked] * episode.given] * 3)


def test_of_a_picture_the_upper_or_the_lower_half_is_given():
    pictures = jnp.linspace(-1, 1, 24).reshape(3, 8)
    given = jax.vmap(lambda key: TASK.episode(key, pictures).given)(jax.random.split(jax.random.key(0), 20))
    assert {tuple(half) for half in given.tolist()} == {(True,) * 4 + (False,) * 4, (False,) * 4 + (True,) * 4}


def test_errors_are_counted_in_the_half_that_was_not_given():
    """Here all units listen to the one that is always on: they say 1 wherever they are told nothing."""
    network = TASK.build(jax.random.key(0), 9, "none", "connection")
    network = eqx.tree_at(lambda net: net.recurrent.weight, network, jnp.zeros((9, 9)).at[:, 8].set(9.0))
    target, given, answer = TASK.answers(jax.random.key(1), network, 4, None)
    np.testing.assert_allclose(jnp.where(given, answer, target), target, atol=1e-4)
    np.testing.assert_allclose(jnp.where(given, 1, answer), 1, atol=1e-4)
    error = TASK.examine(jax.random.key(1), network)["completion/error"]
    target, given, _ = TASK.answers(jax.random.key(1), network, TASK.examined, None)
    assert error == pytest.approx(float(((target == -1) & ~given).sum() / (~given).sum()))


def test_a_hebbian_layer_that_was_set_by_hand_completes_what_it_has_seen_once():
    """Its traces are the correlations of a Hopfield network."""
    task = Completion(100, None, None, patterns=1, rounds=1, shown=2, blank=1, recall=2, examined=8)
    network = task.build(jax.random.key(0), 101, "decay", "layer")
    by_hand = eqx.tree_at(
        lambda net: (net.recurrent.weight, net.recurrent.alpha), network, (jnp.zeros((101, 101)), 1.0)
    )
    assert task.examine(jax.random.key(1), by_hand)["completion/error"] < 0.05
    fixed = task.build(jax.random.key(0), 143, "none", "layer")
    assert task.examine(jax.random.key(1), fixed)["completion/error"] > 0.3


def test_pictures_become_grey_small_and_centred():
    pictures = np.zeros((2, 4, 4, 3), np.uint8)
    pictures[0, :2, :2] = [30, 60, 90]
    pattern = greys(pictures, 2)
    np.testing.assert_allclose(pattern[0], [1, -1 / 3, -1 / 3, -1 / 3], rtol=1e-5)
    np.testing.assert_array_equal(pattern[1], 0)
    with pytest.raises(UsageError, match="pictures of 4 pixels cannot have a side of 3"):
        greys(pictures, 3)
