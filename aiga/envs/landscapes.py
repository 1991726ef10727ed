"""Five landscapes of two numbers on which evolution strategies and the steepest ascent part ways.

After the names in Lehman et al. (2018), "ES is more than just a traditional finite-difference approximator",
https://arxiv.org/abs/1712.06568; the formulas are our own.  A wide cloud climbs the mean fitness around it, a narrow
one, or finite differences, the fitness of the point.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

Point = Float[Array, "2"]


class Landscape(NamedTuple):
    """A fitness, and where the climb begins."""

    fitness: Callable[[Point], Float[Array, ""]]
    start: tuple[float, float]
    says: str


def donut(x: Point) -> Float[Array, ""]:
    """A ridge around a hole: the highest point is on the ring, the highest mean of a wide cloud in the hole."""
    return jnp.exp(-((jnp.linalg.norm(x + 1e-9) - 1) ** 2) / 0.08)


def narrowing_path(x: Point) -> Float[Array, ""]:
    """A rising path to x = 2 that grows narrow, in the middle of nothing: a wide cloud stays where there is room."""
    along = jnp.clip(x[0], 0, 2)
    return along * jnp.exp(-((x[1] / (0.5 - 0.24 * along)) ** 2) / 2)


def fleeing_peaks(x: Point) -> Float[Array, ""]:
    """Peaks at every whole number, each a little higher, to x = 5: a cloud as wide as a valley sees only the rise."""
    return 0.3 * jnp.minimum(x[0], 5) + 0.5 * jnp.cos(2 * jnp.pi * x[0]) - x[1] ** 2


def gradient_gap(x: Point) -> Float[Array, ""]:
    """A slope with a flat piece from x = 0 to x = 1, where there is no gradient: a wide cloud looks across."""
    return jnp.minimum(x[0], 0) + jnp.clip(x[0] - 1, 0, 3) - x[1] ** 2


def gradient_cliff(x: Point) -> Float[Array, ""]:
    """A slope that ends at x = 1 in a fall to a plain: a wide cloud stays away from the edge."""
    return jnp.where(x[0] < 1, x[0], -1.0) - x[1] ** 2


LANDSCAPES = {
    "donut": Landscape(donut, (0.5, 0.2), "the ring, or the hole"),
    "narrowing path": Landscape(narrowing_path, (0.2, 0.05), "the end, or where there is room"),
    "fleeing peaks": Landscape(fleeing_peaks, (0.1, 0.1), "the first peak, or the last"),
    "gradient gap": Landscape(gradient_gap, (-1.0, 0.2), "before the gap, or behind it"),
    "gradient cliff": Landscape(gradient_cliff, (-1.0, 0.2), "over the edge, or away from it"),
}
