"""This library's PPO on a task of `bench_rl`; runs by itself and prints one JSON object."""

import asyncio
import json
import sys
import time
from functools import partial
from typing import Any

import jax
import numpy as np

from aiga.core.protocols import Key
from aiga.envs.atari import PlayableAtari
from aiga.envs.gymnax import Gymnax
from aiga.envs.restorable import World
from aiga.learners.host import HostTraining
from aiga.learners.ppo import PPO, Training
from aiga.nn.mlp import nature_cnn, relu, tanh
from aiga.nn.policy import Policy, make_policy
from aiga.runs.local_pool import LocalPool


def train(task: dict[str, Any]) -> dict[str, Any]:
    """Train as the task says; the curve has a row per update: steps, CPU-seconds, mean return of the last episodes."""
    if task["env"].startswith("atari-"):
        return asyncio.run(through_the_pool(task))
    began, env, curve = time.process_time(), Gymnax(task["env"]), []
    system = Training(env, env.params, learner(task), partial(build, task, env), task["worlds"], task["length"])
    key = jax.random.key(task["seed"])
    state = system.init(key)
    for update in range(updates(task)):
        state, info = system.step(jax.random.fold_in(key, update + 1), state)
        curve.append((int(state.steps), time.process_time() - began, known(info["episode/return"])))
    return {"curve": curve}


async def through_the_pool(task: dict[str, Any]) -> dict[str, Any]:
    """The same for an emulator, which a worker process plays; its CPU-seconds count too."""
    began, curve, key = time.process_time(), [], jax.random.key(task["seed"])
    _, game, seen = task["env"].split("-")
    world, first = World(PlayableAtari, (game, seen)), partial(build, task, PlayableAtari(game, seen))
    with LocalPool(1) as pool:
        system = HostTraining(
            world, None, learner(task), first, pool, task["worlds"], task["length"], share=task["worlds"]
        )
        state = system.init(key)
        for update in range(updates(task)):
            state, info = await system.step(jax.random.fold_in(key, update + 1), state)
            spent = time.process_time() - began + await pool.submit(time.process_time)
            curve.append((int(state.steps), spent, known(info["episode/return"])))
    return {"curve": curve}


def updates(task: dict[str, Any]) -> int:
    return task["steps"] // (task["worlds"] * task["length"])


def learner(task: dict[str, Any]) -> PPO:
    rate, batches, total = task["learning_rate"], task["epochs"] * task["minibatches"], updates(task)
    if task["anneal"]:  # once per update, as CleanRL does
        rate = lambda count: task["learning_rate"] * (1 - (count // batches) / total)  # noqa: E731
    names = ("discount", "trace", "clip", "epochs", "minibatches", "entropy", "value_weight", "gradient_norm")
    return PPO(learning_rate=rate, **{name: task[name] for name in names})


def build(task: dict[str, Any], env: Any, key: Key) -> Policy:
    weights, heads = jax.random.split(key)
    if task["env"].endswith("-pixels"):
        return make_policy(heads, 512, env.actions, encoder=nature_cnn(weights), hidden=())
    options = {"hidden": task["hidden"], "activation": {"tanh": tanh, "relu": relu}[task["activation"]]}
    if task["env"].endswith("-ram"):
        return make_policy(heads, 128, env.actions, encoder=scaled, **options)
    return make_policy(heads, int(np.prod(env.shape)), env.actions, **options)


def scaled(memory: Any) -> Any:
    """Bytes as numbers up to 1.  A function with a name: a worker would compile anew for every copy of a lambda."""
    return memory / 255


def known(x: Any) -> float | None:
    return None if np.isnan(x) else float(x)


if __name__ == "__main__":
    json.dump(train(json.loads(sys.argv[1])), sys.stdout)
