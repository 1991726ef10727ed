"""What a step of the walker costs, against gymnasium's BipedalWalkerHardcore in Box2D.

256 policies of 24-40-40-4 units, whose weights are drawn as POET's first ones, on random courses of
BipedalWalkerHardcore.  A walker whose episode has ended begins anew, so that all that are counted live.  Box2D is timed
without `reset`, which costs it as much as dozens of steps.  CPU-seconds of the process, warm, medians of five, in turn.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree
from measure import row

from aiga.core.protocols import Key
from aiga.envs.box2d import gymnasium_walker
from aiga.envs.hills import Hills
from aiga.envs.terrain import Terrain, hardcore

BENCH = "walker"
SIZES = (24, 40, 40, 4)
POLICIES, SIGMA = 256, 0.1
STEPS, REPEATS = 200, 5
BATCHES = (256, 1024)
GPU_BATCHES = tuple(2**k for k in range(10, 18))
EPISODES = 8
"""Of the peer, in each turn."""
ENOUGH, TIMES, COMPILING = 30_000, 4.0, 10.0
"""What we set out for: steps per CPU-second, times the peer, CPU-seconds to compile."""


def rows() -> list[dict[str, Any]]:
    found = []
    contestants: dict[str, Callable[[int], tuple[int, float]]] = {str(batch): ours(batch) for batch in BATCHES}
    contestants |= {"random actions": box2d(random_actions), "the same policies": box2d(same_policies)}
    for run in contestants.values():
        run(REPEATS)
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for seed in range(REPEATS):
        for name, run in contestants.items():
            steps, seconds = run(seed)
            rates[name].append(steps / seconds)
    speed = {name: statistics.median(values) for name, values in rates.items()}
    for batch in BATCHES:
        name, mine = f"walker, batch of {batch:,}", speed[str(batch)]
        found.append(row(BENCH, name, "steps per CPU-second", mine, ENOUGH, "budget"))
        for peer in ("random actions", "the same policies"):
            found.append(row(BENCH, name, "steps per CPU-second", mine, speed[peer], f"Box2D, {peer}"))
        times = mine / speed["random actions"]
        found.append(row(BENCH, f"{name}: times Box2D, random actions", "ratio", times, TIMES, "budget"))
    compile_row = row(BENCH, "walker: compile", "CPU-seconds", compiling(), COMPILING, "budget", smaller_is_better=True)
    found.append(compile_row)
    return found + (on_gpu(speed["the same policies"]) if jax.default_backend() == "gpu" else [])


def ours(batch: int) -> Callable[[int], tuple[int, float]]:
    """From a seed to steps and CPU-seconds."""
    walk, courses = walking(batch), jax.jit(jax.vmap(jax.vmap(hardcore)))

    def run(seed: int) -> tuple[int, float]:
        build, key = jax.random.split(jax.random.key(seed))
        inputs = courses(jax.random.split(build, (batch // POLICIES, POLICIES))), policies(seed)
        jax.block_until_ready(inputs)
        began = time.process_time()
        walk(key, *inputs).block_until_ready()
        return STEPS * batch, time.process_time() - began

    return run


def walking(batch: int) -> jax.stages.Wrapped:
    """`STEPS` steps of all walkers, each policy on `batch / POLICIES` courses; the sum of the rewards."""
    env, shape = Hills(), (batch // POLICIES, POLICIES)

    def each(function: Callable[..., Any], shared: tuple[int | None, ...]) -> Callable[..., Any]:
        """Over courses and policies; the arguments marked None are the same for all courses."""
        return jax.vmap(jax.vmap(function), in_axes=shared)

    @jax.jit
    def walk(key: Key, courses: Terrain, weights: PyTree) -> Float[Array, ""]:
        begin, unused = jax.random.split(key, (2, *shape))  # a step leaves nothing to chance
        start = each(env.reset, (0, 0))(begin, courses)

        def step(now: tuple[PyTree, Array], _: None) -> tuple[tuple[PyTree, Array], Array]:
            action = each(act, (None, 0))(weights, now[1])
            after = each(env.step, (0, 0, 0, 0))(unused, now[0], action, courses)
            ended = after.terminated | after.truncated
            return jax.tree.map(
                lambda new, old: jnp.where(ended.reshape(*shape, *[1] * (new.ndim - 2)), old, new),
                (after.state, after.observation),
                start,
            ), after.reward

        return jax.lax.scan(step, start, length=STEPS)[1].sum()

    return walk


def act(weights: PyTree, x: Array) -> Array:
    for weight, bias in weights:
        x = jnp.tanh(weight @ x + bias)
    return x


def policies(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and biases of all policies, layer by layer."""
    rng = np.random.default_rng(seed)
    shapes = list(zip(SIZES[1:], SIZES[:-1], strict=True))
    drawn = [(rng.normal(0, SIGMA, (POLICIES, n, m)), rng.normal(0, SIGMA, (POLICIES, n))) for n, m in shapes]
    return [(weight.astype(np.float32), bias.astype(np.float32)) for weight, bias in drawn]


