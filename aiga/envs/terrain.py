"""Ground to walk on: grass with stumps, stairs and pits, as in BipedalWalker and POET.

`obstacle_course` makes the courses of POET (Wang et al. 2019, https://arxiv.org/abs/1901.01753) from their genome,
`Obstacles`; `hardcore` and `rough` make those of gymnasium's BipedalWalker.  The originals lay edges and put boxes on
them; here, the highest of all these at each place is one polyline.  The distributions are theirs; the random numbers
are not, so that no seed gives the course that it gives there.

Checked against `bipedal_walker_custom.py`, `reproduce_ops.py` and `novelty.py` of https://github.com/uber-research/poet,
commit 0b40743, and gymnasium 1.3.0.  Not carried over: stumps that float, which POET has at height zero always.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from aiga.core.errors import UsageError
from aiga.core.protocols import Key

SCALE = 30.0
STEP = 14 / SCALE
"""Width of a cell: m.  Sizes of obstacles are in cells."""
CELLS = 200
HEIGHT = 400 / SCALE / 4
"""Where the ground begins, and where grass returns to: m."""
STARTPAD = 20
"""Cells that are flat."""
GRASS = 10
"""Cells behind the finishing line; between two obstacles are half as many to one less."""
DEPTH = 4
"""Of a pit: cells."""
VERTICES = 2 * CELLS
"""Room for those of a polyline; a course has no more than two a cell."""

_GRASS, _STUMP, _STAIRS, _PIT = range(4)


class Terrain(NamedTuple):
    """Solid ground under a polyline from left to right; a vertical wall is two vertices of the same x."""

    x: Float[Array, "*w v"]
    """Never decreasing: m.  The last vertex is repeated until the arrays are full."""
    y: Float[Array, "*w v"]
    first: Int[Array, "*w c"]
    """Vertex from which on the edges cover a cell: the last that is not right of the cell's left end, or the lower one
    in the order where several have the same x."""


class Obstacles(NamedTuple):
    """The genome of a course.

    Intervals are of the least and the most; an obstacle whose size is at most zero does not occur.  Those of whole
    numbers do not include their upper end, and one that includes no positive number means 1.
    """

    roughness: Float[Array, "*b"]
    """How steep grass is; 1 in BipedalWalker."""
    pit: Float[Array, "*b 2"]
    """Between the walls: cells."""
    stump: Float[Array, "*b 2"]
    """Height: cells."""
    stump_width: Float[Array, "*b 2"]
    """Cells, whole."""
    stairs: Float[Array, "*b 2"]
    """Height of a step: cells."""
    stair_width: Float[Array, "*b 2"]
    """Length of a step: cells, whole."""
    stair_steps: Float[Array, "*b 2"]
    """Whole."""


class Choices(NamedTuple):
    """What chance decides; one value for each cell, of which most are not used.

    Those of a stretch are taken where it begins: the length of grass, or the kind and the size of an obstacle.
    """

    bump: Float[Array, " c"]
    """Of grass, -1 to 1."""
    grass: Int[Array, " c"]
    """Cells until the next obstacle."""
    kind: Int[Array, " c"]
    """0 grass, 1 stump, 2 stairs, 3 pit."""
    hole: Float[Array, " c"]
    width: Int[Array, " c"]
    height: Float[Array, " c"]
    rise: Float[Array, " c"]
    """Of a step; negative where stairs lead down."""
    tread: Int[Array, " c"]
    steps: Int[Array, " c"]


def of_polyline(x: Float[Array, "*w n"], y: Float[Array, "*w n"]) -> Terrain:
    """From at most `VERTICES` vertices, x not decreasing.

    A walker sees and feels ground of up to two vertices a cell; of one that is denser, only a part.
    """
    if x.shape[-1] > VERTICES:
        raise UsageError(f"The ground has {x.shape[-1]} vertices and room for {VERTICES}; give fewer.")
    padding = [(0, 0)] * (x.ndim - 1) + [(0, VERTICES - x.shape[-1])]
    x, y = jnp.pad(x, padding, mode="edge"), jnp.pad(y, padding, mode="edge")
    return Terrain(x, y, jnp.vectorize(_first, signature="(v)->(c)")(x))


def of_heights(heights: Float[Array, "*w 200"]) -> Terrain:
    """One vertex at the left end of each cell: m."""
    return of_polyline(jnp.broadcast_to(STEP * jnp.arange(CELLS), heights.shape), heights)


def flat() -> Terrain:
    """Nothing but the starting pad."""
    return of_heights(jnp.full(CELLS, HEIGHT, float))


def _first(x: Float[Array, " v"]) -> Int[Array, " c"]:
    last = jnp.searchsorted(x, STEP * jnp.arange(CELLS), side="right", method="compare_all") - 1
    return jnp.searchsorted(x, x[jnp.maximum(last, 0)], method="compare_all").astype(jnp.int32)


def pieces(terrain: Terrain) -> np.ndarray:
    """The vertices (k, 2) of one terrain without the padding."""
    points = np.stack([np.asarray(terrain.x), np.asarray(terrain.y)], axis=1)
    distinct = np.flatnonzero((points != points[-1]).any(axis=1))
    return points[: distinct[-1] + 2 if distinct.size else 1]


def plain() -> Obstacles:
    """No obstacles, flat: where POET begins."""
    return Obstacles(jnp.zeros(()), *(jnp.zeros(2) for _ in range(6)))


def mutated(key: Key, obstacles: Obstacles, kinds: tuple[str, ...] = ("roughness", "pit", "stump")) -> Obstacles:
    """A mutant in every one of `kinds`, as in POET.

    The first mutation gives a kind of obstacle its least size.  Those that follow move one or both ends of its interval
    a step up or down, as far as that is allowed, each way with equal chance.  Sizes are multiples of 0.1.
    """
    if unknown := set(kinds) - set(KINDS):
        raise UsageError(f"Obstacles have no {unknown.pop()!r} to mutate; choose among {', '.join(KINDS)}.")
    roughness, *ends = jax.random.split(key, 1 + len(_SIZES))
    found = obstacles
    if "roughness" in kinds:
        change = jax.random.uniform(roughness, minval=-6, maxval=6)
        found = found._replace(roughness=_tenths(jnp.clip(10 * found.roughness + change, 0, 100)))
    for end, (kind, (steps, fixed)) in zip(ends, _SIZES.items(), strict=True):
        if kind in kinds:
            interval = getattr(obstacles, kind)
            begun = {
                name: jnp.where(interval[1] > 0, getattr(found, name), jnp.array(pair)) for name, pair in fixed.items()
            }
            found = found._replace(**{kind: _moved(end, interval, *steps)}, **begun)
    return found


_SIZES = {
    "pit": ((8, 4, 80), {}),
    "stump": ((4, 2, 50), {"stump_width": (1, 2)}),
    "stairs": ((4, 2, 50), {"stair_width": (4, 5), "stair_steps": (1, 2)}),
}
"""Least upper end, step and most, in tenths of a cell; what is set when the first comes, and does not mutate."""
KINDS = ("roughness", *_SIZES)
"""What mutation can change."""


def _moved(key: Key, interval: Float[Array, "2"], least: int, step: int, most: int) -> Float[Array, "2"]:
    ways = step * jnp.array([(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b])
    options = jnp.round(10 * interval) + ways
    low, high = options.T
    allowed = (low >= 0) & (high >= least) & (high <= most) & (low <= high)
    chosen = jnp.argmax(jnp.where(allowed, jax.random.uniform(key, allowed.shape), -1))
    moved = jnp.where(allowed.any(), _tenths(options[chosen]), interval)
    return jnp.where(interval[1] > 0, moved, _tenths(jnp.array([0, least])))


def _tenths(count: Array) -> Array:
    # a table: compiled division rounds in its own way, and equal genomes must be equal in every bit
    return jnp.asarray(np.arange(101) / 10, float)[jnp.round(count).astype(jnp.int32)]


def features(obstacles: Obstacles) -> Float[Array, "*b 5"]:
    """What the novelty of a course is measured by in POET, without scaling: roughness, ends of pits and stumps."""
    return jnp.concatenate([obstacles.roughness[..., None], obstacles.pit, obstacles.stump], axis=-1)


def obstacle_course(key: Key, obstacles: Obstacles) -> Terrain:
    """A random course of POET."""
    return course(choices(key, obstacles), obstacles.roughness)


def rough(key: Key) -> Terrain:
    """A random course of gymnasium's BipedalWalker."""
    return obstacle_course(key, plain()._replace(roughness=jnp.ones(())))


