"""A walker on a line: the genome is how far it goes in a step; it ends beyond 3, or, truncated, after four steps."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from aiga.core.protocols import Env, Transition
from aiga.learners.episodes import play


class Walker(NamedTuple):
    place: Array
    time: Array


class Line(eqx.Module):
    def reset(self, key, params):
        return Walker(params, jnp.zeros((), int)), params

    def step(self, key, state, action, params):
        after = Walker(state.place + action, state.time + 1)
        return Transition(after, after.place, action, after.place > 3, after.time >= 4)


def act(key, genome, observation, memory):
    return genome, memory


def test_every_genome_has_one_episode_that_nothing_follows():
    assert isinstance(Line(), Env)
    played = play(jax.random.key(0), Line(), jnp.zeros(()), act, jnp.array([1.0, 2.0, 0.5]), 10)
    assert np.array_equal(played.returned, [4, 4, 2])
    assert np.array_equal(played.length, [4, 2, 4])
    assert np.array_equal(played.state.place, [4, 4, 2])
    assert np.array_equal(played.observation, played.state.place)


def test_an_episode_is_no_longer_than_the_steps_given():
    played = play(jax.random.key(0), Line(), jnp.zeros(()), act, jnp.array([1.0]), 2)
    assert np.array_equal(played.returned, [2])
    none = play(jax.random.key(0), Line(), jnp.zeros(()), act, jnp.array([1.0]), 0)
    assert np.array_equal(none.length, [0])


def test_what_is_watched_is_summed_over_the_live_steps():
    played = play(
        jax.random.key(0), Line(), jnp.zeros(()), act, jnp.array([1.0, 2.0]), 10,
        watch=lambda after: {"place": after.observation, "steps": jnp.ones(())},
    )  # fmt: skip
    assert np.array_equal(played.watched["place"], [1 + 2 + 3 + 4, 2 + 4])
    assert np.array_equal(played.watched["steps"], played.length)


def test_a_memory_is_each_genomes_own():
    def remember(key, genome, observation, memory):
        return genome * memory, memory + 1

    played = play(jax.random.key(0), Line(), jnp.zeros(()), remember, jnp.array([1.0, 0.5]), 3, memory=jnp.zeros(()))
    assert np.array_equal(played.returned, [0 + 1 + 2, 0.5 + 1])


def test_genomes_may_have_worlds_of_their_own():
    played = play(jax.random.key(0), Line(), jnp.array([0.0, 2.5]), act, jnp.array([1.0, 1.0]), 10, params_axis=0)
    assert np.array_equal(played.length, [4, 1])


def test_an_empty_population_plays_nothing():
    assert play(jax.random.key(0), Line(), jnp.zeros(()), act, jnp.zeros((0,)), 5).returned.shape == (0,)
