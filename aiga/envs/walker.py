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

Links, arrays and units are those of `aiga.envs.links`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from aiga.envs.contacts import PLACES, Contacts, touching
from aiga.envs.links import MASSES, Body, Pivots, pivots
from aiga.envs.terrain import Terrain

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
SINK = 0.015
"""How far skins may be in each other before a landing is noticed within a step."""
SLOP, ANGULAR_SLOP = 0.005, np.pi / 90
"""What a contact and the end of a joint may be violated by."""
FRICTION = ((0.1 * 2.5) ** 0.5, *[(0.2 * 2.5) ** 0.5] * 4)
SWEEPS, CORRECTIONS = 30, 5
"""Of Gauss-Seidel over all constraints: for the velocities, and for what to correct of the positions."""
RELAXATION, PLAIN = 1.5, 10
"""Over-relaxation of the sweeps for the velocities, but for the last so many: as good as 60 plain sweeps."""


class Rows(NamedTuple):
    """Constraints, each on one relative velocity: the joints, then the contacts along their normals, then across."""

    jacobian: Float[Array, "r 7 b"]
    """The relative velocities, from those of the centre and of the angles."""
    response: Float[Array, "r 7 b"]
    """How a unit impulse changes these."""
    coupling: Float[Array, "r r b"]
    """How a unit impulse at one changes the relative velocity at another."""

    def relative(self, speeds: Float[Array, "7 b"]) -> Float[Array, "r b"]:
        """The relative velocities."""
        return _dot(self.jacobian.swapaxes(0, 1), speeds)

    def answer(self, impulses: list[Array]) -> Float[Array, "7 b"]:
        """What some impulses, at the first constraints, change of the velocities."""
        return _dot(impulses, self.response[: len(impulses)])


def kinetic(body: Body) -> Float[Array, " b"]:
    """The energy of motion: J."""
    inertia = _inertia(jnp.cos(body.angle), jnp.sin(body.angle))
    turning = [_dot([inertia[max(i, j)][min(i, j)] for j in range(5)], body.spin) for i in range(5)]
    return 0.5 * (MASSES.total * _dot(body.velocity, body.velocity) + _dot(turning, body.spin))


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
    fall = jnp.array([0.0, -DT * GRAVITY])[:, None]
    free = jnp.concatenate([body.velocity + fall, _dot(inverse, _momentum(body, at))])
    contacts = touching(at, terrain, which)
    rows = _rows(at, inverse, contacts)
    impulses = _impulses(rows.relative(free), rows.coupling, action, body.angle, contacts.gap)
    speeds = free + rows.answer(impulses)
    still = jnp.zeros_like(speeds[0])
    straight = jnp.concatenate([jnp.stack([still, still]), _straightened(at, DT * speeds[2:], inverse)])
    shifts = _corrections(rows.relative(speeds + straight / DT), rows, body.angle, contacts.gap)
    moved = DT * (speeds + shifts) + straight
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
    own = jnp.asarray(MASSES.inertia, body.spin.dtype)[:, None] * body.spin
    return own + _along(at.cos, at.sin, body.spin * cos, body.spin * sin)


def _along(cos: Array, sin: Array, x: Array, y: Array) -> Float[Array, "5 b"]:
    """What the motions `x + i y` of the links' vectors are along each link's own turning at these angles."""
    real, imaginary = np.real(MASSES.coupling)[:, :, None], np.imag(MASSES.coupling)[:, :, None]
    across = _dot(real.swapaxes(0, 1), x) - _dot(imaginary.swapaxes(0, 1), y)
    up = _dot(real.swapaxes(0, 1), y) + _dot(imaginary.swapaxes(0, 1), x)
    return jnp.asarray(cos * across + sin * up)


def _straightened(at: Pivots, turn: Float[Array, "5 b"], inverse: Float[Array, "5 5 b"]) -> Float[Array, "5 b"]:
    """How much more the links turn when they first move straight on and are then brought together, as in Box2D.

    Links that turn about each other leave the straight lines of their velocities.  To bring them together again, in
    the metric of their masses, takes one step of Newton's method from where turning alone puts them.
    """
    cos, sin = at.cos * jnp.cos(turn) - at.sin * jnp.sin(turn), at.sin * jnp.cos(turn) + at.cos * jnp.sin(turn)
    x, y = at.cos - turn * at.sin - cos, at.sin + turn * at.cos - sin
    # Turning moves a vector to its left: the part of (x, y) along that is minus x by the sine and y by the cosine.
    return _dot(inverse, _along(cos, sin, y, -x))


def _inverse(lower: list[list[Array]]) -> Float[Array, "5 5 b"]:
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
    return jnp.stack([jnp.stack([full[max(i, j)][min(i, j)] for j in range(n)]) for i in range(n)])


def _dot(one: Any, other: Any) -> Array:
    """The sum of the products of two sequences of arrays, or of what two arrays lead with."""
    return sum((a * b for a, b in zip(one, other, strict=True)), start=jnp.zeros(()))


CHAINS = ((0,), (0, 1), (0, 1, 2), (0, 3), (0, 3, 4))
"""The links from the hull to each link."""
HOLDS = np.array([[link in CHAINS[own] for own, _ in PLACES] for link in range(5)])
"""(5, c): whether a link is above a contact's, or its own."""
OWN = np.array([[link == own for own, _ in PLACES] for link in range(5)])


def _rows(at: Pivots, inverse: Float[Array, "5 5 b"], contacts: Contacts) -> Rows:
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
    response = _dot(inverse, jacobian.swapaxes(0, 1)[2:, :, None])
    response = jnp.concatenate([jacobian[:, :2] / MASSES.total, response], axis=1)
    return Rows(jacobian, response, _dot(jacobian.swapaxes(0, 1)[:, :, None], response.swapaxes(0, 1)[:, None]))


def _impulses(
    free: Float[Array, "r b"],
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

    def sweep(i: Any, impulses: list[Array]) -> list[Array]:
        impulses = list(impulses)
        relaxation = jnp.where(i < SWEEPS - PLAIN, RELAXATION, 1.0)

        def leaving(r: int, speed: Array | float = 0.0) -> Array:
            """The impulse that would leave this relative velocity."""
            return impulses[r] + relaxation * (speed - free[r] - _dot(coupling[r], impulses)) / coupling[r, r]

        for k in range(4):
            halt = leaving(k)
            motor = jnp.clip(leaving(k, target[k]), -torque[k], torque[k])
            impulses[k] = jnp.clip(motor, jnp.where(at_least[k], halt, -jnp.inf), jnp.where(at_most[k], halt, jnp.inf))
        for c, (link, _) in enumerate(PLACES):
            normal, across = 4 + c, 4 + len(PLACES) + c
            most = FRICTION[link] * impulses[normal]
            impulses[across] = jnp.clip(leaving(across), -most, most)
            impulses[normal] = jnp.maximum(leaving(normal, closing[c]), 0.0)
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
    relative: Float[Array, "r b"], rows: Rows, angle: Float[Array, "5 b"], gap: Float[Array, "c b"]
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