def hardcore(key: Key) -> Terrain:
    """A random course of gymnasium's BipedalWalkerHardcore."""
    grass, sizes, kinds = jax.random.split(key, 3)
    size = jax.random.randint(sizes, (CELLS,), 0, 2)
    up, kind = _uniform(kinds, 2)
    found = choices(grass, plain())._replace(
        kind=1 + jnp.floor(3 * kind).astype(jnp.int32),
        hole=2.0 + size,
        width=1 + size,
        height=1.0 + size,
        rise=jnp.where(up > 0.5, 1.0, -1.0),
        tread=jnp.full(CELLS, 4),
        steps=3 + size,
    )
    return course(found, jnp.ones(()), ramped=True)


def choices(key: Key, obstacles: Obstacles) -> Choices:
    """Every random number of a course of POET."""
    bump, grass, kind, hole, width, height, rise, up, tread, steps = _uniform(key, 10)
    sizes = jnp.stack([obstacles.stump[1], obstacles.stairs[1], obstacles.pit[1]])
    occurring = jnp.cumsum(sizes > 0)
    chosen = jnp.floor(kind * occurring[-1]).astype(jnp.int32)
    return Choices(
        bump=jnp.where(jnp.arange(CELLS) > STARTPAD, 2 * bump - 1, 0),
        grass=_whole(grass, jnp.array([GRASS / 2, GRASS])),
        kind=jnp.where(occurring[-1] > 0, 1 + (occurring[:, None] <= chosen).sum(axis=0), _GRASS).astype(jnp.int32),
        hole=_between(hole, obstacles.pit),
        width=_whole(width, obstacles.stump_width),
        height=_between(height, obstacles.stump),
        rise=jnp.where(up > 0.5, 1, -1) * _between(rise, obstacles.stairs),
        tread=_whole(tread, obstacles.stair_width),
        steps=_whole(steps, obstacles.stair_steps),
    )


