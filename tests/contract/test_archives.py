"""What every archive promises.  A new archive is one more entry of `ARCHIVES`."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from aiga.archives.grid import Grid, GridCells
from aiga.archives.lineage import Lineage
from aiga.archives.novelty import Novelty
from aiga.archives.subsets import Subsets, every_subset
from aiga.archives.voronoi import VoronoiCells
from aiga.core import trees
from aiga.core.protocols import Archive, Evaluation
from aiga.selection.nsga2 import survivors

LOW, HIGH = (0.0, 0.0), (1.0, 1.0)


class Network(eqx.Module):
    weight: Float[Array, "... 2 2"]
    bias: Float[Array, "... 2"]
    activation: Callable[[Array], Array] = eqx.field(static=True, default=jnp.tanh)


def numbered(example: Any, numbers: Any) -> Any:
    """Genomes like `example`, of which every leaf is filled with the genome's number."""
    numbers = jnp.asarray(numbers, float)
    return jax.tree.map(lambda x: jnp.ones_like(x) * numbers.reshape(-1, *[1] * x.ndim), example)


EXAMPLES = {
    "vector": jnp.zeros(3),
    "dict": {"a": jnp.zeros(2), "b": jnp.zeros((2, 2))},
    "module": Network(jnp.zeros((2, 2)), jnp.zeros(2)),
}
ARCHIVES: dict[str, Callable[[Any], Any]] = {
    "grid": lambda example: Grid.empty(example, GridCells(LOW, HIGH, (4, 5))),
    "one cell": lambda example: Grid.empty(example, GridCells(LOW, HIGH, (1, 1))),
    "thresholds": lambda example: Grid.empty(
        example, GridCells(LOW, HIGH, (4, 5)), learning_rate=0.1, threshold_min=-100.0
    ),
    "voronoi": lambda example: Grid.empty(example, VoronoiCells.spread(LOW, HIGH, 12)),
    "lineage": lambda example: Lineage.empty(example, 2, parents=2, capacity=128),
    "novelty": lambda example: Novelty.empty(example, 2, parents=2, capacity=128),
    "subsets": lambda example: Subsets.empty(example, every_subset(1), 9, 2, parents=2),
    "diverse subsets": lambda example: Subsets.empty(example, every_subset(1), 9, 2, parents=2, survivors=survivors),
}


