"""The mechanics of a planar walker with two two-segment legs, in as few coordinates as it has.

The body of BipedalWalker (Klimov 2016, OpenAI Gym), which POET's walkers have as well; the method is ours, made so that
a step of 1/50 s agrees with one of Box2D, which the originals use:

    coordinates  <- the centre of mass and the angles of five links; joints cannot come apart
    free         <- gravity, and the momentum of the links carried over to where they have turned
    impulses     <- motors with limited torque, ends of joints, contacts with friction, until none is violated
    coordinates  <- coordinates + dt (free + impulses), and out of the ground where they have got into it

Momentum is carried over by projecting the velocities of the links, in the metric of their masses, upon what the joints
allow.  A projection shortens, and so do contacts and the ends of joints: no kinetic energy comes but from gravity and
motors, whatever the policy does.  Impulses are found by projected Gauss-Seidel, like Box2D's; those at a contact by the
velocity that would just close its gap in a step, where Box2D halts the link within the step.

Links are always in the order hull, thigh, shank, thigh, shank; arrays lead with what they are about and end with the
batch `b`, over which the compiler vectorises.  Metres, kilograms, seconds, radians.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from aiga.envs.terrain import STEP, Terrain

SCALE = 30.0
DT = 1 / 50
GRAVITY = 10.0
TORQUE = 80.0
SPEEDS = (4.0, 6.0, 4.0, 6.0)
"""Of the motors at hip, knee, hip, knee."""
LIMITS = ((-0.8, 1.1), (-1.6, -0.1)) * 2
ZEROS = (-0.05, 0.0, 0.05, 0.0)
"""The angle between the links at which a joint's is zero: BipedalWalker builds its thighs this far apart."""
JOINTS = ((0, 1), (1, 2), (0, 3), (3, 4))
"""The links each joint connects."""
LENGTH, WIDTH = 34 / SCALE, 8 / SCALE
"""Of a thigh; a shank has 0.8 of the width."""
HIP = -8 / SCALE
"""Where both thighs hang, below the origin of the hull."""
HULL = np.array([(-30, -8), (34, -8), (34, 1), (6, 9), (-30, 9)]) / SCALE
"""Counter-clockwise, as all outlines."""
SKIN = 0.02
"""The gap at which surfaces touch: Box2D gives each of two shapes a skin of 0.01."""
SINK = 0.015
"""How far skins may be in each other before a landing is noticed within a step."""
SLOP, ANGULAR_SLOP = 0.005, np.pi / 90
"""What a contact and the end of a joint may be violated by."""
FRICTION = ((0.1 * 2.5) ** 0.5, *[(0.2 * 2.5) ** 0.5] * 4)
PLACES = ((0, 0), (1, 0), (2, 0), (2, 1), (3, 0), (4, 0), (4, 1))
"""The contacts that count: of hull and thighs the nearest, of shanks the two nearest."""
WINDOW = 12
"""Vertices of the ground that a link is compared with."""
TINY = 1e-10
TIE = 1e-6
"""Metres by which a candidate is put after the one before it that is as near."""
FAR = 100.0
"""A gap that is none."""
DEEPEST = 0.3
"""Inside the ground by more than this, a corner is not pushed out on that side."""
SWEEPS, CORRECTIONS = 20, 5
"""Of Gauss-Seidel over all constraints: for the velocities, and for what to correct of the positions."""


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


class Rows(NamedTuple):
    """Constraints, each on one relative velocity: the joints, then the contacts along their normals, then across."""

    jacobian: Float[Array, "r 7 b"]
    """The relative velocities, from those of the centre and of the angles."""
    response: Float[Array, "r 7 b"]
    """How a unit impulse changes these."""
    coupling: Float[Array, "r r b"]
    """How a unit impulse at one changes the relative velocity at another."""

    def relative(self, speeds: Float[Array, "7 b"]) -> list[Array]:
        """The relative velocities."""
        return [_dot(row, speeds) for row in self.jacobian]

    def answer(self, impulses: list[Array]) -> Float[Array, "7 b"]:
        """What some impulses, at the first constraints, change of the velocities."""
        return _dot(impulses, self.response[: len(impulses)])


class Contacts(NamedTuple):
    """Where links touch the ground or soon may; `c` in all."""

    gap: Float[Array, "c b"]
    """Between the skins; below zero: how far one is in the other."""
    point: Float[Array, "2 c b"]
    normal: Float[Array, "2 c b"]
    """Away from the ground."""