def _uniform(key: Key, n: int) -> Float[Array, "{n} c"]:
    return jax.random.uniform(key, (n, CELLS))


def _between(uniform: Float[Array, " c"], interval: Float[Array, "2"]) -> Float[Array, " c"]:
    return interval[0] + (interval[1] - interval[0]) * uniform


def _whole(uniform: Float[Array, " c"], interval: Float[Array, "2"]) -> Int[Array, " c"]:
    found = jnp.minimum(jnp.floor(_between(uniform, interval)), interval[1] - 1)
    return jnp.maximum(found, 1).astype(jnp.int32)


class _Place(NamedTuple):
    """Where the builder of a course is, between two cells."""

    level: Float[Array, ""]
    """Of the ground under all boxes."""
    top: Float[Array, ""]
    """Of the box that the next cell's left end touches; -inf: none."""
    base: Float[Array, ""]
    """The level where this stretch began."""
    velocity: Float[Array, ""]
    kind: Int[Array, ""]
    age: Int[Array, ""]
    """Cells of this stretch that are built."""
    length: Int[Array, ""]
    chosen: Choices
    """Where this stretch began."""


class _Corner(NamedTuple):
    """What a cell adds to the polyline: at `x`, up to two vertices."""

    x: Float[Array, ""]
    y: Float[Array, "2"]
    """Coming from the left, going on to the right."""
    kept: Bool[Array, "2"]


