"""The figure of `scaling`."""

from typing import Any

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt

FIBER = {32: 1480.0, 512: 245.0, 1024: 245.0}
IPYPARALLEL = {128: 765.0, 512: 1375.0}
"""Seconds; read from Fiber's published figure by eye."""


def draw(numbers: dict[str, Any], path: str) -> None:
    """Efficiency of our systems, and Fiber's evolution strategies, by workers."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    clustered = {name: curve for name, curve in numbers["curves"].items() if not name.endswith("local")}
    for name, curve in clustered.items():
        left.plot([int(n) for n in curve], list(curve.values()), marker="o", markersize=3.5, label=name)
    left.set(xscale="log", ylim=(0, 1.05), xlabel="workers", ylabel="efficiency: speed-up / workers")
    left.set_title("Simulated on a cluster (RayPool)", fontsize=10)
    left.legend(frameon=False, fontsize=8, loc="lower left")
    for label, points, style in (
        ("Fiber, published", FIBER, "s"),
        ("IPyParallel, published by Fiber", IPYPARALLEL, "^"),
    ):
        right.plot(list(points), list(points.values()), style, label=label)
    ours = {int(n): seconds for n, seconds in numbers["es"].items()}
    right.plot(list(ours), list(ours.values()), "o-", markersize=3.5, label="RayPool, simulated")
    right.plot(list(ours), [FIBER[32] * 32 / n for n in ours], color="grey", lw=0.8, label="without any cost or wait")
    right.set(xscale="log", yscale="log", xlabel="workers", ylabel="seconds")
    right.set_title("ES, 50 iterations of 2,048 episodes", fontsize=10)
    right.legend(frameon=False, fontsize=8, loc="lower left")
    ticks = {left: (1, 2, 5, 10, 32, 128, 512, 1024), right: (32, 64, 128, 256, 512, 1024)}
    for axes, places in ticks.items():
        axes.set_xticks(places, [str(n) for n in places])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    right.set_yticks((50, 100, 200, 500, 1000), ("50", "100", "200", "500", "1,000"))
    figure.savefig(path, dpi=130)
