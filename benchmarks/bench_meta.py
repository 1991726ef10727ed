"""One meta-training step of ANML at the paper's sizes, of both orders, against PyTorch; memory of a long unroll.

Beaulieu et al. (2020), https://arxiv.org/abs/2002.09571: 6 million weights, 20 inner steps of one picture each, then
84 pictures.  Every contestant is a process of its own with one thread, the same weights, pictures and optimisers, and
their meta-losses and gradients must agree.  Peers: the library `higher`; `torch.func`, with gates computed once; and
the authors' way, of first order, one picture at a time.  Install them apart: `pip install torch higher`.  What is not
installed is left out.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree
from measure import row

from aiga.learners.meta_gradient import Memory, Unroll

BENCH = "meta"
FOLDER = Path(__file__).parent / "meta"
SIZES = {"features": 256, "gate": 112, "classes": 1000}
TASK = {"inner": 20, "rate": 0.1, "steps": 3}
REMEMBERED = 64
PEERS = {
    2: {"higher": ("torch", "higher"), "torch.func": ("torch",)},
    1: {"authors": ("torch",), "torch.func": ("torch",)},
}
NAMES = {"higher": "higher", "torch.func": "torch.func", "authors": "the authors' way"}
CLOSE = {"loss": 1e-4, "features": 1e-3, "gate": 1e-3, "head": 1e-3}
"""Largest relative differences between contestants' meta-losses, and norms of their gradients, at the first step.

Later ones drift apart: where a gradient is nothing but rounding, as of biases before a norm, Adam takes a full step.
"""
COMPILE, MEBIBYTES = 15.0, 100.0
"""What we allow ourselves: CPU-seconds of compilation, and memory of 1,024 steps."""


def rows() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.npz"
        np.savez(path, allow_pickle=False, **weights())
        found = []
        for order in (2, 1):
            found += steps_of(order, TASK | {"order": order, "weights": str(path)})
    return found + memory()


def steps_of(order: int, task: dict[str, Any]) -> list[dict[str, Any]]:
    """Our step of this order against every peer that is installed, and how long it compiles."""
    name, ours = f"ANML meta-step, order {order}", run("ours", task)
    found = [
        row(BENCH, f"{name}: compilation", "CPU-s", ours["compile"], COMPILE, "budget", smaller_is_better=True),
    ]
    for peer, modules in PEERS[order].items():
        if all(importlib.util.find_spec(module) for module in modules):
            theirs = run("peers", task | {"peer": peer})
            for number, tolerance in CLOSE.items():
                np.testing.assert_allclose(ours["first"][number], theirs["first"][number], rtol=tolerance)
            found.append(row(BENCH, name, "CPU-s", ours["cpu"], theirs["cpu"], NAMES[peer], smaller_is_better=True))
    return found


def run(contestant: str, task: dict[str, Any]) -> dict[str, Any]:
    """What a contestant measured; it compiles what it needs itself."""
    env = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, str(FOLDER / f"{contestant}.py"), json.dumps(task)]
    done = subprocess.run(command, env=env, capture_output=True, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def weights() -> dict[str, np.ndarray]:
    """Kaiming-normal weights and random pictures; kernels lead with height and width, matrices with outputs."""
    random = np.random.default_rng(0)
    found = {}
    for name in ("features", "gate"):
        width = SIZES[name]
        for i, inputs in enumerate((1, width, width)):
            found[f"{name}.{i}"] = random.normal(size=(3, 3, inputs, width)) * (2 / (9 * inputs)) ** 0.5
    flat = 9 * SIZES["features"], 9 * SIZES["gate"]
    found["gate_out"] = random.normal(size=flat) * (2 / flat[1]) ** 0.5
    found["head"] = random.normal(size=(SIZES["classes"], flat[0])) * (2 / flat[0]) ** 0.5
    pictures = TASK["inner"] + REMEMBERED
    found["pictures"] = random.random((pictures, 28, 28))
    labels = random.integers(SIZES["classes"], size=pictures)
    labels[: TASK["inner"]] = 7
    return {name: array.astype(np.float32) for name, array in found.items()} | {"labels": labels}


def memory() -> list[dict[str, Any]]:
    """What the program of a meta-gradient through 1,024 steps of 203,530 weights with momentum takes."""
    constant, scan = mebibytes("constant"), mebibytes("scan")
    name = "gradient through 1,024 steps of 203,530 weights"
    return [
        row(BENCH, name, "MiB", constant, MEBIBYTES, "budget", smaller_is_better=True),
        row(BENCH, name, "MiB", constant, scan, "lax.scan", smaller_is_better=True),
    ]


def mebibytes(memory: Memory) -> float:
    learns = Unroll(("weights",), 2, memory)

    def bend(network: PyTree, x: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.sin(x * network["weights"]).sum()

    def meta_loss(weights: Float[Array, " d"]) -> Float[Array, ""]:
        rule = optax.sgd(0.1, momentum=0.9)
        return learns.learn(bend, {"weights": weights}, jnp.ones(1024), rule).network["weights"].sum()

    compiled = jax.jit(jax.grad(meta_loss)).lower(jnp.ones(203_530)).compile()
    found = compiled.memory_analysis()
    assert found is not None
    return found.temp_size_in_bytes / 2**20


if __name__ == "__main__":
    json.dump(rows(), sys.stdout, indent=1)
