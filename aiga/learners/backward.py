"""The backward algorithm: a policy learns to repeat a demonstration's score from ever earlier moments of it.

Salimans & Chen (2018), "Learning Montezuma's Revenge from a single demonstration", https://arxiv.org/abs/1812.03381:

    start <- near the end of the demonstration
    repeat:
        play from moments of the demonstration just before `start`, and learn from it
        if enough of those episodes scored as much as the demonstration: start <- a little earlier
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree, UInt8

from aiga.core.protocols import Info, Key, Pool
from aiga.envs.playable import Outcome, Playable
from aiga.envs.restorable import World
from aiga.learners.host import collect, improve, seat, stack
from aiga.learners.ppo import PPO, Learner
from aiga.learners.rollout import Trajectory, Worlds
from aiga.nn.policy import Policy


class Rule(NamedTuple):
    """Where episodes begin and end."""

    spread: int = 8
    """Episodes begin in the last so many moments before the start point,"""
    later: float = 0.2
    """or with this probability anywhere after it."""
    threshold: float = 0.2
    """The start point moves back when so large a share of the episodes before it matched the demonstration,"""
    episodes: int = 20
    """of at least so many,"""
    shift: int = 4
    """by so many moments."""
    slack: int = 50
    """An episode is over when its score is less than the demonstration's was so many moments before."""
    overtime: float = 0.0
    """After the demonstration's score is reached, play goes on for exp(u) moments, u uniform up to this; 0: it ends."""
    goal: float = 0.9
    """Training ends when so large a share of episodes from the very beginning match the demonstration,"""
    trials: int = 100
    """of so many."""


class Demonstration(NamedTuple):
    """What a sequence of actions from the reset leads to, where nothing is left to chance."""

    snapshots: list[bytes]
    """Before each action, and after the last."""
    observations: list[PyTree]
    scores: Float[np.ndarray, " t"]
    """Until then."""
    unit: float
    """Mean size of its rewards, which those of learning are measured in."""


@lru_cache(maxsize=2)
def demonstrated(calm: World, actions: bytes) -> Demonstration:
    """The demonstration, played in a world without chance; this process remembers the last ones."""
    env, rng = calm.build(*calm.arguments), np.random.default_rng(0)
    observations, snapshots, rewards = [env.reset(rng, None)], [env.save()], [0.0]
    for action in actions:
        outcome = env.step(rng, action)
        observations.append(outcome.observation)
        snapshots.append(env.save())
        rewards.append(outcome.reward)
    paid = np.abs([reward for reward in rewards if reward] or [1.0])
    return Demonstration(snapshots, observations, np.cumsum(rewards), float(paid.mean()))


class Rehearsal:
    """A playable world whose episodes begin within a demonstration and end when they fall behind it.

    The reset's `params` are the start point.
    """

    def __init__(self, world: World, calm: World, actions: bytes, rule: Rule) -> None:
        """`calm` is the world without chance; both understand each other's snapshots."""
        self.env: Playable = world.build(*world.arguments)
        self.demo, self.rule, self.actions = demonstrated(calm, actions), rule, self.env.actions
        self.begun, self.now, self.left, self.score = 0, 0, -1, 0.0

    def reset(self, rng: np.random.Generator, params: int) -> PyTree:
        last = len(self.demo.scores) - 1
        first, end = max(params - self.rule.spread + 1, 0), params + 1
        if rng.random() < self.rule.later and end < last:
            first, end = end, last
        self.begun = self.now = int(rng.integers(first, end))
        self.left, self.score = -1, float(self.demo.scores[self.begun])
        self.env.restore(self.demo.snapshots[self.begun])
        return self.demo.observations[self.begun]

    def step(self, rng: np.random.Generator, action: int) -> Outcome:
        observation, reward, terminated, truncated = self.env.step(rng, action)
        self.now += 1
        self.score += reward
        if self.matched() and self.left < 0:
            self.left = int(math.exp(rng.random() * self.rule.overtime)) if self.rule.overtime else 0
        elif self.left > 0:
            self.left -= 1
        return Outcome(observation, reward / self.demo.unit, terminated or self.behind() or self.left == 0, truncated)

    def matched(self) -> bool:
        """The episode has the demonstration's score, counted from where it began."""
        return bool(self.score >= self.demo.scores[-1])

    def behind(self) -> bool:
        """The demonstration had more points at the time that is forgiven."""
        then = min(self.now - self.rule.slack, len(self.demo.scores) - 1)
        return then > self.begun and bool(self.score < self.demo.scores[then])

    def save(self) -> bytes:
        state = np.array([self.begun, self.now, self.left, self.score]).tobytes()
        return state + self.env.save()

    def restore(self, snapshot: bytes) -> None:
        begun, now, left, score = np.frombuffer(snapshot[:32]).tolist()
        self.begun, self.now, self.left, self.score = int(begun), int(now), int(left), score
        self.env.restore(snapshot[32:])


class Progress(NamedTuple):
    """What is told of every step."""

    begun: int
    matched: bool


def progress(env: Any, outcome: Outcome) -> Progress:
    """What `Backward` watches."""
    del outcome
    return Progress(env.begun, env.matched())


