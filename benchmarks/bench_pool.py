"""Pool overhead and scaling, every pool warm, in one run; the pools take turns.

Fiber's benchmark (Zhi et al. 2020, https://arxiv.org/abs/2003.11164, Fig. 2): five workers, tasks of 1 ms to 1 s, as
many as take each worker a second; here 0.4 s, or what `python benchmarks/bench_pool.py --ideal 1` says.  Then tasks
that take as long, and carry as many bytes, as those of a step of Go-Explore and of POET, whose own efficiency with two
workers is last.
"""

import importlib.util
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from measure import row
from pools.contestants import DEFAULT, SINGLE, Carry, everybody
from pools.efficiency import Efficiency, ceiling, efficiency
from pools.loads import Task, go_explore, poet, watched

SIZES = {"1 ms": 0.001, "10 ms": 0.01, "100 ms": 0.1, "1 s": 1.0}
RAYED = importlib.util.find_spec("ray") is not None
STEPS = 3
"""Of a system, in its load."""
SCALES = 0.9
"""Of two workers' throughput over twice that of one: our own limit."""


def rows(workers: int = 5, ideal: float = 0.4, repeats: int = 3) -> list[dict[str, Any]]:
    """Seconds of wall time, and ratio > 1 if ours is faster: medians, of the times and of each turn's ratio.

    Args:
        workers: Of every pool.
        ideal: Seconds of tasks for each worker, if they were carried at no cost.
        repeats: Turns.
    """
    go_step, poet_step = (watched(system, 1)[0] for system in (go_explore(), poet(batch=32)))
    with everybody(workers, RAYED) as carriers:
        found = []
        for size, seconds in SIZES.items():
            tasks = [Task(seconds)] * (workers * max(1, round(ideal / seconds)))
            found += _compared(f"{size} sleep, {workers} workers", _in_turn(carriers, tasks, repeats))
        for name, tasks in (("Go-Explore", go_step.tasks), ("POET", poet_step.tasks)):
            taken = _in_turn(carriers, tasks * STEPS, repeats)
            found += _compared(f"{name} load, {workers} workers", taken, chunks=(SINGLE,))
    found.append(_scaling("only counting", ceiling(2 * repeats)))
    found.append(_scaling("Go-Explore", efficiency(go_explore(), 2 * repeats)))
    found.append(_scaling("POET, batch 32", efficiency(poet(batch=32), repeats)))
    found.append(_scaling("POET, 512 candidates a pair", efficiency(poet(pairs=256), repeats)))
    return found


def _in_turn(carriers: Mapping[str, Carry], tasks: Sequence[Task], repeats: int) -> dict[str, list[float]]:
    taken = {name: [] for name in carriers}
    for _ in range(repeats):
        for name, carry in carriers.items():
            taken[name].append(carry(tasks))
    return taken


def _compared(
    load: str, taken: Mapping[str, list[float]], chunks: Sequence[str] = (SINGLE, DEFAULT)
) -> list[dict[str, Any]]:
    """Ours beside each peer: with the same chunks, and each with its own default."""
    pairs = []
    for chunk in chunks:
        ours, peer = f"LocalPool, {chunk}", "multiprocessing.Pool"
        pairs += [(ours, f"{peer}, {each}") for each in dict.fromkeys((SINGLE, chunk))]
        pairs.append((ours, f"concurrent.futures, {SINGLE}"))
        pairs += [(f"RayPool, {chunk}", f"Ray tasks, {SINGLE}")] * RAYED
    return [_row(load, ours, taken[ours], peer, taken[peer]) for ours, peer in pairs]


def _row(load: str, who: str, ours: list[float], peer: str, theirs: list[float]) -> dict[str, Any]:
    medians = statistics.median(ours), statistics.median(theirs)
    found = row("pool", f"{load}: {who}", "s", *medians, peer.removesuffix(f", {SINGLE}"), smaller_is_better=True)
    ratio = statistics.median(their / our for our, their in zip(ours, theirs, strict=True))
    return found | {"ratio": round(ratio, 3)}


def _scaling(name: str, measured: Efficiency) -> dict[str, Any]:
    what = f"{name}: evaluations/s of 2 workers over twice those of 1 ({measured.one:.3g} to {measured.two:.3g})"
    return row("pool", what, "", measured.ratio, SCALES, "budget", digits=3)


if __name__ == "__main__":
    import json
    import sys

    import tyro

    found = tyro.cli(rows)
    json.dump({"load": os.getloadavg(), "cores": os.cpu_count(), "jax": jax.__version__, "rows": found}, sys.stdout)