def pivots(body: Body) -> Pivots:
    """Where the coordinates put the joints."""
    cos, sin = jnp.cos(body.angle), jnp.sin(body.angle)
    arms = rotated(MASSES.arms, cos, sin)
    hull = body.centre - sum(arms[:, i] for i in range(5))
    hip = hull + rotated(1j * HIP - MASSES.centre, cos[0], sin[0])
    knees = tuple(hip + rotated(-1j * LENGTH, cos[i], sin[i]) for i in (1, 3))
    return Pivots(cos, sin, arms, hull, hip, (knees[0], knees[1]))


def kinetic(body: Body) -> Float[Array, " b"]:
    """The energy of motion: J."""
    inertia = _inertia(jnp.cos(body.angle), jnp.sin(body.angle))
    turning = [_dot([inertia[max(i, j)][min(i, j)] for j in range(5)], body.spin) for i in range(5)]
    return 0.5 * (MASSES.total * _dot(body.velocity, body.velocity) + _dot(turning, body.spin))


def rotated(vector: complex | np.ndarray, cos: Array, sin: Array) -> Float[Array, "2 *n"]:
    """Vectors turned by the angles of these cosines and sines."""
    x, y = (part[..., None] if np.ndim(part) else part for part in (np.real(vector), np.imag(vector)))
    return jnp.stack([x * cos - y * sin, x * sin + y * cos])


def advanced(
    body: Body, action: Float[Array, "4 b"], terrain: Terrain, which: Int[Array, " b"]
) -> tuple[Body, Bool[Array, "5 b"]]:
    """The walker 1/50 s later, and which links touch the ground.

    Args:
        body: At the beginning.
        action: Of the four motors, from -1 to 1: the sign is the direction, the size the share of the torque.
        terrain: Grounds, stacked.
        which: The ground each walker is on.
    """
    at = pivots(body)
    inverse = _inverse(_inertia(at.cos, at.sin))
    momentum = _momentum(body, at)
    spins = [_dot(row, momentum) for row in inverse]
    free = jnp.stack([body.velocity[0], body.velocity[1] - DT * GRAVITY, *spins])
    contacts = touching(at, terrain, which)
    rows = _rows(at, inverse, contacts)
    impulses = _impulses(rows.relative(free), rows.coupling, action, body.angle, contacts.gap)
    speeds = free + rows.answer(impulses)
    shifts = _corrections(rows.relative(speeds), rows, body.angle, contacts.gap)
    turn = DT * speeds[2:]
    moved = DT * (speeds + shifts)
    moved = moved.at[2:].add(jnp.stack(_straightened(at, turn, inverse)))
    after = Body(body.centre + moved[:2], body.angle + moved[2:], speeds[:2], speeds[2:])
    touches = (contacts.gap <= 0) | (jnp.stack(impulses[4 : 4 + len(PLACES)]) > 0)
    return after, jnp.stack([touches[0], touches[1], touches[2] | touches[3], touches[4], touches[5] | touches[6]])


def _inertia(cos: Array, sin: Array) -> list[list[Array]]:
    """The lower triangle of the mass matrix of the angles."""
    real, imaginary = np.real(MASSES.coupling), np.imag(MASSES.coupling)

    def entry(i: int, j: int) -> Array:
        if i == j:
            return jnp.full_like(cos[0], real[i, i] + MASSES.inertia[i])
        return real[i, j] * (cos[i] * cos[j] + sin[i] * sin[j]) - imaginary[i, j] * (sin[j] * cos[i] - cos[j] * sin[i])

    return [[entry(i, j) for j in range(i + 1)] for i in range(5)]


def _momentum(body: Body, at: Pivots) -> Float[Array, "5 b"]:
    """Of the angles, when the links keep the velocities they had before they last turned."""
    cos, sin = jnp.cos(body.angle - DT * body.spin), jnp.sin(body.angle - DT * body.spin)
    own = MASSES.inertia[:, None] * body.spin
    return own + _along(at.cos, at.sin, body.spin * cos, body.spin * sin)


def _along(cos: Array, sin: Array, x: Array, y: Array) -> Float[Array, "5 b"]:
    """What the motions `x + i y` of the links' vectors are along each link's own turning at these angles."""
    real, imaginary = np.real(MASSES.coupling)[:, :, None], np.imag(MASSES.coupling)[:, :, None]
    across = _dot(real.swapaxes(0, 1), x) - _dot(imaginary.swapaxes(0, 1), y)
    up = _dot(real.swapaxes(0, 1), y) + _dot(imaginary.swapaxes(0, 1), x)
    return cos * across + sin * up


