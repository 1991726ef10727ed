"""A policy in worlds on the host, emulators for example: whole rollouts are tasks of a pool.

Policy, snapshots of the worlds and seeds go with the task, steps and snapshots come back: nothing is left behind in a
worker, so that one may be killed, and a run is resumed where it stopped, to the byte.  The shares into which worlds
are divided do not depend on the number of workers, and so neither does the result.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PyTree

from aiga.archives.cells import Blobs
from aiga.core.protocols import Info, Key, Pool
from aiga.envs.playable import Outcome, Playable, seated
from aiga.envs.restorable import World
from aiga.learners.ppo import PPO, Learner, Trained
from aiga.learners.rollout import Episodes, Trajectory, Worlds, bootstrapped
from aiga.nn.policy import Output, Policy, emptied

Watch = Callable[[Playable, Outcome], PyTree]


def seat(key: Key, world: World, params: PyTree, policy: Policy, n: int) -> Worlds:
    """`n` fresh worlds, as snapshots; the counterpart of `rollout.begin`."""
    env = seated(world, 1)[0]
    observations, snapshots = [], []
    for i in range(n):
        observations.append(env.reset(np.random.default_rng((*_seed(key), i)), params))
        snapshots.append(env.save())
    carry = jax.tree.map(lambda x: np.broadcast_to(x, (n, *x.shape)), policy.initial())
    state = Blobs.empty(n).put(np.arange(n), snapshots, n)
    return Worlds(state, stack(observations), carry, jnp.ones(n, bool), Episodes.none(n))


async def collect(
    key: Key,
    world: World,
    params: PyTree,
    policy: Policy,
    worlds: Worlds,
    length: int,
    *,
    pool: Pool,
    share: int = 4,
    watch: Watch | None = None,
    greedy: bool = False,
) -> tuple[Worlds, Trajectory]:
    """Play `length` steps in every world; the counterpart of `rollout.rollout`.

    Args:
        key: Where actions, transitions and new worlds come from.
        world: How a worker builds the world.
        params: What every reset is given.
        policy: What acts.
        worlds: Where they stand, from `seat` or the rollout before.
        length: Steps.
        pool: Where rollouts run.
        share: Worlds per task; a policy sees so many at once.
        watch: What else to keep of a world after a step, before it is begun anew: a function that can be pickled.
        greedy: Actions are the most probable ones; else they are sampled.
    """
    n, host = len(worlds.start), jax.tree.map(_hosted, policy)
    tasks = []
    for first in range(0, n, share):
        rows = np.arange(first, min(first + share, n))
        state = (worlds.observation, worlds.carry, worlds.start)
        observation, carry, start = jax.tree.map(lambda x, rows=rows: np.asarray(x)[rows], state)
        snapshots = [worlds.state.get(row) for row in rows.tolist()]
        seen = (snapshots, observation, carry, start)
        tasks.append(pool.submit(play, Task(world, params, host, *seen, _seed(key), rows, n, length, watch, greedy)))
    shares = [_present(answer) for answer in await asyncio.gather(*tasks)]
    observation, carry, start = beside([share.end for share in shares], axis=0)
    carried = beside([share.trajectory.carry for share in shares], axis=0)
    trajectory = beside([share.trajectory._replace(carry=()) for share in shares], axis=1)._replace(carry=carried)
    ended = trajectory.terminated | trajectory.truncated
    state = Blobs.empty(n).put(np.arange(n), [snapshot for share in shares for snapshot in share.snapshots], n)
    end = Worlds(state, observation, carry, start, _counted(worlds.episodes, trajectory.reward, ended))
    return end, jax.tree.map(jnp.asarray, trajectory)


class Task(NamedTuple):
    """A rollout in a share of the worlds."""

    world: World
    params: PyTree
    policy: Policy
    snapshots: list[bytes]
    observation: PyTree
    carry: PyTree
    start: Bool[np.ndarray, " b"]
    seed: tuple[int, ...]
    rows: Int[np.ndarray, " b"]
    """Which worlds, of `n`: each has its own random numbers."""
    n: int
    length: int
    watch: Watch | None
    greedy: bool


class Share(NamedTuple):
    """What a share of the worlds did."""

    snapshots: list[bytes]
    end: tuple[PyTree, PyTree, Any]
    """Observation, memory and whether an episode starts, of each world at the end."""
    trajectory: Trajectory


def play(task: Task) -> Share:
    """Play one share; runs in a worker."""
    envs = seated(task.world, len(task.snapshots))
    for env, snapshot in zip(envs, task.snapshots, strict=True):
        env.restore(snapshot)
    rngs = [np.random.default_rng((*task.seed, row)) for row in task.rows.tolist()]
    numbers, rest = eqx.partition(task.policy, eqx.is_array)
    policy, key = eqx.combine(jax.device_put(numbers), rest), jax.random.wrap_key_data(jnp.array(task.seed, jnp.uint32))
    observation, carry, start = task.observation, task.carry, task.start
    records: list[Trajectory] = []
    for t in range(task.length):
        action, log_prob, output = act(policy, key, t * task.n + task.rows, observation, carry, start, task.greedy)
        chosen = np.asarray(action).tolist()
        after = [env.step(rng, one) for env, rng, one in zip(envs, rngs, chosen, strict=True)]
        watched = stack([task.watch(*pair) for pair in zip(envs, after, strict=True)]) if task.watch else ()
        reward, terminated, truncated = (stack(column) for column in list(zip(*after, strict=True))[1:])
        ended, cut = terminated | truncated, truncated & ~terminated
        seen = np.zeros_like(log_prob)
        if cut.any():
            seen = look(policy, stack([x.observation for x in after]), output.carry, np.zeros_like(ended)).value
        step: Any = (
            observation, action, log_prob, output.value, seen, reward.astype(np.float32), terminated, truncated, start,
            np.ones_like(log_prob), (), watched,
        )  # fmt: skip
        records.append(Trajectory(*step))
        fresh = [
            env.reset(rng, task.params) if end else outcome.observation
            for env, rng, end, outcome in zip(envs, rngs, ended.tolist(), after, strict=True)
        ]
        observation, carry, start = stack(fresh), output.carry, ended
    last = look(policy, observation, carry, start).value
    trajectory = bootstrapped(stack(records), last)._replace(carry=task.carry)
    end = (observation, jax.tree.map(np.asarray, carry), start)
    return Share([env.save() for env in envs], end, trajectory)


@eqx.filter_jit
def act(
    policy: Policy, key: Key, turns: Any, observation: PyTree, carry: PyTree, start: Any, greedy: bool
) -> tuple[Array, Array, Output]:
    """Actions, their logarithmic probabilities, and what the policy said."""
    keys = jax.vmap(lambda turn: jax.random.fold_in(key, turn))(turns)
    output = jax.vmap(policy)(observation, emptied(carry, start))
    action = jax.vmap(lambda distribution, key: distribution.sample(key))(output.distribution, keys)
    action = output.distribution.mode() if greedy else action
    return action, output.distribution.log_prob(action), output


@eqx.filter_jit
def look(policy: Policy, observation: PyTree, carry: PyTree, start: Any) -> Output:
    """What the policy says of the worlds."""
    return jax.vmap(policy)(observation, emptied(carry, start))


class HostTraining(eqx.Module):
    """Plain training in one kind of world on the host; the counterpart of `ppo.Training`."""

    world: World
    params: PyTree
    ppo: PPO
    build: Callable[[Key], Policy]
    """From a key to the policy to begin with."""
    pool: Pool
    worlds: int = 8
    length: int = 128
    share: int = 4
    """Worlds per task of the pool."""

    def init(self, key: Key) -> Trained:
        weights, fresh = jax.random.split(key)
        policy = self.build(weights)
        worlds = seat(fresh, self.world, self.params, policy, self.worlds)
        return Trained(self.ppo.init(policy), worlds, jnp.zeros((), int))

    async def step(self, key: Key, state: Trained) -> tuple[Trained, Info]:
        sample, learn = jax.random.split(key)
        worlds, trajectory = await collect(
            sample, self.world, self.params, state.learner.policy, state.worlds, self.length,
            pool=self.pool, share=self.share,
        )  # fmt: skip
        learner, info = improve(self.ppo, learn, state.learner, trajectory)
        steps = state.steps + self.length * self.worlds
        return Trained(learner, worlds, steps), {**info, **worlds.episodes.metrics(), "learner/steps": steps}


@eqx.filter_jit
def improve(ppo: PPO, key: Key, learner: Learner, trajectory: Trajectory, **given: Any) -> tuple[Learner, Info]:
    """`ppo.update`, compiled."""
    return ppo.update(key, learner, trajectory, **given)


def stack(trees: Sequence[PyTree]) -> Any:
    """One tree of numpy arrays, with a new first axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def beside(trees: Sequence[PyTree], axis: int) -> Any:
    """One tree, joined along `axis`."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis), *trees)


@jax.jit
def _counted(episodes: Episodes, reward: Array, ended: Array) -> Episodes:
    return jax.lax.scan(lambda before, step: (before.after(*step), None), episodes, (reward, ended))[0]


def _present(answer: Any) -> Share:
    """The share, unless its workers were killed again and again."""
    if not isinstance(answer, Share):
        raise RuntimeError(f"{answer}: training cannot go on without this rollout; resume the run.")
    return answer


def _hosted(leaf: Any) -> Any:
    return np.asarray(leaf) if eqx.is_array(leaf) else leaf


def _seed(key: Key) -> tuple[int, ...]:
    return tuple(np.asarray(jax.random.key_data(key)).ravel().tolist())
