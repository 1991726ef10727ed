"""Kinds of course that an open-ended system invents: genomes, how they change, and the ground they make."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from aiga.core.errors import UsageError
from aiga.core.protocols import Env, Key
from aiga.envs import terrain
from aiga.envs.hills import Hills
from aiga.envs.terrain import HEIGHT, Obstacles, Terrain
from aiga.variation import cppn
from aiga.variation.cppn import CPPN


class Courses(NamedTuple):
    """A kind of course; all functions are of one genome, and compiled by whoever calls them."""

    env: Env
    features: int
    """Numbers that its policies see."""
    actions: int
    first: Callable[[Key], PyTree]
    """The genome to begin with."""
    mutate: Callable[[Key, Any], PyTree]
    course: Callable[[Key, Any], PyTree]
    """A genome's course, as `params` of the world."""
    describe: Callable[[Any], Float[Array, " f"]]
    """What a distance of genomes is measured by."""
    difficulty: Callable[[Any], Float[Array, ""]]
    """0: nothing is in the way."""


def obstacles(kinds: tuple[str, ...], horizon: int) -> Courses:
    """POET's: grass of some roughness, with pits, stumps and stairs; mutations change those of `kinds`."""
    if not kinds or not set(kinds) <= set(terrain.KINDS):
        raise UsageError(f"`kinds` is {kinds}: give some of {', '.join(terrain.KINDS)}.")
    env = Hills(horizon)
    mutate = partial(terrain.mutated, kinds=kinds)
    return Courses(env, env.features, env.actions, _plain, mutate, terrain.obstacle_course, _described, of_obstacles)


def curves(horizon: int) -> Courses:
    """Enhanced POET's: the ground is the curve of a pattern-producing network."""
    env = Hills(horizon)
    return Courses(env, env.features, env.actions, cppn.first, cppn.mutate, _curve, _profile, of_curve)


def _plain(key: Key) -> Obstacles:
    del key
    return terrain.plain()


def _described(genome: Obstacles) -> Float[Array, " 7"]:
    return jnp.concatenate([terrain.features(genome), genome.stairs])


def of_obstacles(genome: Obstacles) -> Float[Array, ""]:
    """Roughness, the widest pit and the highest stump and stairs, each as a share of what POET allows."""
    return genome.roughness / 10 + genome.pit[1] / 8 + genome.stump[1] / 5 + genome.stairs[1] / 5


def _curve(key: Key, genome: CPPN) -> Terrain:
    del key  # a genome has one course
    return terrain.of_heights(HEIGHT + cppn.profile(genome))


def _profile(genome: CPPN) -> Float[Array, " 200"]:
    return cppn.profile(genome)


def of_curve(genome: CPPN) -> Float[Array, ""]:
    """The mean slope, up or down."""
    return jnp.abs(jnp.diff(cppn.profile(genome))).mean() / terrain.STEP
