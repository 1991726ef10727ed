"""Policies that are trained with a reward that somebody designed, and measured by what is truly wanted.

What a policy does in the world does not depend on its reward until it learns from it.  So the reward is computed
between playing and learning, from what was observed, and nothing is compiled anew for another reward.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from aiga.core.protocols import Key, Transition
from aiga.envs.swing import HORIZON, OBJECTIVES, OBSERVABLES, Learned, Observed, Swing, Wanted, seen
from aiga.learners.episodes import play
from aiga.learners.ppo import PPO, Learner
from aiga.learners.rollout import Trajectory, Worlds, begin, rollout
from aiga.nn.policy import Policy, make_policy

LARGEST = 1e6
"""A reward beyond it, or minus it, explodes."""
EPISODES = 64
"""Of each policy, when it is measured."""
METHOD = PPO(
    learning_rate=1e-3, discount=0.97, clip=0.2, epochs=6, minibatches=8, entropy=0.0, normalise_values=True
)  # fmt: skip


class Training(NamedTuple):
    """How policies are trained: by default three of them, 0.4 million steps each, in two seconds each on one core."""

    updates: int = 200
    policies: int = 3
    worlds: int = 32
    length: int = 64

    def __call__(self, reward: Callable[[Observed], Array], task: Wanted, seed: int) -> Learned:
        """What policies learn from `reward`, which gives a number for each observed step."""
        world = Swing()
        params = world.params(task.torque)
        found = []
        for key in jax.random.split(jax.random.key(seed), self.policies):
            policy = self.trained(key, world, params, reward)
            if isinstance(policy, str):
                return Learned(trouble=policy)
            found.append(_tested(jax.random.fold_in(key, self.updates + 1), world, params, policy))
        return measured(jax.device_get(found), task)

    def trained(self, key: Key, world: Swing, params: Any, reward: Callable[[Observed], Array]) -> Policy | str:
        """A policy; or in a sentence, why there is none."""
        learner, worlds = _begun(jax.random.fold_in(key, 0), world, params, self.worlds)
        for update in range(1, self.updates + 1):
            playing, learning = jax.random.split(jax.random.fold_in(key, update))
            worlds, played = _played(playing, world, params, learner.policy, worlds, self.length)
            rewards = jnp.broadcast_to(jnp.asarray(reward(played.watched), jnp.float32), played.reward.shape)
            if trouble := exploding(rewards, played.watched):
                return trouble
            learner = _learned(learning, learner, played._replace(reward=rewards, watched=()))
        return learner.policy


def measured(tests: Sequence[Mapping[str, Any]], task: Wanted) -> Learned:
    """What came of a training, from the test of each policy."""
    if not all(np.isfinite(value) for test in tests for value in test.values()):
        return Learned(trouble="the numbers of a policy became too large while it learned")
    means = {name: round(float(np.mean([test[name] for test in tests])), 3) for name in OBSERVABLES}
    return Learned(tuple(round(float(test[task.objective]), 4) for test in tests), means)


def exploding(rewards: Float[Array, "*n"], observed: Observed) -> str:
    """Where a reward is no number or too large, in a sentence; empty: nowhere."""
    values = np.asarray(rewards)
    wrong = ~(np.abs(values) <= LARGEST)
    if not wrong.any():
        return ""
    place = np.unravel_index(wrong.argmax(), wrong.shape)
    where = ", ".join(f"{name} {float(x[place]):.3g}" for name, x in observed.items())
    return f"the reward is {float(values[place]):.3g} where {where}; it must be a number from -1e6 to 1e6"


@eqx.filter_jit
def _begun(key: Key, world: Swing, params: Any, worlds: int) -> tuple[Learner, Worlds]:
    weights, fresh = jax.random.split(key)
    policy = make_policy(weights, world.features, world.actions, hidden=(32, 32), continuous=True)
    return METHOD.init(policy), begin(fresh, world, params, policy, worlds)


@eqx.filter_jit
def _played(
    key: Key, world: Swing, params: Any, policy: Policy, worlds: Worlds, length: int
) -> tuple[Worlds, Trajectory]:
    return rollout(key, world, params, policy, worlds, length, watch=seen)


@eqx.filter_jit
def _learned(key: Key, learner: Learner, played: Trajectory) -> Learner:
    return METHOD.update(key, learner, played)[0]


@eqx.filter_jit
def _tested(key: Key, world: Swing, params: Any, policy: Policy) -> dict[str, Float[Array, ""]]:
    """Without noise: the shares of steps that meet each objective, and mean magnitudes of what is observed."""

    def act(key: Key, genome: Array, observation: Array, memory: Any) -> tuple[Array, Any]:
        del key, genome
        return policy(observation, memory).distribution.mode(), memory

    def watch(after: Transition) -> dict[str, Array]:
        observed = seen(after)
        met = {name: objective.met(observed).astype(float) for name, objective in OBJECTIVES.items()}
        return met | {name: jnp.abs(x) for name, x in observed.items()}

    episodes = play(key, world, params, act, jnp.zeros(EPISODES), HORIZON, watch=watch)
    return jax.tree.map(lambda total: total.mean() / HORIZON, episodes.watched)