class Rehearsed(NamedTuple):
    """The state of the backward algorithm."""

    learner: Learner
    worlds: Worlds
    steps: Int[Array, ""]
    actions: UInt8[np.ndarray, " t"]
    """The demonstration."""
    start: Int[np.ndarray, ""]
    tried: Int[np.ndarray, ""]
    """Episodes from the present start point,"""
    matched: Int[np.ndarray, ""]
    """and how many of these matched the demonstration."""
    done: Int[np.ndarray, ""]
    """1: it is matched from the very beginning as often as asked for."""


class Backward(eqx.Module):
    """Learn to match a demonstration in a world with chance."""

    world: World
    calm: World
    """The same without chance."""
    ppo: PPO
    build: Callable[[Key], Policy]
    """From a key to the policy to begin with."""
    pool: Pool
    rule: Rule = Rule()
    worlds: int = 16
    length: int = 64
    share: int = 8

    def init(self, key: Key) -> Rehearsed:
        """With an empty demonstration: put another into the state before the first step."""
        weights, fresh = jax.random.split(key)
        policy, nothing = self.build(weights), np.zeros(0, np.uint8)
        worlds = seat(fresh, self.rehearsal(nothing), 0, policy, self.worlds)
        zero = np.zeros((), int)
        return Rehearsed(self.ppo.init(policy), worlds, jnp.zeros((), int), nothing, zero, zero, zero, zero)

    def rehearsal(self, actions: UInt8[np.ndarray, " t"]) -> World:
        return World(Rehearsal, (self.world, self.calm, actions.tobytes(), self.rule))

    async def step(self, key: Key, state: Rehearsed) -> tuple[Rehearsed, Info]:
        fresh, sample, learn = jax.random.split(key, 3)
        world, policy = self.rehearsal(state.actions), state.learner.policy
        if int(state.steps) == 0:
            state = state._replace(start=np.array(max(len(state.actions) - self.rule.shift, 0)))
            state = state._replace(worlds=seat(fresh, world, int(state.start), policy, self.worlds))
        worlds, trajectory = await collect(
            sample, world, int(state.start), policy, state.worlds, self.length,
            pool=self.pool, share=self.share, watch=progress,
        )  # fmt: skip
        imitation = self.imitation(state) if self.ppo.imitation_weight else None
        learner, info = improve(self.ppo, learn, state.learner, trajectory, imitation=imitation)
        steps = state.steps + self.length * self.worlds
        after = self.moved(state._replace(learner=learner, worlds=worlds, steps=steps), trajectory)
        told = {
            "backward/start": int(state.start),
            "backward/success": float(after[1]),
            "backward/steps": int(steps),
        }
        return after[0], {**info, **worlds.episodes.metrics(), **told}

    def moved(self, state: Rehearsed, trajectory: Trajectory) -> tuple[Rehearsed, float]:
        """The state with its start point moved if it is time, and the share of matches until then."""
        rule, start = self.rule, int(state.start)
        begun, matched = trajectory.watched
        counted = np.asarray((trajectory.terminated | trajectory.truncated) & (begun <= start))
        counted = counted & (np.asarray(begun) > start - rule.spread)
        tried, won = int(state.tried + counted.sum()), int(state.matched + (counted & np.asarray(matched)).sum())
        share = won / max(tried, 1)
        done, enough = 0, tried >= (rule.episodes if start else rule.trials)
        if start and enough and share >= rule.threshold:
            start, tried, won = max(start - rule.shift, 0), 0, 0
        elif enough:
            done = int(start == 0 and share >= rule.goal)
            tried, won = 0, 0
        state = state._replace(start=np.array(start), tried=np.array(tried), matched=np.array(won))
        return state._replace(done=np.array(done)), share

    def imitation(self, state: Rehearsed) -> Trajectory:
        """The demonstration as a trajectory, with what the critic says of it now, as often as there are minibatches."""
        demo = demonstrated(self.calm, state.actions.tobytes())
        observation = jax.tree.map(lambda x: x[:, None], stack(demo.observations[:-1]))
        reward, action = jnp.asarray(np.diff(demo.scores) / demo.unit, float), jnp.asarray(state.actions, int)
        single = recalled(state.learner.policy, observation, action[:, None], reward[:, None])
        together = jax.tree.map(lambda x: jnp.repeat(x, self.ppo.minibatches, axis=1), single._replace(carry=()))
        return together._replace(
            carry=jax.tree.map(lambda x: jnp.repeat(x, self.ppo.minibatches, axis=0), single.carry)
        )


@eqx.filter_jit
def recalled(policy: Policy, observation: PyTree, action: Array, reward: Array) -> Trajectory:
    """One whole episode as a trajectory, with the policy's present values."""
    steps, none = jnp.arange(len(reward))[:, None], jnp.zeros(reward.shape, bool)
    start, last = steps == 0, steps == len(reward) - 1
    carry = jax.tree.map(lambda x: x[None], policy.initial())
    output = policy.unroll(observation, start, carry)
    following = jnp.where(last, 0, jnp.roll(output.value, -1, axis=0))
    return Trajectory(
        observation, action, output.distribution.log_prob(action), output.value, following, reward, last, none, start,
        jnp.ones(reward.shape), carry,
    )  # fmt: skip
