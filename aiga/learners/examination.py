"""Examinations: how often the score of a demonstration is reached from the true beginning, in a world with chance."""

import asyncio
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Int, UInt8

from aiga.core.protocols import Info, Key
from aiga.envs.playable import seated
from aiga.envs.restorable import World
from aiga.learners.backward import Backward, Rehearsal, Rule, demonstrated, progress
from aiga.learners.host import collect, seat
from aiga.nn.policy import Policy

TASKS = 4
"""Of the pool, among which episodes are divided."""


class Verdict(NamedTuple):
    """How episodes from the reset went."""

    success: float
    """The share that reached the demonstration's score."""
    score: float
    """The mean score, counted until the demonstration's was reached."""


class Examined(NamedTuple):
    """The state of an examination: what is examined, and how often it was."""

    policy: Policy
    actions: UInt8[np.ndarray, " t"]
    """The demonstration."""
    times: Int[np.ndarray, ""]


def examined(state: Examined) -> bool:
    """Whether the examination is over."""
    return bool(state.times)


class Examination(eqx.Module):
    """A system of one step: what was learnt, or as a control the demonstration's actions whatever happens."""

    school: Backward
    episodes: int = 100
    blind: bool = False

    def init(self, key: Key) -> Examined:
        return Examined(self.school.build(key), np.zeros(0, np.uint8), np.zeros((), int))

    async def step(self, key: Key, state: Examined) -> tuple[Examined, Info]:
        if self.blind:
            verdict = await self.replayed(key, state.actions)
        else:
            verdict = await self.played(key, state.policy, state.actions)
        info = {f"robustified/{name}": value for name, value in verdict._asdict().items()}
        return state._replace(times=state.times + 1), {**info, "robustified/demonstration": len(state.actions)}

    async def played(self, key: Key, policy: Policy, actions: UInt8[np.ndarray, " t"]) -> Verdict:
        """The policy plays its most probable actions.

        An episode also ends when the demonstration had its score so many actions ago as it is long, and 50.
        """
        fresh, sample = jax.random.split(key)
        school, n = self.school, self.episodes
        rule = Rule(spread=1, later=0.0, slack=len(actions) + 50)
        world = World(Rehearsal, (school.world, school.calm, actions.tobytes(), rule))
        length = 2 * len(actions) + 51
        _, seen = await collect(
            sample, world, 0, policy, seat(fresh, world, 0, policy, n), length,
            pool=school.pool, share=-(-n // TASKS), watch=progress, greedy=True,
        )  # fmt: skip
        end = np.asarray(seen.terminated | seen.truncated).argmax(axis=0)
        rewards = np.where(np.arange(length)[:, None] <= end, seen.reward, 0)
        matched = np.asarray(seen.watched.matched)[end, np.arange(n)]
        return Verdict(float(matched.mean()), float(rewards.sum(axis=0).mean() * world_unit(school, actions)))

    async def replayed(self, key: Key, actions: UInt8[np.ndarray, " t"]) -> Verdict:
        """The demonstration's actions are repeated blindly."""
        seed = tuple(np.asarray(jax.random.key_data(key)).ravel().tolist())
        parts = np.array_split(np.arange(self.episodes), TASKS)
        world, pool = self.school.world, self.school.pool
        tasks = [pool.submit(replay_blindly, world, actions.tobytes(), seed, part.tolist()) for part in parts]
        scores = np.concatenate([np.asarray(answer, float) for answer in await asyncio.gather(*tasks)])
        goal = demonstrated(self.school.calm, actions.tobytes()).scores[-1]
        return Verdict(float((scores >= goal).mean()), float(scores.mean()))


def world_unit(school: Backward, actions: UInt8[np.ndarray, " t"]) -> float:
    """The points that a reward of one stands for."""
    return demonstrated(school.calm, actions.tobytes()).unit


def replay_blindly(world: World, actions: bytes, seed: tuple[int, ...], episodes: list[int]) -> list[float]:
    """The scores of the same actions in several episodes."""
    env, scores = seated(world, 1)[0], []
    for episode in episodes:
        rng = np.random.default_rng((*seed, episode))
        env.reset(rng, None)
        scores.append(0.0)
        for action in actions:
            _, reward, terminated, truncated = env.step(rng, action)
            scores[-1] += reward
            if terminated or truncated:
                break
    return scores