def course(choices: Choices, roughness: Float[Array, ""], ramped: bool = False) -> Terrain:
    """The course that follows from `choices`; if `ramped`, a step that leads up has a ramp on it, as in gymnasium."""

    def built(place: _Place, cell: tuple[Array, Choices]) -> tuple[_Place, _Corner]:
        return _built(place, *cell, roughness, ramped)

    level, zero = jnp.full((), HEIGHT, float), jnp.zeros((), jnp.int32)
    begun = Choices(*(x[0] for x in choices))._replace(grass=zero + STARTPAD + 1)
    pad = _Place(level, -jnp.inf * level, level, 0 * level, zero, zero + 1, begun.grass, begun)
    _, corners = jax.lax.scan(built, pad, (jnp.arange(CELLS), choices))
    # the end of the last cell is always kept, and is what the rest is padded with
    places = jnp.nonzero(corners.kept.ravel(), size=VERTICES, fill_value=2 * CELLS - 1)[0]
    return of_polyline(jnp.repeat(corners.x, 2)[places], corners.y.ravel()[places])


def _built(
    place: _Place, cell: Int[Array, ""], here: Choices, roughness: Float[Array, ""], ramped: bool
) -> tuple[_Place, _Corner]:
    """One cell further."""
    begins = place.age == place.length
    kind = jnp.where(begins, jnp.where(place.kind == _GRASS, here.kind, _GRASS), place.kind)
    age = jnp.where(begins, 0, place.age)
    base = jnp.where(begins, place.level, place.base)
    chosen = Choices(*(jnp.where(begins, new, old) for new, old in zip(here, place.chosen, strict=True)))
    rolling = 0.8 * place.velocity + 0.01 * jnp.sign(HEIGHT - place.level) + here.bump / SCALE
    velocity = jnp.where((kind == _GRASS) & ~begins, rolling, place.velocity)
    grass = place.level + jnp.where(begins, 0, roughness * velocity)

    far = jnp.ceil(1 + chosen.hole)
    """Cells from the begin of a pit to the first end of a cell not left of its far wall."""
    stairs = chosen.tread * chosen.steps
    lengths = (chosen.grass, chosen.width, stairs + (0 if ramped else 1), far.astype(jnp.int32) + 2)
    pit = base - jnp.where((age >= 1) & (age <= far), DEPTH * STEP, 0)
    level = _of(kind, (grass, base, base + _climbed(age, chosen, ramped) * STEP, pit))
    step = jnp.where(age < stairs, base + age // chosen.tread * chosen.rise * STEP, -jnp.inf)
    bank = jnp.where((age == 0) | (age == far), base, -jnp.inf)
    top = _of(kind, (-jnp.inf, base + chosen.height * STEP, step, bank))

    ends = jnp.stack([jnp.maximum(level, place.top), jnp.maximum(level, top)])
    wall = jnp.abs(ends[1] - ends[0]) > 1e-4
    bend = (kind == _GRASS) | begins | (cell == CELLS - 1) | ((kind == _STAIRS) & ramped & (chosen.rise > 0))
    back = jnp.where((kind == _PIT) & (age >= far), far - 1 - chosen.hole, 0)
    corner = _Corner((cell - back) * STEP, ends, jnp.stack([wall, wall | bend]))
    return _Place(level, top, base, velocity, kind, age + 1, _of(kind, lengths), chosen), corner


def _climbed(age: Int[Array, ""], chosen: Choices, ramped: bool) -> Float[Array, ""]:
    """How far the ground under the stairs has come up: cells."""
    down = chosen.rise < 0
    ramp = (age - jnp.where(down, -1, 1)) / chosen.tread
    steps = ramp if ramped else (age - 1) // chosen.tread + down
    return jnp.where(age == 0, 0, steps * chosen.rise)


def _of(kind: Int[Array, ""], values: tuple) -> Array:
    return jnp.select([kind == k for k in range(4)], values)
