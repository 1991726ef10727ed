"""One meta-training step of ANML with `aiga`: `python ours.py '{"weights": "FILE.npz", "order": 2, ...}'`, one thread.

Prints one JSON object: CPU-seconds of a step and of compilation, and the first step's meta-loss and gradient norms.
"""

import json
import os
import statistics
import sys
import time
from typing import Any, NamedTuple

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from aiga.learners.meta_gradient import Unroll, mean_loss
from aiga.nn.conv import Block, InstanceNorm, Trunk
from aiga.nn.gated import Gate, Gated, linear

AT_ONCE = 12
"""Pictures of the meta-loss; it takes as long with 4 or 28."""


class Seen(NamedTuple):
    """A picture, its class, and the gates it opens."""

    picture: Float[Array, "... 28 28 1"]
    label: Int[Array, "..."]
    opening: Float[Array, "... f"]


def measure(task: dict[str, Any]) -> dict[str, Any]:
    data = np.load(task["weights"])
    net = network(data)
    pictures, labels = jnp.asarray(data["pictures"])[..., None], jnp.asarray(data["labels"])
    optimiser = optax.adam(1e-3)
    learns = Unroll(("features", "head"), task["order"])

    @eqx.filter_value_and_grad
    def meta_loss(net: Gated) -> Float[Array, ""]:
        seen = Seen(pictures, labels, jax.vmap(net.opening)(pictures))
        inner = jax.tree.map(lambda x: x[: task["inner"]], seen)
        learnt = learns.learn(cross_entropy, net, inner, optax.sgd(task["rate"])).network
        return mean_loss(cross_entropy, learnt, seen, AT_ONCE)

    @jax.jit
    def step(net: Gated, state: PyTree) -> tuple[Gated, PyTree, dict[str, Array]]:
        loss, slope = meta_loss(net)
        parts = {"features": slope.features, "gate": slope.gate, "head": slope.head}
        found = {name: optax.global_norm(part) for name, part in parts.items()} | {"loss": loss}
        updates, state = optimiser.update(slope, state)
        return eqx.apply_updates(net, updates), state, found

    state = optimiser.init(eqx.filter(net, eqx.is_inexact_array))
    began = time.process_time()
    compiled = step.lower(net, state).compile()
    compile_seconds, found, seconds = time.process_time() - began, [], []
    for _ in range(task["steps"] + 1):  # the first is warm-up
        began = time.process_time()
        net, state, numbers = compiled(net, state)
        found.append({name: float(x) for name, x in numbers.items()})
        seconds.append(time.process_time() - began)
    return {"cpu": statistics.median(seconds[1:]), "compile": compile_seconds, "first": found[0]}


def cross_entropy(net: Gated, seen: Seen) -> Float[Array, ""]:
    logits = net.logits(seen.picture, seen.opening)
    return optax.softmax_cross_entropy_with_integer_labels(logits, seen.label)


def network(data: Any) -> Gated:
    """The network with the weights of the file."""
    gate = Gate(trunk(data, "gate"), (dense(data, "gate_out"),))
    return Gated(trunk(data, "features"), gate, dense(data, "head"))


def trunk(data: Any, name: str) -> Trunk:
    blocks = []
    for i in range(3):
        kernel = jnp.asarray(data[f"{name}.{i}"])
        channels = kernel.shape[-1]
        norm = InstanceNorm(jnp.ones(channels), jnp.zeros(channels))
        blocks.append(Block(kernel, jnp.zeros(channels), norm, jax.nn.relu, pooled=i < 2))
    return Trunk(tuple(blocks))


def dense(data: Any, name: str) -> eqx.nn.Linear:
    outputs, inputs = data[name].shape
    return eqx.tree_at(lambda layer: layer.weight, linear(jax.random.key(0), inputs, outputs), jnp.asarray(data[name]))


if __name__ == "__main__":
    json.dump(measure(json.loads(sys.argv[1])), sys.stdout)
