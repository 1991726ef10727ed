"""Pytrees: rows of a batch, growth of a store, and files with one array per tree path."""

import itertools
import json
import math
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from aiga.core.errors import UsageError

NOBODY = (-1, -1)
"""The identity of no one."""


def identities(birth: Any, n: int, np: Any = jnp) -> Int[Array | np.ndarray, "{n} 2"]:
    """The identities (birth step, index) of the `n` candidates born at step `birth`; `np=numpy` for host arrays."""
    index = np.arange(n, dtype=np.int32)
    return np.stack([np.full_like(index, birth), index], axis=-1)


def take(tree: PyTree, rows: Any) -> PyTree:
    """The given rows of every leaf."""
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def grow(tree: PyTree, capacity: int) -> PyTree:
    """Every leaf padded with zeros to `capacity` rows, on the host."""

    def pad(leaf: Any) -> Any:
        rows = [(0, capacity - leaf.shape[0])] + [(0, 0)] * (leaf.ndim - 1)
        return np.pad(leaf, rows) if isinstance(leaf, np.ndarray) else jnp.pad(leaf, rows)

    return jax.tree.map(pad, tree)


class Layout(eqx.Module):
    """How a genome, any pytree of float arrays, lies in one vector of `size` numbers."""

    treedef: Any = eqx.field(static=True)
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    dtypes: tuple[str, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, example: PyTree) -> "Layout":
        """The layout of genomes like `example`, which has no batch axis."""
        leaves, treedef = jax.tree.flatten(example)
        odd = [type(leaf).__name__ for leaf in leaves if not eqx.is_inexact_array(leaf)]
        if odd:
            raise UsageError(
                f"a genome has leaves of type {', '.join(odd)}; every leaf must be an array of floats, and what is not "
                "searched a static field, or be taken off with `equinox.partition`."
            )
        return cls(treedef, tuple(x.shape for x in leaves), tuple(x.dtype.name for x in leaves))

    @property
    def size(self) -> int:
        """Numbers of a genome."""
        return sum(math.prod(shape) for shape in self.shapes)

    def flat(self, tree: PyTree) -> Float[Array, "*n d"]:
        """Genomes as vectors; leading batch axes are kept."""
        leaves = jax.tree.leaves(tree)
        batch = leaves[0].shape[: leaves[0].ndim - len(self.shapes[0])]
        rows = [leaf.reshape(*batch, math.prod(shape)) for leaf, shape in zip(leaves, self.shapes, strict=True)]
        return jnp.concatenate(rows, axis=-1)

    def tree(self, vector: Float[Array, "*n d"]) -> PyTree:
        """Vectors as genomes; leading batch axes are kept."""
        ends = itertools.accumulate(math.prod(shape) for shape in self.shapes)
        leaves = [
            vector[..., end - math.prod(shape) : end].reshape(*vector.shape[:-1], *shape).astype(dtype)
            for end, shape, dtype in zip(ends, self.shapes, self.dtypes, strict=True)
        ]
        return jax.tree.unflatten(self.treedef, leaves)


def save(path: Path, tree: PyTree, **note: Any) -> None:
    """Write `tree` as a .npz with one array per tree path, plus a JSON `note`.

    The file is written beside its place, flushed to disk and renamed, so a reader sees the old one or the new one.
    """
    leaves, kinds = {}, {}
    for place, leaf in jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_array)):
        name = _name(place)
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            kinds[name] = f"key:{jax.random.key_impl(leaf)}"
            leaf = jax.random.key_data(leaf)
        array = np.asarray(leaf)
        if array.dtype.kind == "V":  # bfloat16 and its kin: npz knows them only as raw bytes
            kinds[name] = f"raw:{array.dtype.name}"
            array = array.view(f"u{array.dtype.itemsize}")
        leaves[name] = array
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **{"": np.array(json.dumps({"kinds": kinds, "note": note}))}, **leaves)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)  # on a full disk half a file only takes space
        raise
    os.replace(temporary, path)


def load(path: Path, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Read what `save` wrote into the structure of `like`; shapes come from the file, array kinds from `like`.

    Raises:
        ValueError: the file is damaged, or its paths are not those of `like`.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("")))
    except Exception as error:  # zipfile, zlib, numpy and json each have their own
        raise ValueError(f"checkpoint {path} cannot be read ({error}); it is damaged or not a checkpoint.") from error
    dynamic, static = eqx.partition(like, eqx.is_array)
    places, treedef = jax.tree_util.tree_flatten_with_path(dynamic)
    names = [_name(place) for place, _ in places]
    if set(names) != set(arrays):
        odd = ", ".join(sorted(set(names) ^ set(arrays))[:4])
        raise ValueError(f"checkpoint {path} belongs to another system or version: {odd} differ.")
    leaves = [
        _restore(arrays[name], header["kinds"].get(name, ""), isinstance(leaf, np.ndarray))
        for name, (_, leaf) in zip(names, places, strict=True)
    ]
    return eqx.combine(jax.tree_util.tree_unflatten(treedef, leaves), static), header["note"]


def _name(place: tuple[Any, ...]) -> str:
    """Of an array in the file; `.` if it is the whole tree, since the note has the empty name."""
    return jax.tree_util.keystr(place) or "."


def _restore(array: np.ndarray, kind: str, host: bool) -> Any:
    if kind.startswith("raw:"):
        array = array.view(jnp.dtype(kind.removeprefix("raw:")))
    if kind.startswith("key:"):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=kind.removeprefix("key:"))
    return array if host else jnp.asarray(array)
