"""One episode for every genome of a population: what evolution asks of a world."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from aiga.core.protocols import Env, Key, Transition
from aiga.learners.rollout import choose, strong

Act = Callable[[Key, PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]
"""From a key, a genome, an observation and a memory to an action and the memory afterwards."""


class Played(NamedTuple):
    """How the episodes of `n` genomes went."""

    returned: Float[Array, " n"]
    length: Int[Array, " n"]
    state: PyTree
    """Of each world when its episode ended, or the steps were over."""
    observation: PyTree
    watched: PyTree
    """The sum of what was watched over the steps of each episode."""


class _Playing(NamedTuple):
    key: Key
    step: Int[Array, ""]
    played: Played
    memory: PyTree
    live: Bool[Array, " n"]


def play(
    key: Key,
    env: Env,
    params: PyTree,
    act: Act,
    genomes: PyTree,
    steps: int,
    *,
    watch: Callable[[Transition], PyTree] | None = None,
    memory: PyTree = (),
    params_axis: int | None = None,
) -> Played:
    """An episode for each genome, all at once; nothing is begun anew.

    Args:
        key: Where the worlds, the actions and the transitions come from.
        env: The kind of world.
        params: Its genome.
        act: What a genome does.
        genomes: A population.
        steps: The longest episode.
        watch: What to sum up over an episode, from the transition of one world.
        memory: An actor's memory at the beginning.
        params_axis: 0: every genome has a world of its own, a row of `params`; None: all have the same.
    """
    begun, turn = _prepared(key, env, params, act, genomes, watch, memory, params_axis)
    return jax.lax.while_loop(lambda now: (now.step < steps) & now.live.any(), turn, begun).played


def trace(
    key: Key,
    env: Env,
    params: PyTree,
    act: Act,
    genomes: PyTree,
    steps: int,
    *,
    look: Callable[[PyTree], PyTree],
    watch: Callable[[Transition], PyTree] | None = None,
    memory: PyTree = (),
    params_axis: int | None = None,
) -> tuple[Played, PyTree]:
    """The episodes that `play` plays, and what `look` makes of the worlds' states, at first and after every step.

    After the end of an episode its world stands still.
    """
    begun, turn = _prepared(key, env, params, act, genomes, watch, memory, params_axis)

    def next_one(now: _Playing, _: None) -> tuple[_Playing, PyTree]:
        now = turn(now)
        return now, look(now.played.state)

    ended, seen = jax.lax.scan(next_one, begun, length=steps)
    first = look(begun.played.state)
    return ended.played, jax.tree.map(lambda one, more: jnp.concatenate([one[None], more]), first, seen)


def _prepared(
    key: Key,
    env: Env,
    params: PyTree,
    act: Act,
    genomes: PyTree,
    watch: Callable[[Transition], PyTree] | None,
    memory: PyTree,
    params_axis: int | None,
) -> tuple[_Playing, Callable[[_Playing], _Playing]]:
    """The beginning of the episodes, and a step of them."""
    n = jax.tree.leaves(genomes)[0].shape[0]
    key, reset = jax.random.split(key)
    state, observation = jax.vmap(env.reset, (0, params_axis))(jax.random.split(reset, n), params)

    def step(now: _Playing) -> tuple[_Playing, Transition]:
        key, decide, move = jax.random.split(now.key, 3)
        seen = now.played
        action, memory = jax.vmap(act)(jax.random.split(decide, n), genomes, seen.observation, now.memory)
        after = jax.vmap(env.step, (0, 0, 0, params_axis))(jax.random.split(move, n), seen.state, action, params)
        return now._replace(key=key, memory=memory), after

    def watching(after: Transition) -> PyTree:
        return jax.vmap(watch)(after) if watch else ()

    def turn(now: _Playing) -> _Playing:
        moved, after = step(now)
        seen, live = now.played, now.live

        def add(total: Array, new: Array) -> Array:
            return total + choose(live, new, jnp.zeros_like(new))

        played = Played(
            add(seen.returned, after.reward),
            seen.length + live,
            jax.tree.map(lambda new, old: choose(live, new, old), after.state, seen.state),
            jax.tree.map(lambda new, old: choose(live, new, old), after.observation, seen.observation),
            jax.tree.map(add, seen.watched, watching(after)),
        )
        live = live & ~(after.terminated | after.truncated)
        return moved._replace(step=now.step + 1, played=played, live=live)

    carry = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x))), memory)
    played = jax.tree.map(strong, Played(jnp.zeros(n), jnp.zeros(n, int), state, observation, ()))
    begun = _Playing(key, jnp.zeros((), int), played, jax.tree.map(strong, carry), jnp.ones(n, bool))
    shapes = jax.eval_shape(lambda now: watching(step(now)[1]), begun)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return begun._replace(played=played._replace(watched=zeros)), turn
