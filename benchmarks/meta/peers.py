"""One meta-training step of ANML with PyTorch: `python peers.py '{"peer": "higher", "weights": "FILE.npz", ...}'`.

Three ways, written from their descriptions: the library `higher`, which unrolls a module and its optimiser;
`torch.func` on dictionaries of weights, with the gates of all pictures computed once; and the way of ANML's authors,
whose gradient is of first order and who pass one picture at a time.  One thread.
Prints one JSON object as `ours.py` does.
"""

# pyright: reportMissingImports=false
# torch and higher are installed apart

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional


class Blocks(nn.Module):
    """Three convolutions with instance norm and rectifiers; pooling after the first two."""

    def __init__(self, kernels: list[np.ndarray]) -> None:
        super().__init__()
        self.kernels = nn.ParameterList([torch.tensor(k).permute(3, 2, 0, 1).contiguous() for k in kernels])
        zeros, ones = ([fill(k.shape[-1]) for k in kernels] for fill in (torch.zeros, torch.ones))
        self.biases, self.shifts = nn.ParameterList(zeros), nn.ParameterList([z.clone() for z in zeros])
        self.gains = nn.ParameterList(ones)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, kernel in enumerate(self.kernels):
            x = functional.conv2d(x, kernel, self.biases[i])
            x = functional.relu(functional.instance_norm(x, weight=self.gains[i], bias=self.shifts[i]))
            x = functional.max_pool2d(x, 2) if i < 2 else x
        return x.permute(0, 2, 3, 1).flatten(1)  # as `ours.py` lays features out


class Network(nn.Module):
    """Features, gates and head."""

    def __init__(self, data: Any) -> None:
        super().__init__()
        self.features = Blocks([data[f"features.{i}"] for i in range(3)])
        self.gate = Blocks([data[f"gate.{i}"] for i in range(3)])
        self.gate_out, self.head = dense(data["gate_out"]), dense(data["head"])

    def opening(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.gate_out(self.gate(x)))

    def forward(self, x: torch.Tensor, opening: torch.Tensor | None = None) -> torch.Tensor:
        return self.head(self.features(x) * (self.opening(x) if opening is None else opening))

    def adapting(self) -> dict[str, torch.Tensor]:
        return {name: p for name, p in self.named_parameters() if name.startswith(("features.", "head."))}


def dense(weight: np.ndarray) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = torch.tensor(weight), torch.zeros(len(weight))
    return layer


def with_higher(net: Network, x: torch.Tensor, y: torch.Tensor, task: dict[str, Any]) -> float:
    import higher

    inner = torch.optim.SGD(list(net.adapting().values()), lr=task["rate"])
    with higher.innerloop_ctx(net, inner, copy_initial_weights=False) as (unrolled, optimiser):
        for i in range(task["inner"]):
            optimiser.step(functional.cross_entropy(unrolled(x[i : i + 1]), y[i : i + 1]))
        loss = functional.cross_entropy(unrolled(x), y)
        loss.backward()
    return loss.item()


def with_func(net: Network, x: torch.Tensor, y: torch.Tensor, task: dict[str, Any]) -> float:
    openings, adapted = net.opening(x), net.adapting()
    for i in range(task["inner"]):
        adapted = stepped(net, adapted, (x[i : i + 1], openings[i : i + 1]), y[i : i + 1], task)
    loss = functional.cross_entropy(functional_call(net, adapted, (x, openings)), y)
    loss.backward()
    return loss.item()


def by_the_authors(net: Network, x: torch.Tensor, y: torch.Tensor, task: dict[str, Any]) -> float:
    adapted = net.adapting()
    for i in range(task["inner"]):
        adapted = stepped(net, adapted, (x[i : i + 1],), y[i : i + 1], task)
    logits = torch.cat([functional_call(net, adapted, (x[i : i + 1],)) for i in range(len(x))])
    loss = functional.cross_entropy(logits, y)
    loss.backward()
    return loss.item()


def stepped(
    net: Network,
    adapted: dict[str, torch.Tensor],
    seen: tuple[torch.Tensor, ...],
    y: torch.Tensor,
    task: dict[str, Any],
) -> dict[str, torch.Tensor]:
    """One inner step of the task's order."""
    loss = functional.cross_entropy(functional_call(net, adapted, seen), y)
    second = task["order"] == 2
    # of first order, the gates of other pictures still need what leads to the openings
    slopes = torch.autograd.grad(
        loss, list(adapted.values()), create_graph=second, retain_graph=second or len(seen) > 1
    )
    return {name: p - task["rate"] * slope for (name, p), slope in zip(adapted.items(), slopes, strict=True)}


WAYS: dict[str, Callable[..., float]] = {"higher": with_higher, "torch.func": with_func, "authors": by_the_authors}


def measure(task: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(1)
    data = np.load(task["weights"])
    net = Network(data)
    x, y = torch.tensor(data["pictures"])[:, None], torch.tensor(data["labels"])
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    found, seconds = [], []
    for _ in range(task["steps"] + 1):  # the first is warm-up
        began = time.process_time()
        optimiser.zero_grad()
        loss = WAYS[task["peer"]](net, x, y, task)
        found.append({"loss": loss} | norms(net))
        optimiser.step()
        seconds.append(time.process_time() - began)
    return {"cpu": statistics.median(seconds[1:]), "compile": 0.0, "first": found[0]}


def norms(net: Network) -> dict[str, float]:
    """Of the gradient, by part as in `ours.py`."""
    parts = {"features": [net.features], "gate": [net.gate, net.gate_out], "head": [net.head]}
    slopes = {name: [p.grad for module in modules for p in module.parameters()] for name, modules in parts.items()}
    return {name: float(nn.utils.get_total_norm(slope)) for name, slope in slopes.items()}


if __name__ == "__main__":
    json.dump(measure(json.loads(sys.argv[1])), sys.stdout)
