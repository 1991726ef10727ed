"""The links of a planar walker: their shapes and masses, and where its coordinates put them.

The body of BipedalWalker (Klimov 2016, OpenAI Gym).  Links are always in the order hull, thigh, shank, thigh, shank;
arrays lead with what they are about and end with the batch `b`, over which the compiler vectorises.  Metres,
kilograms, seconds, radians.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SCALE = 30.0
LENGTH, WIDTH = 34 / SCALE, 8 / SCALE
"""Of a thigh; a shank has 0.8 of the width."""
HIP = -8 / SCALE
"""Where both thighs hang, below the origin of the hull."""
HULL = np.array([(-30, -8), (34, -8), (34, 1), (6, 9), (-30, 9)]) / SCALE
"""Counter-clockwise, as all outlines."""


def _box(width: float) -> np.ndarray:
    return np.array([(-width, -LENGTH), (width, -LENGTH), (width, LENGTH), (-width, LENGTH)]) / 2


OUTLINES = (HULL, _box(WIDTH), _box(0.8 * WIDTH), _box(WIDTH), _box(0.8 * WIDTH))
"""The polygon of each link in its own frame: the hull's as drawn above, those of the others with their middle at 0."""
CORNERS = np.stack([np.resize(o, (5, 2)) if len(o) == 5 else np.vstack([o, o[-1:]]) for o in OUTLINES]) @ np.array(
    [1, 1j]
)
"""(5, k), complex: the outlines, with the last corner twice where there are but four."""
REAL = np.array([[True] * len(o) + [False] * (5 - len(o)) for o in OUTLINES])


class Masses(NamedTuple):
    """What the equations of motion need to know of the links; complex numbers are vectors of the plane."""

    total: float
    centre: complex
    """Of the hull, in its frame."""
    arms: np.ndarray
    """(5,): a link turned by `angle` moves the hull's centre by minus `arms exp(i angle)` from the centre of all."""
    coupling: np.ndarray
    """(5, 5), Hermitian: the kinetic energy of turning is half of spin* coupling spin, plus half of inertia spin^2."""
    inertia: np.ndarray
    """(5,): of each link about its own centre."""


def _masses() -> Masses:
    x, y = HULL.T
    x1, y1 = np.roll(x, -1), np.roll(y, -1)
    cross = x * y1 - x1 * y
    area = cross.sum() / 2
    centre = complex(((x + x1) * cross).sum(), ((y + y1) * cross).sum()) / (6 * area)
    second = ((x * x + x * x1 + x1 * x1 + y * y + y * y1 + y1 * y1) * cross).sum() / 12
    boxes = [LENGTH * width for width in (WIDTH, 0.8 * WIDTH)] * 2
    mass = np.array([5 * abs(area), *boxes])
    inertia = np.array(
        [5 * (abs(second) - abs(area) * abs(centre) ** 2)] + [m * (LENGTH**2 + (m / LENGTH) ** 2) / 12 for m in boxes]
    )
    hip, leg = 1j * HIP - centre, -1j * LENGTH
    place = np.array(
        [
            [0, 0, 0, 0, 0],
            [hip, leg / 2, 0, 0, 0],
            [hip, leg, leg / 2, 0, 0],
            [hip, 0, 0, leg / 2, 0],
            [hip, 0, 0, leg, leg / 2],
        ]
    )
    arms = mass @ place / mass.sum()
    place = place - arms
    return Masses(mass.sum(), centre, arms, place.conj().T @ (mass[:, None] * place), inertia)


MASSES = _masses()


class Body(NamedTuple):
    """Where the links are and how they move."""

    centre: Float[Array, "2 *b"]
    """Of mass, of all links together."""
    angle: Float[Array, "5 *b"]
    velocity: Float[Array, "2 *b"]
    spin: Float[Array, "5 *b"]


class Pivots(NamedTuple):
    """Points and vectors that follow from the coordinates."""

    cos: Float[Array, "5 b"]
    sin: Float[Array, "5 b"]
    arms: Float[Array, "2 5 b"]
    hull: Float[Array, "2 b"]
    """The hull's centre of mass."""
    hip: Float[Array, "2 b"]
    knees: tuple[Float[Array, "2 b"], Float[Array, "2 b"]]

    @property
    def anchors(self) -> tuple[Array, ...]:
        """The point about which each link turns if its parent rests; for the hull, its centre."""
        return self.hull, self.hip, self.knees[0], self.hip, self.knees[1]


def pivots(body: Body) -> Pivots:
    """Where the coordinates put the joints."""
    cos, sin = jnp.cos(body.angle), jnp.sin(body.angle)
    arms = rotated(MASSES.arms, cos, sin)
    hull = body.centre - sum(arms[:, i] for i in range(5))
    hip = hull + rotated(1j * HIP - MASSES.centre, cos[0], sin[0])
    knees = tuple(hip + rotated(-1j * LENGTH, cos[i], sin[i]) for i in (1, 3))
    return Pivots(cos, sin, arms, hull, hip, (knees[0], knees[1]))


def origins(at: Pivots) -> Float[Array, "2 5 b"]:
    """Of the links' frames: the hull's as drawn, the middle of the others."""
    hull = at.hull - rotated(MASSES.centre, at.cos[0], at.sin[0])
    others = jnp.stack(at.anchors[1:], axis=1) + rotated(-0.5j * LENGTH, at.cos[1:], at.sin[1:])
    return jnp.concatenate([hull[:, None], others], axis=1)


def rotated(vector: complex | np.ndarray, cos: Array, sin: Array) -> Float[Array, "2 *n"]:
    """Vectors turned by the angles of these cosines and sines."""
    x, y = (part[..., None] if np.ndim(part) else part for part in (np.real(vector), np.imag(vector)))
    return jnp.stack([x * cos - y * sin, x * sin + y * cos])
