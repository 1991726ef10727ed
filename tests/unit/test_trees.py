"""Pytrees on disk and in hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core import trees


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