def _straightened(at: Pivots, turn: Float[Array, "5 b"], inverse: list[list[Array]]) -> list[Array]:
    """How much more the links turn when they first move straight on and are then brought together, as in Box2D.

    Links that turn about each other leave the straight lines of their velocities.  To bring them together again, in
    the metric of their masses, takes one step of Newton's method from where turning alone puts them.
    """
    cos, sin = at.cos * jnp.cos(turn) - at.sin * jnp.sin(turn), at.sin * jnp.cos(turn) + at.cos * jnp.sin(turn)
    x, y = at.cos - turn * at.sin - cos, at.sin + turn * at.cos - sin
    # Turning moves a vector to its left: the part of (x, y) along that is minus x by the sine and y by the cosine.
    pull = _along(cos, sin, y, -x)
    return [_dot(row, pull) for row in inverse]


def _inverse(lower: list[list[Array]]) -> list[list[Array]]:
    """Of a symmetric positive definite matrix, of which the lower triangle is given, by Cholesky's decomposition."""
    n = len(lower)
    factor: list[list[Array]] = []  # of its inverse triangle: the diagonal is inverted
    for i in range(n):
        factor.append([])
        for j in range(i + 1):
            left = lower[i][j] - _dot(factor[i][:j], factor[j][:j])
            factor[i].append(jax.lax.rsqrt(left) if i == j else left * factor[j][j])
    triangle: list[list[Array]] = []
    for i in range(n):
        row = [-factor[i][i] * _dot(factor[i][j:i], [triangle[k][j] for k in range(j, i)]) for j in range(i)]
        triangle.append([*row, factor[i][i]])
    full = [
        [_dot([triangle[k][i] for k in range(i, n)], [triangle[k][j] for k in range(i, n)]) for j in range(i + 1)]
        for i in range(n)
    ]
    return [[full[max(i, j)][min(i, j)] for j in range(n)] for i in range(n)]


def _dot(one: Any, other: Any) -> Array:
    """The sum of the products of two sequences of arrays, or of what two arrays lead with."""
    return sum((a * b for a, b in zip(one, other, strict=True)), start=jnp.zeros(()))


CHAINS = ((0,), (0, 1), (0, 1, 2), (0, 3), (0, 3, 4))
"""The links from the hull to each link."""
HOLDS = np.array([[link in CHAINS[own] for own, _ in PLACES] for link in range(5)])
"""(5, c): whether a link is above a contact's, or its own."""
OWN = np.array([[link == own for own, _ in PLACES] for link in range(5)])


def _rows(at: Pivots, inverse: list[list[Array]], contacts: Contacts) -> Rows:
    # Where the chain goes on from each link: the next anchor; or the contact, if it is the link's own.
    following = (at.hip, at.knees[0], at.knees[0], at.knees[1], at.knees[1])
    levers = []
    for link in range(5):
        end = jnp.where(OWN[link][:, None], contacts.point, following[link][:, None])
        levers.append(jnp.where(HOLDS[link][:, None], end - at.anchors[link][:, None], 0.0) - at.arms[:, link, None])
    lever = jnp.concatenate([jnp.stack(levers, axis=2)] * 2, axis=1)  # (2, 2 c, 5, b)
    across = jnp.stack([contacts.normal[1], -contacts.normal[0]])
    along = jnp.concatenate([contacts.normal, across], axis=1)
    turning = lever[0] * along[1, :, None] - lever[1] * along[0, :, None]
    bending = np.zeros((4, 7, 1), np.float32)
    for k, (parent, child) in enumerate(JOINTS):
        bending[k, 2 + parent], bending[k, 2 + child] = -1, 1
    bending = jnp.broadcast_to(bending, (4, 7, turning.shape[-1]))
    jacobian = jnp.concatenate([bending, jnp.concatenate([jnp.moveaxis(along, 0, 1), turning], axis=1)])
    matrix = jnp.stack([jnp.stack(row) for row in inverse])
    response = sum(matrix[j] * jacobian[:, 2 + j, None] for j in range(5))
    response = jnp.concatenate([jacobian[:, :2] / MASSES.total, response], axis=1)
    return Rows(jacobian, response, _dot(jacobian.swapaxes(0, 1)[:, :, None], response.swapaxes(0, 1)[:, None]))


