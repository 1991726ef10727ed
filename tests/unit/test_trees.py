"""Pytrees on disk and in hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core import trees
from aiga.core.errors import UsageError
from aiga.nn.mlp import mlp


def example():
    return {
        "weights": jnp.arange(6.0).reshape(2, 3),
        "small": jnp.ones(3, jnp.bfloat16),
        "host": np.arange(4, dtype=np.int64),
        "key": jax.random.key(3),
        "nested": (jnp.array(True), [jnp.zeros((0, 2))]),
        "static": "name",
    }


def test_what_is_saved_is_loaded_bit_for_bit(tmp_path):
    tree = example()
    trees.save(tmp_path / "tree.npz", tree, step=7)
    loaded, note = trees.load(tmp_path / "tree.npz", example())
    assert note == {"step": 7}
    assert isinstance(loaded["host"], np.ndarray)
    assert isinstance(loaded["weights"], jax.Array)
    assert jnp.array_equal(jax.random.key_data(loaded["key"]), jax.random.key_data(tree["key"]))
    for name in ("weights", "small", "host"):
        assert loaded[name].dtype == tree[name].dtype
        assert np.array_equal(np.asarray(loaded[name]), np.asarray(tree[name]))
    assert loaded["static"] == "name"
    assert loaded["nested"][1][0].shape == (0, 2)


def test_a_tree_may_be_a_single_array(tmp_path):
    trees.save(tmp_path / "state.npz", jnp.arange(3.0), step=1)
    loaded, note = trees.load(tmp_path / "state.npz", jnp.zeros(3))
    assert loaded.tolist() == [0.0, 1.0, 2.0]
    assert note == {"step": 1}


def test_shapes_come_from_the_file(tmp_path):
    trees.save(tmp_path / "tree.npz", {"rows": np.arange(8)})
    loaded, _ = trees.load(tmp_path / "tree.npz", {"rows": np.arange(2)})
    assert loaded["rows"].tolist() == list(range(8))


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "tree.npz"
    trees.save(path, {"rows": np.arange(10_000)})
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="damaged"):
        trees.load(path, {"rows": np.arange(10_000)})
    path.write_bytes(damaged[:1000])
    with pytest.raises(ValueError, match="damaged"):
        trees.load(path, {"rows": np.arange(10_000)})


def test_a_file_of_another_structure_is_refused(tmp_path):
    trees.save(tmp_path / "tree.npz", {"rows": np.arange(2)})
    with pytest.raises(ValueError, match=r"another system or version: .*columns"):
        trees.load(tmp_path / "tree.npz", {"columns": np.arange(2)})


def test_saving_replaces_the_file_in_one_move(tmp_path):
    trees.save(tmp_path / "tree.npz", {"rows": np.arange(2)})
    trees.save(tmp_path / "tree.npz", {"rows": np.arange(3)})
    assert [p.name for p in tmp_path.iterdir()] == ["tree.npz"]
    assert trees.load(tmp_path / "tree.npz", {"rows": np.zeros(0)})[0]["rows"].size == 3


def test_growing_keeps_every_row():
    tree = trees.grow({"a": jnp.ones((2, 3)), "b": np.arange(2)}, 5)
    assert tree["a"].shape == (5, 3)
    assert tree["a"].sum() == 6
    assert tree["b"].tolist() == [0, 1, 0, 0, 0]


def test_identities_are_birth_and_index():
    assert trees.identities(4, 2, np).tolist() == [[4, 0], [4, 1]]
    assert jax.jit(lambda birth: trees.identities(birth, 2))(4).tolist() == [[4, 0], [4, 1]]


GENOMES = {
    "vector": jnp.arange(3.0),
    "dict": {"a": jnp.arange(2.0), "b": jnp.ones((2, 2), jnp.bfloat16)},
    "module": mlp(jax.random.key(0), (2, 3, 1)),
}


@pytest.mark.parametrize("example", GENOMES.values(), ids=GENOMES.keys())
@pytest.mark.parametrize("batch", [(), (4,), (2, 3), (0,)])
def test_genomes_become_vectors_and_come_back_the_same(example, batch):
    layout = trees.Layout.of(example)
    genomes = jax.tree.map(lambda x: jnp.broadcast_to(x, (*batch, *x.shape)), example)
    flat = layout.flat(genomes)
    back = layout.tree(flat)
    assert flat.shape == (*batch, layout.size)
    assert jax.tree.structure(back) == jax.tree.structure(example)
    for new, old in zip(jax.tree.leaves(back), jax.tree.leaves(genomes), strict=True):
        assert new.dtype == old.dtype
        assert np.array_equal(new, old)


def test_what_cannot_be_searched_is_no_genome():
    with pytest.raises(UsageError, match="leaves of type int"):
        trees.Layout.of({"a": jnp.zeros(2), "b": 3})