Decide = Callable[[np.ndarray], np.ndarray]


def random_actions(seed: int, episode: int) -> Decide:
    drawn = iter(np.random.default_rng((seed, episode)).uniform(-1, 1, (2000, 4)))
    return lambda observation: next(drawn)


def same_policies(seed: int, episode: int) -> Decide:
    layers = [(weight[episode], bias[episode]) for weight, bias in policies(seed)]

    def decide(x: np.ndarray) -> np.ndarray:
        for weight, bias in layers:
            x = np.tanh(weight @ x + bias)
        return x

    return decide


def box2d(decide: Callable[[int, int], Decide]) -> Callable[[int], tuple[int, float]]:
    """Whole episodes of gymnasium's walker, to its limit of 2,000 steps; from a seed to steps and CPU-seconds."""
    env = gymnasium_walker().BipedalWalker(hardcore=True)

    def run(seed: int) -> tuple[int, float]:
        steps, seconds = 0, 0.0
        for episode in range(EPISODES):
            observation, act = env.reset(seed=EPISODES * seed + episode)[0], decide(seed, episode)
            began, ended, length = time.process_time(), False, 0
            while not ended and length < 2000:
                observation, _, ended, _, _ = env.step(act(observation))
                length += 1
            steps, seconds = steps + length, seconds + time.process_time() - began
        return steps, seconds

    return run


def compiling() -> float:
    """CPU-seconds of the first compilation in a new process that keeps none, tracing included."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    done = subprocess.run([sys.executable, __file__, "compile"], env=env, capture_output=True, check=True, text=True)
    return float(done.stdout.splitlines()[-1])


def compiled_once() -> float:
    batch, (build, key) = BATCHES[0], jax.random.split(jax.random.key(0))
    courses = jax.jit(jax.vmap(jax.vmap(hardcore)))(jax.random.split(build, (batch // POLICIES, POLICIES)))
    inputs = jax.block_until_ready((courses, policies(0)))
    began = time.process_time()
    walking(batch).lower(key, *inputs).compile()
    return time.process_time() - began


def on_gpu(peer: float) -> list[dict[str, Any]]:
    """Steps per second of growing batches, against a core of Box2D with the same policies."""
    found = []
    for batch in GPU_BATCHES:
        walk, (build, key) = walking(batch), jax.random.split(jax.random.key(batch))
        courses = jax.jit(jax.vmap(jax.vmap(hardcore)))(jax.random.split(build, (batch // POLICIES, POLICIES)))
        inputs, seconds = (courses, policies(0)), []
        for _ in range(REPEATS + 1):
            began = time.perf_counter()
            walk(key, *inputs).block_until_ready()
            seconds.append(time.perf_counter() - began)
        rate = STEPS * batch / statistics.median(seconds[1:])
        found.append(
            row(BENCH, f"walker on a GPU, batch of {batch:,}", "steps per second", rate, peer, "a core of Box2D")
        )
    return found


if __name__ == "__main__":
    json.dump(compiled_once() if sys.argv[1:] == ["compile"] else rows(), sys.stdout, indent=1)