def _impulses(
    free: list[Array],
    coupling: Float[Array, "r r b"],
    action: Float[Array, "4 b"],
    angle: Float[Array, "5 b"],
    gap: Float[Array, "c b"],
) -> list[Array]:
    """Of motors and ends of joints, then of contacts along and across their normals, given the velocities without."""
    at_most, at_least = _at_ends(angle)
    torque = [DT * TORQUE * jnp.clip(jnp.abs(action[k]), 0, 1) for k in range(4)]
    target = [SPEEDS[k] * jnp.sign(action[k]) for k in range(4)]
    closing = jnp.where(gap > 0, -(gap + SINK) / DT, 0.0)

    def leaving(impulses: list[Array], r: int, speed: Array | float = 0.0) -> Array:
        """The impulse that would leave this relative velocity."""
        return impulses[r] + (speed - free[r] - _dot(coupling[r], impulses)) / coupling[r, r]

    def sweep(_: Any, impulses: list[Array]) -> list[Array]:
        impulses = list(impulses)
        for k in range(4):
            halt = leaving(impulses, k)
            motor = jnp.clip(halt + target[k] / coupling[k, k], -torque[k], torque[k])
            impulses[k] = jnp.clip(motor, jnp.where(at_least[k], halt, -jnp.inf), jnp.where(at_most[k], halt, jnp.inf))
        for c, (link, _) in enumerate(PLACES):
            normal, across = 4 + c, 4 + len(PLACES) + c
            most = FRICTION[link] * impulses[normal]
            impulses[across] = jnp.clip(leaving(impulses, across), -most, most)
            impulses[normal] = jnp.maximum(leaving(impulses, normal, closing[c]), 0.0)
        return impulses

    return jax.lax.fori_loop(0, SWEEPS, sweep, [jnp.zeros_like(gap[0])] * len(free))


def _at_ends(angle: Float[Array, "5 b"]) -> tuple[list[Array], list[Array]]:
    """Whether each joint has got to its upper end, and to its lower."""
    bends = bent(angle)
    upper = [bend >= most for bend, (_, most) in zip(bends, LIMITS, strict=True)]
    return upper, [bend <= least for bend, (least, _) in zip(bends, LIMITS, strict=True)]


def bent(angle: Float[Array, "5 *b"]) -> list[Array]:
    """The angles of the joints."""
    return [angle[child] - angle[parent] - zero for (parent, child), zero in zip(JOINTS, ZEROS, strict=True)]


def _corrections(
    relative: list[Array], rows: Rows, angle: Float[Array, "5 b"], gap: Float[Array, "c b"]
) -> Float[Array, "7 b"]:
    """Velocities that bring what is violated, and will still be after the step, back to the slop in one step."""
    n = 4 + len(PLACES)
    least, most, wanted = [], [], []
    for k, (bend, at_most, at_least) in enumerate(zip(bent(angle), *_at_ends(angle), strict=True)):
        bend = bend + DT * relative[k]
        inside = jnp.clip(bend, LIMITS[k][0] - ANGULAR_SLOP, LIMITS[k][1] + ANGULAR_SLOP)
        wanted.append((inside - bend) / DT)
        least.append(jnp.where(at_most & (inside < bend), -jnp.inf, 0.0))
        most.append(jnp.where(at_least & (inside > bend), jnp.inf, 0.0))
    for c in range(len(PLACES)):
        wanted.append(jnp.clip(-(gap[c] + DT * relative[4 + c]) - SLOP, 0, 0.2) / DT)
        least.append(jnp.zeros_like(gap[c]))
        most.append(jnp.where(gap[c] <= 0, jnp.inf, 0.0))

    def sweep(_: Any, impulses: list[Array]) -> list[Array]:
        impulses = list(impulses)
        for r in range(n):
            left = wanted[r] - _dot(rows.coupling[r, :n], impulses)
            impulses[r] = jnp.clip(impulses[r] + left / rows.coupling[r, r], least[r], most[r])
        return impulses

    impulses = jax.lax.fori_loop(0, CORRECTIONS, sweep, [jnp.zeros_like(gap[0])] * n)
    return rows.answer(impulses)


def touching(at: Pivots, terrain: Terrain, which: Int[Array, " b"]) -> Contacts:
    """The contacts of all links."""
    points = origins(at)[:, :, None] + rotated(CORNERS, at.cos[:, None], at.sin[:, None])  # (2, 5, k, b)
    ground = jnp.stack(
        [around(terrain, which, points[0, link].min(axis=0) - SKIN, WINDOW) for link in range(5)], axis=1
    )
    corners, vertices = _corners(points, ground), _vertices(points, ground)
    found = Contacts(*(jnp.concatenate(pair, axis=-2) for pair in zip(corners, vertices, strict=True)))
    nearest = _nearest(found)
    return nearest._replace(gap=nearest.gap - SKIN)


def origins(at: Pivots) -> Float[Array, "2 5 b"]:
    """Of the links' frames: the hull's as drawn, the middle of the others."""
    hull = at.hull - rotated(MASSES.centre, at.cos[0], at.sin[0])
    others = jnp.stack(at.anchors[1:], axis=1) + rotated(-0.5j * LENGTH, at.cos[1:], at.sin[1:])
    return jnp.concatenate([hull[:, None], others], axis=1)


