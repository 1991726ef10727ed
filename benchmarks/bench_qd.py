"""MAP-Elites: speed and QD score against pyribs and QDax, and what an archive of centroids costs.

100-D linear projection, batches of 1,024, grids of 100 x 100 and 32 x 32 cells, 300 batches a run: `make` with its
steps fused, as a user runs it.  The contestants take turns in one process, warm; rates are medians of five seeds, QD
scores their means.  On 100 x 100 cells QDax, which compares every candidate with every cell, runs 10 batches instead
of 300: rates are compared, and its QD score is not.  What is not installed is left out (extra `bench`).
"""

import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from measure import measured, measured_in_turn, row

from aiga.archives.grid import Grid
from aiga.archives.voronoi import VoronoiCells
from aiga.core.errors import require
from aiga.core.protocols import Evaluation
from aiga.envs.linear_projection import LinearProjection
from aiga.systems.map_elites import make

World = Literal["sphere", "rastrigin"]
Variation = Literal["gaussian", "iso_line"]
WORLDS: tuple[World, ...] = ("sphere", "rastrigin")
VARIATIONS: tuple[Variation, ...] = ("gaussian", "iso_line")
BATCH, BATCHES, ISO, LINE = 1024, 300, 0.5, 0.2
SIDES = {100: 10, 32: BATCHES}
"""Cells a side, and the batches that QDax runs."""
BUDGET = 1e6
"""Evaluations per CPU-second that we set ourselves for the sphere with iso+line on 100 x 100 cells."""
CENTROIDS = (1_000, 10_000, 100_000)


def rows() -> list[dict[str, Any]]:
    found = []
    for side in SIDES:
        for world in WORLDS:
            for variation in VARIATIONS:
                found += _system(world, variation, side)
    return found + _centroids()


def _system(world: World, variation: Variation, side: int) -> list[dict[str, Any]]:
    name = f"{world}, {variation}, {side} x {side}"
    began = time.process_time()
    contestants = {"aiga": _ours(world, variation, side)}
    compiling = time.process_time() - began
    if importlib.util.find_spec("ribs"):
        contestants["pyribs"] = partial(_pyribs, world, variation, side)
        contestants["pyribs"](0)  # numba compiles at the first call
    if importlib.util.find_spec("qdax"):
        contestants["QDax"] = _qdax(world, variation, side, SIDES[side])
    ours, *others = measured_in_turn(*contestants.values())
    found = []
    for peer, theirs in zip(list(contestants)[1:], others, strict=True):
        batches = SIDES[side] if peer == "QDax" else BATCHES
        for unit, seconds, own in (("CPU-second", theirs.cpu, ours.cpu), ("second", theirs.wall, ours.wall)):
            rates = BATCH * BATCHES / own, BATCH * batches / seconds
            found.append(row("qd", name, f"evaluations per {unit}", *rates, peer))
        if batches == BATCHES:
            scores = statistics.mean(ours.values), statistics.mean(theirs.values)
            found.append(row("qd", f"{name}: QD score", "QD score", *scores, peer))
    if (world, variation, side) == ("sphere", "iso_line", 100):
        found.append(row("qd", name, "evaluations per CPU-second", BATCH * BATCHES / ours.cpu, BUDGET, "budget"))
        found.append(row("qd", f"{name}: compilation", "CPU-s", compiling, 10.0, "budget", smaller_is_better=True))
    return found


def _ours(world: World, variation: Variation, side: int) -> Callable[[int], float]:
    system = make(
        world, cells=side**2, variation=variation, iso=ISO, line=LINE, batch=BATCH, fuse=BATCHES, lineage=False
    )

    def run(seed: int) -> float:
        _, info = system.step(jax.random.key(seed), system.init(jax.random.key(seed)))
        return float(info["archive/qd_score"])

    run(0)
    return run


def _pyribs(world: World, variation: Variation, side: int, seed: int) -> float:
    """The same search with pyribs."""
    archives, emitters, schedulers = (require(f"ribs.{m}", "bench") for m in ("archives", "emitters", "schedulers"))
    task = LinearProjection(world)
    ranges = list(zip(task.low, task.high, strict=True))
    archive = archives.GridArchive(solution_dim=task.dimensions, dims=(side, side), ranges=ranges, seed=seed)
    options = {"x0": np.zeros(task.dimensions), "batch_size": BATCH, "seed": seed}
    emitter = (
        emitters.GaussianEmitter(archive, sigma=ISO, **options)
        if variation == "gaussian"
        else emitters.IsoLineEmitter(archive, iso_sigma=ISO, line_sigma=LINE, **options)
    )
    scheduler = schedulers.Scheduler(archive, [emitter])
    evaluate = jax.jit(lambda genomes: task(jax.random.key(0), genomes))
    for _ in range(BATCHES):
        found = evaluate(scheduler.ask())
        scheduler.tell(np.asarray(found.fitness), np.asarray(found.descriptor))
    return float(archive.stats.qd_score)


def _qdax(world: World, variation: Variation, side: int, batches: int) -> Callable[[int], float]:
    """The same search with QDax, its own loop compiled; its archive begins with the start genome."""
    core, emitters, operators, repertoires, metrics = (
        require(f"qdax.{m}", "bench")
        for m in (
            "core.map_elites", "core.emitters.standard_emitters", "core.emitters.mutation_operators",
            "core.containers.mapelites_repertoire", "utils.metrics",
        )
    )  # fmt: skip
    task = LinearProjection(world)

    def score(genomes: Any, key: Any) -> tuple[Any, Any, dict[str, Any]]:
        found = task(key, genomes)
        return found.fitness, found.descriptor, {}

    emitter = emitters.MixingEmitter(
        mutation_fn=lambda x, key: x + ISO * jax.random.normal(key, x.shape),
        variation_fn=partial(operators.isoline_variation, iso_sigma=ISO, line_sigma=LINE),
        variation_percentage=float(variation == "iso_line"),
        batch_size=BATCH,
    )
    search = core.MAPElites(score, emitter, partial(metrics.default_qd_metrics, qd_offset=task.offset))
    centroids = repertoires.compute_euclidean_centroids((side, side), list(task.low), list(task.high))
    repertoire, state, _ = search.init(task.start[None], centroids, jax.random.key(0))
    loop = jax.jit(lambda carry: jax.lax.scan(search.scan_update, carry, None, length=batches))

    def run(seed: int) -> float:
        _, found = loop((repertoire, state, jax.random.key(seed)))
        return float(found["qd_score"].reshape(-1)[-1])

    run(0)
    return run


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
        adds, linear = (f"{name}: add {BATCH}", "CPU-s", adding), base * count / CENTROIDS[0]
        found.append(row("qd", *adds, linear, "growth with cells", smaller_is_better=True))
        found.append(row("qd", f"{name}: build", "CPU-s", building, 60.0, "budget", smaller_is_better=True))
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
    return measured(run).cpu / batches


if __name__ == "__main__":
    json.dump(rows(), sys.stdout, indent=1)
