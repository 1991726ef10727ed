from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from aiga.archives.grid import Grid, GridCells
from aiga.core.errors import UsageError
from aiga.core.lifts import Generational, Scanned
from aiga.core.protocols import Evaluation
from aiga.runs import loop, report
from aiga.systems.map_elites import MapElites, figures, make
from aiga.variation.vectors import iso_line


class Point(eqx.Module):
    place: Float[Array, "*n 2"]
    height: Float[Array, "*n"]


GENOMES = {
    "vector": (jnp.zeros(3), lambda g: (g[:, :2], g[:, 2])),
    "dict": ({"place": jnp.zeros(2), "height": jnp.zeros(())}, lambda g: (g["place"], g["height"])),
    "module": (Point(jnp.zeros(2), jnp.zeros(())), lambda g: (g.place, g.height)),
}


@pytest.mark.parametrize(("example", "read"), GENOMES.values(), ids=GENOMES.keys())
def test_genomes_are_any_tree_of_arrays(example, read):
    def evaluate(key, genomes):
        place, height = read(genomes)
        return Evaluation(-((height - 1) ** 2), place)

    empty = Grid.empty(example, GridCells((-1.0, -1.0), (1.0, 1.0), (5, 5)), offset=-1.0)
    system = Scanned(Generational(MapElites(empty, partial(iso_line, iso=0.2), "iso_line", 64), evaluate), 200)
    _, info = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    assert int(info["archive/size"]) == 25
    assert float(info["archive/best"]) > -0.01


def test_every_elite_descends_from_a_recorded_birth():
    system = make(batch=16, fuse=3, cells=25)
    state, info = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    born = info["born"]
    assert born.operator == "iso_line"
    assert born.id.shape == (48, 2)
    assert born.id.tolist() == [[step, i] for step in range(3) for i in range(16)]
    kept = {tuple(row) for row in np.asarray(born.id)[np.asarray(born.kept) > 0].tolist()}
    elites = {tuple(row) for row in np.asarray(state.identity)[np.asarray(state.occupied)].tolist()}
    parents = {tuple(row) for row in np.asarray(born.parents).reshape(-1, 2).tolist()} - {(-1, -1)}
    assert elites <= kept
    assert parents <= kept
    replaced = {tuple(row) for row in np.asarray(born.replaced).tolist()} - {(-1, -1)}
    assert replaced == kept - elites


def test_the_first_batch_and_every_batch_of_the_control_come_from_the_start_genome():
    system = make(parents="start", batch=8, fuse=2, iso=0.01)
    state, info = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    assert (np.asarray(info["born"].parents) == -1).all()
    assert np.abs(np.asarray(state.genomes)).max() < 0.06
    elites = make(batch=8, fuse=2, iso=0.01)
    _, info = elites.step(jax.random.key(1), elites.init(jax.random.key(0)))
    assert (np.asarray(info["born"].parents[:8]) == -1).all()
    assert (np.asarray(info["born"].parents[8:, :, 0]) == 0).all()


def test_lineage_can_be_left_out():
    system = make(lineage=False, fuse=1, batch=4)
    _, info = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    assert "born" not in info


def test_a_grid_needs_a_square_number_of_cells():
    with pytest.raises(UsageError, match=r"for example 100\."):
        make(cells=99)


@pytest.mark.parametrize("archive", ["grid", "cvt"])
def test_the_report_shows_the_map(archive, tmp_path):
    run = loop.run("map_elites", steps=1, out=tmp_path / "run", archive=archive, cells=25, batch=16, fuse=2)
    [figure] = figures(run)
    state = run.state
    values = figure.content.data[0].z if archive == "grid" else figure.content.data[0].marker.color
    assert np.isfinite(np.asarray(values, float)).sum() == int(state.size)
    assert "Map of elites" in report.write(run.directory).read_text()
