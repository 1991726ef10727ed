"""A policy in many worlds at once: rollouts, and the advantages in them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from aiga.core.protocols import Env, Info, Key, Transition
from aiga.nn.policy import Policy, emptied


class Episodes(NamedTuple):
    """How the present episode of every world goes, and how the one before it ended."""

    returned: Float[Array, " b"]
    length: Int[Array, " b"]
    last_returned: Float[Array, " b"]
    """NaN: none has ended yet."""
    last_length: Int[Array, " b"]
    ended: Int[Array, ""]
    """How many have ended."""

    @staticmethod
    def none(n: int) -> "Episodes":
        return Episodes(jnp.zeros(n), jnp.zeros(n, int), jnp.full(n, jnp.nan), jnp.zeros(n, int), jnp.zeros((), int))

    def after(self, reward: Float[Array, " b"], ended: Bool[Array, " b"]) -> "Episodes":
        """After one more step of every world."""
        returned, length = self.returned + reward, self.length + 1
        return Episodes(
            jnp.where(ended, 0, returned),
            jnp.where(ended, 0, length),
            jnp.where(ended, returned, self.last_returned),
            jnp.where(ended, length, self.last_length),
            self.ended + ended.sum(),
        )

    def metrics(self) -> Info:
        """Means over the worlds' last episodes; NaN until one has ended."""
        known = ~jnp.isnan(self.last_returned)
        return {
            "episode/return": jnp.nanmean(self.last_returned),
            "episode/length": jnp.where(known, self.last_length, 0).sum() / known.sum(),
            "episode/ended": self.ended,
        }


class Worlds(NamedTuple):
    """`b` worlds that are being played."""

    state: PyTree
    observation: PyTree
    carry: PyTree
    """The policy's memory of each."""
    start: Bool[Array, " b"]
    """The episode begins with this observation."""
    episodes: Episodes


class Trajectory(NamedTuple):
    """`t` steps of `b` worlds; an episode that ends is followed by the next one."""

    observation: PyTree
    action: PyTree
    log_prob: Float[Array, "t b"]
    value: Float[Array, "t b"]
    next_value: Float[Array, "t b"]
    """Of what the step led to: zero if the episode terminated; after a truncation, of its last observation."""
    reward: Float[Array, "t b"]
    terminated: Bool[Array, "t b"]
    truncated: Bool[Array, "t b"]
    start: Bool[Array, "t b"]
    weight: Float[Array, "t b"]
    """How much a step counts in the loss; 0: not at all."""
    carry: PyTree
    """The memory of each world at the first step."""
    watched: PyTree = None


def begin(key: Key, env: Env, params: PyTree, policy: Policy, n: int) -> Worlds:
    """`n` fresh worlds."""
    state, observation = jax.vmap(env.reset, in_axes=(0, None))(jax.random.split(key, n), params)
    carry = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), policy.initial())
    return jax.tree.map(strong, Worlds(state, observation, carry, jnp.ones(n, bool), Episodes.none(n)))


