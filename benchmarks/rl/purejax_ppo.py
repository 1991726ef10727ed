"""PPO as PureJaxRL does it: a whole training run, worlds that reset themselves included, is one compiled program.

Lu et al. (2022), https://github.com/luchris429/purejaxrl, written anew from its description with plain JAX networks;
a world that reaches its time limit counts as ended.  Runs by itself and prints one JSON object.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import optax


class Step(NamedTuple):
    """One step of every world."""

    observation: jax.Array
    action: jax.Array
    log: jax.Array
    value: jax.Array
    reward: jax.Array
    done: jax.Array


def train(task: dict[str, Any]) -> dict[str, Any]:
    """Train as the task says; the curve has a row per update: steps, CPU-seconds, mean return of the last episodes.

    One program cannot be timed inside: the CPU-seconds are the compilation's plus a share of the run's.
    """
    key, began = jax.random.key(task["seed"]), time.process_time()
    program = jax.jit(trainer(task)).lower(key).compile()
    compiling, began = time.process_time() - began, time.process_time()
    returns = np.asarray(program(key)).tolist()
    running, batch = time.process_time() - began, task["worlds"] * task["length"]
    return {
        "curve": [
            (batch * (i + 1), compiling + running * (i + 1) / len(returns), None if np.isnan(x) else x)
            for i, x in enumerate(returns)
        ]
    }


def trainer(task: dict[str, Any]) -> Callable[[jax.Array], jax.Array]:
    env, params = gymnax.make(task["env"])
    updates = task["steps"] // (task["worlds"] * task["length"])
    per_update = task["epochs"] * task["minibatches"]

    def rate(count: Any) -> Any:
        return task["learning_rate"] * ((1 - (count // per_update) / updates) if task["anneal"] else 1)

    rule = optax.chain(optax.clip_by_global_norm(task["gradient_norm"]), optax.adam(rate, eps=1e-5))

    def run(key: jax.Array) -> jax.Array:
        key, weights, fresh = jax.random.split(key, 3)
        net = networks(weights, int(np.prod(env.observation_space(params).shape)), env.num_actions, task["hidden"])
        seen, state = jax.vmap(env.reset, (0, None))(jax.random.split(fresh, task["worlds"]), params)
        tally = jnp.zeros(task["worlds"]), jnp.full(task["worlds"], jnp.nan)
        start = (net, rule.init(net), state, seen.reshape(len(seen), -1), tally)

        def update(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            play_key, learn_key = jax.random.split(key)
            net, moments, *worlds = carry
            worlds, steps = play(play_key, env, params, net, worlds, task)
            net, moments = learn(learn_key, rule, net, moments, steps, worlds[1], task)
            return (net, moments, *worlds), jnp.nanmean(worlds[2][1])

        return jax.lax.scan(update, start, jax.random.split(key, updates))[1]

    return run


def networks(key: jax.Array, inputs: int, actions: int, hidden: list[int]) -> Any:
    """Weights and biases of actor and critic."""
    found = []
    for one, (outputs, gain) in zip(jax.random.split(key), ((actions, 0.01), (1, 1.0)), strict=True):
        sizes = (inputs, *hidden, outputs)
        gains = [2**0.5] * len(hidden) + [gain]
        found.append([
            (jax.nn.initializers.orthogonal(scale)(k, (before, after)), jnp.zeros(after))
            for k, before, after, scale in zip(
                jax.random.split(one, len(gains)), sizes[:-1], sizes[1:], gains, strict=True
            )
        ])  # fmt: skip
    return found


def apply(net: Any, x: jax.Array, activation: str) -> tuple[jax.Array, jax.Array]:
    """Logarithmic probabilities of actions, and the value."""

    def through(layers: Any) -> jax.Array:
        hidden = x
        for weight, bias in layers[:-1]:
            hidden = {"tanh": jnp.tanh, "relu": jax.nn.relu}[activation](hidden @ weight + bias)
        return hidden @ layers[-1][0] + layers[-1][1]

    return jax.nn.log_softmax(through(net[0])), through(net[1])[..., 0]


def play(key: jax.Array, env: Any, params: Any, net: Any, worlds: Any, task: dict[str, Any]) -> tuple[Any, Step]:
    def step(worlds: Any, key: jax.Array) -> tuple[Any, Step]:
        state, seen, (returned, last) = worlds
        act, move = jax.random.split(key)
        logs, value = apply(net, seen, task["activation"])
        action = jax.random.categorical(act, logs)
        log = jnp.take_along_axis(logs, action[:, None], 1)[:, 0]
        after, state, reward, terminated, truncated, _ = jax.vmap(env.step, (0, 0, 0, None))(
            jax.random.split(move, len(seen)), state, action, params
        )
        done = terminated | truncated
        returned = returned + reward
        tally = jnp.where(done, 0, returned), jnp.where(done, returned, last)
        return (state, after.reshape(len(after), -1), tally), Step(seen, action, log, value, reward, done)

    return jax.lax.scan(step, tuple(worlds), jax.random.split(key, task["length"]))


def learn(
    key: jax.Array, rule: Any, net: Any, moments: Any, steps: Step, seen: jax.Array, task: dict[str, Any]
) -> tuple[Any, Any]:
    def back(carry: Any, step: Step) -> Any:
        gain, following = carry
        error = step.reward + task["discount"] * following * (1 - step.done) - step.value
        gain = error + task["discount"] * task["trace"] * (1 - step.done) * gain
        return (gain, step.value), gain

    following = apply(net, seen, task["activation"])[1]
    advantages = jax.lax.scan(back, (jnp.zeros_like(following), following), steps, reverse=True, unroll=16)[1]
    data = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (steps, advantages))

    def minibatch(carry: Any, rows: jax.Array) -> tuple[Any, None]:
        net, moments = carry
        gradient = jax.grad(loss)(net, *jax.tree.map(lambda x: x[rows], data), task)
        change, moments = rule.update(gradient, moments)
        return (optax.apply_updates(net, change), moments), None

    def epoch(carry: Any, key: jax.Array) -> tuple[Any, None]:
        rows = jax.random.permutation(key, advantages.size).reshape(task["minibatches"], -1)
        return jax.lax.scan(minibatch, carry, rows)

    return jax.lax.scan(epoch, (net, moments), jax.random.split(key, task["epochs"]))[0]


def loss(net: Any, step: Step, advantage: jax.Array, task: dict[str, Any]) -> jax.Array:
    clip, target = task["clip"], advantage + step.value
    logs, value = apply(net, step.observation, task["activation"])
    ratio = jnp.exp(jnp.take_along_axis(logs, step.action[:, None], 1)[:, 0] - step.log)
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    surrogate = jnp.minimum(ratio * advantage, ratio.clip(1 - clip, 1 + clip) * advantage).mean()
    near = step.value + (value - step.value).clip(-clip, clip)
    error = 0.5 * jnp.maximum((value - target) ** 2, (near - target) ** 2).mean()
    entropy = -(jnp.exp(logs) * logs).sum(-1).mean()
    return task["value_weight"] * error - surrogate - task["entropy"] * entropy


if __name__ == "__main__":
    json.dump(train(json.loads(sys.argv[1])), sys.stdout)
