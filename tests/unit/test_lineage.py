import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.archives.lineage import Lineage
from aiga.core.protocols import Evaluation


def evaluated(*fitness: float) -> Evaluation:
    return Evaluation(jnp.array(fitness), jnp.zeros((len(fitness), 0)))


def family() -> Lineage:
    """Two founders; a failed birth; a child of the second, and a child of both the first and the child."""
    archive = Lineage.empty(jnp.array(0.0), parents=2, capacity=8)
    archive, _ = archive.add(jnp.array([10.0, 11.0, 12.0]), evaluated(1, jnp.nan, 2))
    archive, _ = archive.add(jnp.array([13.0]), evaluated(3), jnp.array([[[0, 2], [-1, -1]]]))
    archive, _ = archive.add(jnp.array([14.0]), evaluated(0), jnp.array([[[0, 0], [1, 0]]]))
    return archive


def test_everyone_is_kept_in_order_of_birth_but_the_failed():
    archive = family()
    assert archive.genomes[: int(archive.size)].tolist() == [10, 12, 13, 14]
    assert archive.identity[:4].tolist() == [[0, 0], [0, 2], [1, 0], [2, 0]]


def test_children_are_counted_and_generations_measured():
    archive = family()
    assert archive.children[:4].tolist() == [1, 1, 1, 0]
    assert archive.depth[:4].tolist() == [0, 0, 1, 2]
    assert int(archive.metrics()["archive/depth"]) == 2


def test_ancestors_are_found_nearest_first_and_once():
    archive = family()
    assert archive.ancestors(3) == [0, 2, 1]
    assert archive.ancestors(2) == [1]
    assert archive.ancestors(0) == []


def test_a_failed_child_does_not_count_as_a_child():
    archive, _ = family().add(jnp.array([15.0]), evaluated(jnp.nan), jnp.array([[[2, 0], [-1, -1]]]))
    assert archive.children.tolist() == family().children.tolist()


def test_no_row_is_lost_on_doubling():
    archive, expected = Lineage.empty({"a": jnp.zeros(2)}, 1, capacity=1), []
    for birth in range(20):
        archive = archive.with_room(3)
        genomes = {"a": jnp.full((3, 2), birth) + jnp.arange(3)[:, None] / 10}
        archive, status = archive.add(genomes, Evaluation(jnp.full(3, float(birth)), jnp.full((3, 1), birth)))
        assert status.tolist() == [2, 2, 2]
        expected += [(birth, i) for i in range(3)]
    assert archive.capacity == 64
    assert archive.with_room(4) is archive
    assert [tuple(row) for row in archive.identity[:60].tolist()] == expected
    assert np.allclose(archive.genomes["a"][:60, 0], [b + i / 10 for b, i in expected])
    assert archive.rows(jnp.array(expected)).tolist() == list(range(60))
    assert archive.rows(jnp.array([[3, 3], [-1, -1], [99, 0]])).tolist() == [64] * 3


def test_adding_to_a_full_archive_is_an_error():
    archive = Lineage.empty(jnp.array(0.0), capacity=2)
    with pytest.raises(eqx.EquinoxRuntimeError, match="with_room"):
        archive.add(jnp.zeros(3), evaluated(1, 2, 3))


def test_rows_are_chosen_uniformly():
    counts = np.bincount(np.asarray(family().choose(jax.random.key(0), 4000)), minlength=4)
    assert len(counts) == 4
    assert (abs(counts - 1000) < 140).all()  # five standard deviations
