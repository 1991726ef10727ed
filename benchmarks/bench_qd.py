"""MAP-Elites: speed, QD score, and what an archive of centroids costs.

100-D linear projection, 100 x 100 cells, 300 batches of 1,024: `make` with its steps fused, as a user runs it.
CPU-seconds of the process, warm, median of five seeds.  If pyribs is installed it runs the same in the same process;
otherwise its published scores stand in for it.
"""

import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aiga.archives.grid import Grid
from aiga.archives.voronoi import VoronoiCells
from aiga.core.errors import require
from aiga.core.protocols import Evaluation
from aiga.envs.linear_projection import LinearProjection
from aiga.systems.map_elites import make

BATCH, BATCHES, SIDE = 1024, 300, 100
BUDGET = 1e6
"""Evaluations per CPU-second that we set ourselves for the sphere with iso+line."""
SCORES = {
    ("sphere", "gaussian"): 249_600,
    ("sphere", "iso_line"): 361_500,
    ("rastrigin", "gaussian"): 188_700,
    ("rastrigin", "iso_line"): 263_600,
}
"""QD scores of pyribs 0.12, medians of three seeds."""
CENTROIDS = (1_000, 10_000, 100_000)


def rows() -> list[dict[str, Any]]:
    found = []
    for (world, variation), score in SCORES.items():
        found += _system(world, variation, score)
    return found + _centroids()


def _system(world: str, variation: str, score: float) -> list[dict[str, Any]]:
    name = f"{world}, {variation}"
    began = time.process_time()
    system = make(world, cells=SIDE**2, variation=variation, iso=0.5, batch=BATCH, fuse=BATCHES, lineage=False)  # pyright: ignore[reportArgumentType]  # literals

    def run(seed: int) -> float:
        _, info = system.step(jax.random.key(seed), system.init(jax.random.key(seed)))
        return float(info["archive/qd_score"])

    run(0)
    compiling = time.process_time() - began
    seconds, scores = measured(run)
    found = [
        row(f"{name}: QD score", "QD score", statistics.mean(scores), score, "pyribs 0.12, stored"),
        row(f"{name}: compilation", "CPU-s", compiling, 10.0, "budget", smaller_is_better=True),
    ]
    ours = BATCH * BATCHES / seconds
    if importlib.util.find_spec("ribs"):
        theirs, _ = measured(lambda seed: pyribs(world, variation, seed))
        found.append(row(name, "evaluations per CPU-second", ours, BATCH * BATCHES / theirs, "pyribs"))
    found.append(row(name, "evaluations per CPU-second", ours, BUDGET, "budget"))
    return found


def pyribs(world: str, variation: str, seed: int) -> float:
    """The same search with pyribs."""
    archives, emitters, schedulers = (require(f"ribs.{m}", "bench") for m in ("archives", "emitters", "schedulers"))
    task = LinearProjection(world)  # pyright: ignore[reportArgumentType]  # a literal
    ranges = list(zip(task.low, task.high, strict=True))
    archive = archives.GridArchive(solution_dim=task.dimensions, dims=(SIDE, SIDE), ranges=ranges, seed=seed)
    options = {"x0": np.zeros(task.dimensions), "batch_size": BATCH, "seed": seed}
    emitter = (
        emitters.GaussianEmitter(archive, sigma=0.5, **options)
        if variation == "gaussian"
        else emitters.IsoLineEmitter(archive, iso_sigma=0.5, line_sigma=0.2, **options)
    )
    scheduler = schedulers.Scheduler(archive, [emitter])
    evaluate = jax.jit(lambda genomes: task(jax.random.key(0), genomes))
    for _ in range(BATCHES):
        found = evaluate(scheduler.ask())
        scheduler.tell(np.asarray(found.fitness), np.asarray(found.descriptor))
    return float(archive.stats.qd_score)


def _centroids() -> list[dict[str, Any]]:
    """What a batch costs to add: the growth of the cost against the growth of the archive."""
    costs = {}
    for count in CENTROIDS:
        began = time.process_time()
        cells = VoronoiCells.spread((0.0, 0.0), (1.0, 1.0), count)
        building = time.process_time() - began
        costs[count] = (_adding(Grid.empty(jnp.zeros(10), cells)), building)
    base, found = costs[CENTROIDS[0]][0], []
    for count, (adding, building) in costs.items():
        name = f"cvt, {count:,} cells"
        linear = base * count / CENTROIDS[0]
        found.append(row(f"{name}: add {BATCH}", "CPU-s", adding, linear, "growth with cells", smaller_is_better=True))
        found.append(row(f"{name}: build", "CPU-s", building, 60.0, "budget", smaller_is_better=True))
    return found


def _adding(archive: Grid, batches: int = 200) -> float:
    """CPU-seconds to add a batch of random descriptors."""
    place, score = jax.random.split(jax.random.key(0))
    offers = Evaluation(
        jax.random.normal(score, (batches, BATCH)),
        jax.random.uniform(place, (batches, BATCH, archive.cells.dimensions)),
    )
    genomes = jnp.zeros((BATCH, 10))

    @jax.jit
    def fill(archive: Grid) -> Grid:
        return jax.lax.scan(lambda a, offer: (a.add(genomes, offer)[0], None), archive, offers)[0]

    run = lambda _: float(fill(archive).size)  # noqa: E731
    run(0)
    return measured(run)[0] / batches


def measured(run: Callable[[int], float], repeats: int = 5) -> tuple[float, list[float]]:
    """The median CPU-seconds of some runs, and what each returned."""
    seconds, values = [], []
    for seed in range(repeats):
        began = time.process_time()
        values.append(run(seed))
        seconds.append(time.process_time() - began)
    return statistics.median(seconds), values


def row(
    name: str, unit: str, ours: float, peer: float, peer_name: str, *, smaller_is_better: bool = False
) -> dict[str, Any]:
    """A line of the table; a ratio above 1 is better."""
    ratio = peer / ours if smaller_is_better else ours / peer
    return {
        "bench": "qd",
        "row": name,
        "unit": unit,
        "ours": ours,
        "peer": peer,
        "peer_name": peer_name,
        "ratio": ratio,
    }


if __name__ == "__main__":
    json.dump(rows(), sys.stdout, indent=1)
