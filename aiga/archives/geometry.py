"""What no array of a state says: how its grids divide the space of descriptors."""

from typing import Any

import jax

from aiga.archives.grid import GridCells


def boxes(state: Any) -> dict[str, dict[str, Any]]:
    """The grids of a state by their path in it: cells along each dimension, and the corners of the box."""
    leaves = jax.tree_util.tree_leaves_with_path(state, is_leaf=lambda node: isinstance(node, GridCells))
    return {
        jax.tree_util.keystr(path): {"shape": cells.shape, "low": cells.low, "high": cells.high}
        for path, cells in leaves
        if isinstance(cells, GridCells)
    }