def rollout(
    key: Key,
    env: Env,
    params: PyTree,
    policy: Policy,
    worlds: Worlds,
    length: int,
    *,
    resets: int | None = None,
    watch: Callable[[Transition], PyTree] | None = None,
) -> tuple[Worlds, Trajectory]:
    """Play `length` steps in every world; worlds whose episode ends are begun anew.

    Args:
        key: Where actions, transitions and new worlds come from.
        env: The kind of world.
        params: Its genome, the same for all worlds.
        policy: What acts; actions are sampled.
        worlds: Where they stand, from `begin` or the rollout before.
        length: Steps.
        resets: Worlds that are begun anew at once; None: all, whenever one ends.  Where a reset costs far more than a
            step, a small number saves the resets of worlds that did not end.
        watch: What else to keep of the transition of one world, before it is begun anew; stacked in `watched`.
    """

    def play(worlds: Worlds, key: Key) -> tuple[Worlds, Trajectory]:
        act, step, fresh = jax.random.split(key, 3)
        b = worlds.start.size
        carry = emptied(worlds.carry, worlds.start)
        output = jax.vmap(policy)(worlds.observation, carry)
        action = output.distribution.sample(act)
        after = jax.vmap(env.step, (0, 0, 0, None))(jax.random.split(step, b), worlds.state, action, params)
        ended = after.terminated | after.truncated
        seen = jax.lax.cond(
            (after.truncated & ~after.terminated).any(),
            lambda: jax.vmap(policy)(after.observation, output.carry).value,
            lambda: jnp.zeros(b),
        )
        record = Trajectory(
            worlds.observation, action, output.distribution.log_prob(action), output.value, seen, after.reward,
            after.terminated, after.truncated, worlds.start, jnp.ones(b), (), jax.vmap(watch)(after) if watch else (),
        )  # fmt: skip
        state, observation = renew(fresh, env, params, ended, (after.state, after.observation), resets)
        episodes = worlds.episodes.after(after.reward, ended)
        return Worlds(state, observation, output.carry, ended, episodes), record

    carry = worlds.carry
    worlds, trajectory = jax.lax.scan(play, worlds, jax.random.split(key, length))
    last = jax.vmap(policy)(worlds.observation, emptied(worlds.carry, worlds.start)).value
    return worlds, bootstrapped(trajectory, last)._replace(carry=carry)


def bootstrapped(trajectory: Trajectory, last: Array) -> Trajectory:
    """With the value of what every step led to; `last` is that of the observations after the last one."""
    following = jnp.concatenate([trajectory.value[1:], last[None]])
    next_value = jnp.where(trajectory.truncated, trajectory.next_value, following)
    return trajectory._replace(next_value=jnp.where(trajectory.terminated, 0, next_value))


def renew(
    key: Key, env: Env, params: PyTree, ended: Bool[Array, " b"], worlds: tuple[PyTree, PyTree], resets: int | None
) -> tuple[PyTree, PyTree]:
    """States and observations, with new ones where an episode ended."""
    n = min(resets or ended.size, ended.size)

    def some(loop: tuple[Key, Array, Any]) -> tuple[Key, Array, Any]:
        key, left, worlds = loop
        key, use = jax.random.split(key)
        fresh = jax.vmap(env.reset, in_axes=(0, None))(jax.random.split(use, n), params)
        if n == ended.size:
            return key, jnp.zeros_like(left), jax.tree.map(lambda new, old: choose(left, new, old), fresh, worlds)
        rows = jnp.nonzero(left, size=n, fill_value=left.size)[0]  # out of range: dropped by the scatter
        worlds = jax.tree.map(lambda old, new: old.at[rows].set(new, mode="drop"), worlds, fresh)
        return key, left.at[rows].set(False, mode="drop"), worlds

    return jax.lax.while_loop(lambda loop: loop[1].any(), some, (key, ended, worlds))[2]


def strong(x: Array) -> Array:
    """An array whose type does not bend to its partners', so that the second step is compiled as the first."""
    return jnp.asarray(x, x.dtype)


def choose(where: Bool[Array, " b"], new: Array, old: Array) -> Array:
    """The rows of `new` where told, else of `old`."""
    return jnp.where(where.reshape(-1, *[1] * (new.ndim - 1)), new, old)


def advantages(trajectory: Trajectory, discount: float, trace: float) -> Float[Array, "t b"]:
    """Generalised advantage estimates.

    Schulman et al. (2016), https://arxiv.org/abs/1506.02438, Eq. 16: sums of temporal differences that end where the
    episode ends.  A truncated episode ends too, but what it would still have brought is in `next_value`.  With
    `trace=1`, adding the values gives returns.
    """
    ended = trajectory.terminated | trajectory.truncated
    differences = trajectory.reward + discount * trajectory.next_value - trajectory.value

    def back(later: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        difference, ended = step
        now = difference + discount * trace * jnp.where(ended, 0, later)
        return now, now

    return jax.lax.scan(back, jnp.zeros_like(differences[0]), (differences, ended), reverse=True)[1]
