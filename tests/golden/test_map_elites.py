"""Linear projection, 100 numbers, 100 x 100 cells: QD scores against two reference libraries.

Of 300 batches of 1024, measured with pyribs 0.12 (median of three seeds) and QDax 0.5 (one seed); the standard
deviation over seeds is 3,500.  Of 200 batches of 540, with pyribs 0.12 as its `examples/sphere.py` sets it up, 15
emitters of 36 samples for CMA-ME (`cma_me_imp`) and CMA-MAE (`cma_mae`): means of five seeds, of six for the emitters,
whose standard deviations are 9,000 and 18,000.
"""

from typing import Any

import jax
import numpy as np
import pytest

from aiga.systems.map_elites import make

PYRIBS = {("sphere", "gaussian"): 249_600, ("sphere", "iso_line"): 361_500, ("rastrigin", "iso_line"): 263_600}
QDAX = {("sphere", "gaussian"): 252_000, ("sphere", "iso_line"): 369_400, ("rastrigin", "iso_line"): 263_900}
"""With 1,024 evaluations more."""


SHORT = {"gaussian": 177_800, "iso_line": 276_000, "cma_me": 297_500, "cma_mae": 330_900}
"""pyribs after 200 batches of 540 on the sphere."""


def qd_scores(seeds: int, **options: Any) -> list[float]:
    system = make(cells=10_000, iso=0.5, line=0.2, lineage=False, **options)
    return [
        float(system.step(jax.random.key(s), system.init(jax.random.key(0)))[1]["archive/qd_score"])
        for s in range(seeds)
    ]


@pytest.mark.parametrize(("world", "variation"), PYRIBS)
def test_the_qd_score_is_that_of_pyribs_and_of_qdax(world, variation):
    found = np.mean(qd_scores(5, world=world, variation=variation, batch=1024, fuse=300))
    assert found == pytest.approx(PYRIBS[world, variation], rel=0.02)
    assert found == pytest.approx(QDAX[world, variation], rel=0.025)


def test_a_short_search_finds_what_it_always_found():
    [found] = qd_scores(1, world="sphere", batch=64, fuse=4)
    assert found == pytest.approx(3819.9116, rel=1e-4)


@pytest.mark.parametrize("variation", SHORT)
def test_every_variation_finds_what_pyribs_finds(variation):
    found = np.mean(qd_scores(5, world="sphere", variation=variation, batch=540, emitters=15, fuse=200))
    assert found == pytest.approx(SHORT[variation], rel=0.05)