def around(terrain: Terrain, which: Int[Array, " b"], left: Float[Array, " b"], n: int) -> Float[Array, "2 n b"]:
    """The `n` vertices of the ground from the last one that is left of `left`."""
    cell = jnp.clip(jnp.floor(left / STEP).astype(jnp.int32), 0, terrain.first.shape[-1] - 1)
    begin = jnp.minimum(terrain.first[which, cell], terrain.x.shape[-1] - n)
    places = begin + jnp.arange(n)[:, None]
    return jnp.stack([terrain.x[which, places], terrain.y[which, places]])


def _corners(points: Float[Array, "2 l k b"], ground: Float[Array, "2 l n b"]) -> Contacts:
    """Every corner of a link with the side of the ground nearest to it; with two, if it is as near to both."""
    edge = (ground[:, :, 1:] - ground[:, :, :-1])[:, :, None]
    square = edge[0] ** 2 + edge[1] ** 2
    size = jnp.where(square > TINY, jax.lax.rsqrt(jnp.maximum(square, TINY)), 0.0)
    off = points[:, :, :, None] - ground[:, :, None, :-1]  # (2, l, k, n - 1, b)
    height = (edge[0] * off[1] - edge[1] * off[0]) * size
    along = (edge[0] * off[0] + edge[1] * off[1]) * size**2
    beside = (size > 0) & (along >= 0) & (along <= 1) & (height > -DEEPEST)
    distance = jnp.where(beside, jnp.abs(height), FAR)
    least = distance.min(axis=-2, keepdims=True)
    chosen = jnp.where(distance == least, beside, False)
    count = jnp.maximum(chosen.sum(axis=-2), 1)
    gap = jnp.where(chosen, height, 0.0).sum(axis=-2) / count
    x, y = (jnp.where(chosen, part * size, 0.0).sum(axis=-2) for part in (-edge[1], edge[0]))
    norm = jax.lax.rsqrt(jnp.maximum(x**2 + y**2, TINY))
    real = chosen.any(axis=-2) & REAL[:, :, None]
    return Contacts(jnp.where(real, gap, FAR), points, jnp.stack([x, y]) * norm)


def _vertices(points: Float[Array, "2 l k b"], ground: Float[Array, "2 l n b"]) -> Contacts:
    """Every bump of the ground with the side of the link that it is farthest out of, or least far in."""
    side = jnp.roll(points, -1, axis=2) - points
    square = side[0] ** 2 + side[1] ** 2
    out = jnp.stack([side[1], -side[0]]) * jax.lax.rsqrt(jnp.maximum(square, TINY))
    off = ground[:, :, None] - points[:, :, :, None]  # (2, l, k, n, b)
    height = off[0] * out[0][:, :, None] + off[1] * out[1][:, :, None]
    height = jnp.where(square[:, :, None] > TINY, height, -FAR)
    most = height.max(axis=1)
    chosen = height == most[:, None]
    x, y = (jnp.where(chosen, -part[:, :, None], 0.0).sum(axis=1) for part in out)
    norm = jax.lax.rsqrt(jnp.maximum(x**2 + y**2, TINY))
    edge = ground[:, :, 1:] - ground[:, :, :-1]
    bump = edge[0, :, :-1] * edge[1, :, 1:] - edge[1, :, :-1] * edge[0, :, 1:] < -TINY
    bump = jnp.pad(bump, ((0, 0), (1, 1), (0, 0))) & (most > -DEEPEST)
    return Contacts(jnp.where(bump, most, FAR), ground, jnp.stack([x, y]) * norm)


def _nearest(found: Contacts) -> Contacts:
    """The contacts that count, of each link's candidates on the last axis but one."""
    key = found.gap + TIE * np.arange(found.gap.shape[1])[:, None]
    first = key == key.min(axis=1, keepdims=True)
    other = jnp.where(first, FAR, key)
    chosen = first, other == other.min(axis=1, keepdims=True)
    one = jnp.stack([chosen[place][link] for link, place in PLACES])  # (c, k, b)
    links = [link for link, _ in PLACES]
    gap, point, normal = (jnp.where(one, x[..., links, :, :], 0.0).sum(axis=-2) for x in found)
    near = gap < FAR / 2  # of several that are none, the sum
    return Contacts(jnp.where(near, gap, FAR), point, jnp.where(near, normal, jnp.array([0.0, 1.0])[:, None, None]))