@pytest.fixture(params=ARCHIVES)
def make(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return ARCHIVES[request.param]


@pytest.fixture
def batch() -> Evaluation:
    """32 candidates: some fail, many tie, some lie outside the box, one has no descriptor."""
    random = np.random.default_rng(0)
    fitness = random.integers(-3, 4, 32).astype(np.float32)
    fitness[[3, 17]] = np.nan
    descriptor = random.uniform(-0.5, 1.5, (32, 2)).astype(np.float32)
    return Evaluation(jnp.array(fitness), jnp.array(descriptor))


def arrays(tree: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in zip(arrays(a), arrays(b), strict=True))


def test_an_archive_follows_the_protocol_and_adding_leaves_the_old_one_as_it_was(make, batch):
    archive = make(EXAMPLES["vector"])
    before = [leaf.copy() for leaf in arrays(archive)]
    after, status = archive.add(numbered(EXAMPLES["vector"], range(32)), batch)
    assert isinstance(archive, Archive)
    assert type(after) is type(archive)
    assert all(np.array_equal(x, y) for x, y in zip(before, arrays(archive), strict=True))
    assert set(np.unique(status)) <= {0, 1, 2}


def test_the_size_is_the_number_of_new_candidates_and_the_best_is_the_best_that_was_kept(make, batch):
    archive, status = make(EXAMPLES["vector"]).add(numbered(EXAMPLES["vector"], range(32)), batch)
    metrics = archive.metrics()
    assert int(metrics["archive/size"]) == int((np.asarray(status) == 2).sum()) > 0
    assert float(metrics["archive/best"]) == np.asarray(batch.fitness)[np.asarray(status) > 0].max()


def test_a_failed_candidate_is_never_kept(make, batch):
    failed = batch._replace(fitness=jnp.full(32, jnp.nan))
    archive, status = make(EXAMPLES["vector"]).add(numbered(EXAMPLES["vector"], range(32)), failed)
    assert not np.asarray(status).any()
    assert int(archive.metrics()["archive/size"]) == 0
    assert np.isnan(float(archive.metrics()["archive/best"]))


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_samples_are_genomes_that_were_kept_whole_whatever_their_tree(make, batch, example):
    archive, status = make(example).add(numbered(example, range(32)), batch)
    sample = archive.sample(jax.random.key(0), 200)
    assert jax.tree.structure(sample) == jax.tree.structure(example)
    rows = np.concatenate([np.asarray(leaf).reshape(200, -1) for leaf in jax.tree.leaves(sample)], axis=1)
    assert (rows == rows[:, :1]).all(), "leaves of different candidates are mixed"
    assert set(rows[:, 0]) == set(np.flatnonzero(np.asarray(status)))


def test_an_empty_archive_gives_the_example(make):
    example = {"a": jnp.arange(2.0)}
    sample = make(example).sample(jax.random.key(0), 3)
    assert np.array_equal(sample["a"], [[0, 1]] * 3)


def test_an_empty_batch_changes_nothing_but_the_count_of_births(make, batch):
    archive, _ = make(EXAMPLES["vector"]).add(numbered(EXAMPLES["vector"], range(32)), batch)
    after, status = archive.add(jnp.zeros((0, 3)), Evaluation(jnp.zeros(0), jnp.zeros((0, 2))))
    assert status.shape == (0,)
    assert int(after.births) == int(archive.births) + 1
    assert sum(not same(old, new) for old, new in zip(arrays(archive), arrays(after), strict=True)) == 1


def test_of_equals_the_first_keeps_its_cell_the_youngest_take_the_places_of_a_bin_and_others_all_stay(make):
    equal = Evaluation(jnp.ones(32), jnp.full((32, 2), 0.3))
    archive, first = make(EXAMPLES["vector"]).add(numbered(EXAMPLES["vector"], range(32)), equal)
    after, second = archive.add(numbered(EXAMPLES["vector"], range(32)), equal)
    births = sorted(map(tuple, np.asarray(after.identity)[np.asarray(after.occupied)].tolist()))
    if isinstance(archive, Grid):
        assert (first.tolist(), second.tolist()) == ([2] + [0] * 31, [0] * 32)
        assert births == [(0, 0)]
    elif isinstance(archive, Subsets):
        places = archive.members.shape[1]
        assert np.asarray(first > 0).sum() == len(births) == places
        assert births.count((1, 0)) == 1, "the first of the youngest"
        assert np.asarray(second > 0).sum() == sum(birth == 1 for birth, _ in births) >= places - 1
    else:
        assert births == [(birth, i) for birth in (0, 1) for i in range(32)]


def test_a_descriptor_far_outside_counts_like_one_at_the_border_and_one_that_is_nan_to_no_cell(make):
    fitness = jnp.full(32, jnp.nan).at[:5].set(1.0)
    inside = jnp.full((32, 2), 0.5).at[:5].set(jnp.array([[0, 0.5], [1, 1], [1, 0], [0.5, 0], [0.5, 0.5]]))
    outside = inside.at[:5].set(jnp.array([[-9, 0.5], [9, 9], [1e9, -1e9], [0.5, -9], [jnp.nan, 0.5]]))
    archive, genomes = make(EXAMPLES["vector"]), numbered(EXAMPLES["vector"], range(32))
    _, expected = archive.add(genomes, Evaluation(fitness, inside))
    _, status = archive.add(genomes, Evaluation(fitness, outside))
    assert status[:4].tolist() == expected[:4].tolist()
    assert int(status[4]) == (2 if isinstance(archive, Lineage) else 0), "only a family tree has room for everyone"


def test_no_array_is_weakly_typed_so_that_a_loaded_archive_needs_no_new_program(make):
    assert not [leaf for leaf in jax.tree.leaves(make(EXAMPLES["dict"])) if leaf.weak_type]


def test_a_saved_archive_is_the_same_and_goes_on_the_same(make, batch, tmp_path):
    genomes = numbered(EXAMPLES["dict"], range(32))
    archive, _ = make(EXAMPLES["dict"]).add(genomes, batch)
    trees.save(tmp_path / "archive.npz", archive)
    loaded, _ = trees.load(tmp_path / "archive.npz", make(EXAMPLES["dict"]))
    assert same(archive, loaded)
    better = batch._replace(fitness=batch.fitness + 1)
    assert same(archive.add(genomes, better), loaded.add(genomes, better))


def test_adding_and_sampling_run_inside_a_compiled_loop(make, batch):
    archive, genomes = make(EXAMPLES["vector"]), numbered(EXAMPLES["vector"], range(32))

    def step(archive: Any, key: Any) -> tuple[Any, Any]:
        archive, status = archive.add(genomes, batch)
        return archive, (status, archive.sample(key, 4))

    looped, (status, _) = jax.lax.scan(step, archive, jax.random.split(jax.random.key(0), 3))
    first, expected = archive.add(genomes, batch)
    assert np.array_equal(status[0], expected)
    assert int(looped.metrics()["archive/size"]) >= int(first.metrics()["archive/size"])


def test_births_are_numbered_by_batch_and_place(make, batch):
    archive = make(EXAMPLES["vector"])
    parents = jnp.zeros((32, 2, 2), jnp.int32).at[:, 0].set(jnp.array([7, 8]))
    _, first = archive.add(numbered(EXAMPLES["vector"], range(32)), batch)
    archive, _ = archive.add(numbered(EXAMPLES["vector"], range(32)), batch._replace(fitness=batch.fitness * 0 - 9))
    archive, status = archive.add(numbered(EXAMPLES["vector"], range(32)), batch, parents)
    occupied = np.asarray(archive.occupied)
    births = np.asarray(archive.identity)[occupied & (np.asarray(archive.identity)[:, 0] == 1)]
    assert set(births[:, 1]) == set(np.flatnonzero(np.asarray(status)))
    assert (np.asarray(archive.parents)[occupied & (np.asarray(archive.identity)[:, 0] == 1), 0] == [7, 8]).all()
    assert np.asarray(first).any()
