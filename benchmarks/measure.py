"""How the benchmarks measure, and what a line of their table is."""

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Measured(NamedTuple):
    """Some runs of the same work: medians of what they cost, and what each returned."""

    cpu: float
    """CPU-seconds of this process, all its threads."""
    wall: float
    """Seconds."""
    values: list[Any]


def measured(run: Callable[[int], Any], repeats: int = 5) -> Measured:
    """Call `run(0)`, `run(1)`, ... and take the medians.

    `run` waits for its result (a compiled function returns before it is done), and has run before: compilation, and
    what a library does at its first call, are measured apart or not at all.
    """
    [found] = measured_in_turn(run, repeats=repeats)
    return found


def measured_in_turn(*runs: Callable[[int], Any], repeats: int = 5) -> list[Measured]:
    """As `measured` for several contestants, in rounds, so that a busy moment of the machine falls on each."""
    taken: list[list[tuple[float, float, Any]]] = [[] for _ in runs]
    for seed in range(repeats):
        for run, rounds in zip(runs, taken, strict=True):
            cpu, wall = time.process_time(), time.perf_counter()
            value = run(seed)
            rounds.append((time.process_time() - cpu, time.perf_counter() - wall, value))
    return [_medians(rounds) for rounds in taken]


def _medians(rounds: Iterable[tuple[float, float, Any]]) -> Measured:
    cpu, wall, values = zip(*rounds, strict=True)
    return Measured(statistics.median(cpu), statistics.median(wall), list(values))


def row(
    bench: str,
    name: str,
    unit: str,
    ours: float,
    peer: float,
    peer_name: str,
    *,
    smaller_is_better: bool = False,
    digits: int = 4,
) -> dict[str, Any]:
    """A line of the table, to `digits` significant digits; a ratio above 1 is better.

    A limit that we set ourselves is the peer "budget".
    """
    ratio = peer / ours if smaller_is_better else ours / peer
    numbers = {"ours": ours, "peer": peer, "ratio": ratio}
    rounded = {field: float(f"{number:.{digits}g}") for field, number in numbers.items()}
    return {
        "bench": bench,
        "row": name,
        "unit": unit,
        "ours": rounded["ours"],
        "peer": rounded["peer"],
        "peer_name": peer_name,
        "ratio": rounded["ratio"],
    }
