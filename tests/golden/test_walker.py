"""Steps of the walker of the hills against those of Box2D 2.3.10 under gymnasium 1.3.0.

Traces are recorded (`record_walker.py`, `walker.npz`); random actions are played in Box2D when the test runs.  After a
landing, walkers part for good, as do two that differ by a hair in Box2D itself: ours begins anew from every moment of a
trace.  The tolerances are some half more than what was measured; `docs/walker.md` has that.
"""

from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.envs.box2d import Box2DWalker
from aiga.envs.hills import Hills, HillsState, poses
from aiga.envs.links import LENGTH, MASSES
from aiga.envs.terrain import Terrain
from aiga.envs.walker import LIMITS, bent
from tests.golden.record_walker import FILE, GROUNDS, begun, lift, passive, read, recorded, thrown, walking

HORIZON = 25
JOINTS = ((0, 1, -8 / 30), (1, 2, -LENGTH / 2), (0, 3, -8 / 30), (3, 4, -LENGTH / 2))
"""Upper and lower link, and where on the upper one the joint is."""


class Windows(NamedTuple):
    """`HORIZON` steps from each of `n` moments, in Box2D and here."""

    before: np.ndarray
    """(n, 5, 3) poses."""
    poses: np.ndarray
    """(n, k, 5, 3) in Box2D."""
    velocities: np.ndarray
    touching: np.ndarray
    """(n, k, 2)"""
    our_poses: np.ndarray
    our_velocities: np.ndarray
    """(n, k, 2) of the centre of mass."""
    our_spins: np.ndarray
    our_touching: np.ndarray

    @property
    def whole(self):
        """Of which moments Box2D's joints hold together, to 5 mm, before and after the first step."""
        return (gaps(self.before) < 5e-3) & (gaps(self.poses[:, 0]) < 5e-3)

    def place(self, step):
        """How far apart the links are, the worst of the five: m."""
        return np.linalg.norm((self.our_poses - self.poses)[:, step - 1, :, :2], axis=-1).max(axis=-1)

    def hull(self, step):
        return np.linalg.norm((self.our_poses - self.poses)[:, step - 1, 0, :2], axis=-1)

    def turn(self, step):
        """Radians, the worst of the five."""
        return np.abs(self.our_poses - self.poses)[:, step - 1, :, 2].max(axis=-1)

    def speed(self, step):
        """Of the centre of mass: m/s."""
        return np.linalg.norm(self.our_velocities - centre(self.velocities)[:, :], axis=-1)[:, step - 1]

    def spin(self, step):
        return np.abs(self.our_spins - self.velocities[..., 2])[:, step - 1].max(axis=-1)

    def where(self, chosen):
        return Windows(*(part[chosen] for part in self))


def gaps(poses):
    """How far the two sides of a joint are apart, the worst of the four: m."""
    return np.stack([np.linalg.norm(at(poses, a, y) - at(poses, b, LENGTH / 2), axis=-1) for a, b, y in JOINTS]).max(
        axis=0
    )


def at(poses, link, y):
    """A point on the axis of a link."""
    angle = poses[..., link, 2]
    return poses[..., link, :2] + y * np.stack([-np.sin(angle), np.cos(angle)], axis=-1)


def shares():
    boxes = np.array([1, 0.8, 1, 0.8]) * LENGTH * 8 / 30
    return np.array([MASSES.total - boxes.sum(), *boxes]) / MASSES.total


def centre(velocities):
    return np.einsum("l,...lk->...k", shares(), velocities[..., :2])


def moment(poses, velocities):
    """The same in our coordinates; what Box2D's joints are apart is lost."""
    angle = poses[..., 2]
    turned = np.stack([np.cos(angle[..., 0]), np.sin(angle[..., 0])], axis=-1)
    x, y = MASSES.centre.real, MASSES.centre.imag
    places = poses[..., :2].copy()
    places[..., 0, :] += np.stack(
        [turned[..., 0] * x - turned[..., 1] * y, turned[..., 1] * x + turned[..., 0] * y], -1
    )
    shape = poses.shape[:-2]
    return HillsState(
        *(jnp.asarray(x, jnp.float32) for x in (centre(places), angle, centre(velocities), velocities[..., 2])),
        jnp.zeros((*shape, 2), bool),
        jnp.zeros(shape),
        jnp.zeros(shape, jnp.int32),
    )


def flying(seed, scale):
    """High above the ground."""
    walker, observation = begun(GROUNDS["flat"])
    lift(walker, 40.0, tilt=0.1 * seed)
    policy = thrown(seed, hold=1 + seed % 8, scale=abs(scale))
    drawn = policy if scale > 0 else lambda time, seen: np.sign(policy(time, seen))
    return recorded(walker, drawn, 70, observation)


def stumbling(seed):
    walker, observation = begun(GROUNDS["flat"], seed)
    return recorded(walker, walking(thrown(seed, hold=5, scale=0.3)), 120, observation)


def kicking(seed):
    """Against the wall of the stump, at up to 3 m/s."""
    walker, observation = begun(GROUNDS["stump"], seed)
    rng = np.random.default_rng(seed)
    poses = walker.poses()
    poses[:, :2] += [6.49 - at(poses, 4, -LENGTH / 2)[0] - rng.uniform(0.12, 0.3), rng.uniform(0, 0.15)]
    walker.place(poses, np.tile([rng.uniform(0, 3), 0.0, 0.0], (5, 1)))
    return recorded(walker, thrown(seed, hold=10), 45, observation)


def cut(ground, trace):
    """All windows of a trace."""
    starts = range(len(trace.actions) - HORIZON + 1)
    then = [np.stack([part[i + 1 : i + 1 + HORIZON] for i in starts]) for part in trace[:2]]
    now = [np.stack([part[i : i + HORIZON] for i in starts]) for part in trace[2:]]
    return (ground, trace.poses[: len(starts)], trace.velocities[: len(starts)], *then, *now)


@pytest.fixture(scope="module")
def compared():
    """By name: windows of all kinds, which are one batch here."""
    live = {
        "flight": [("flat", flying(seed, 1.0)) for seed in range(8)],
        "saturated": [("flat", flying(seed, -1.0)) for seed in range(8)],
        "stumbling": [("flat", stumbling(seed)) for seed in range(10)],
        "kicking": [("stump", kicking(seed)) for seed in range(40)],
    }
    live |= {name: [trace] for name, trace in read().items()}
    parts = [(name, cut(*trace)) for name, group in live.items() for trace in group]
    return together(parts)


def together(parts):
    names = [name for name, part in parts for _ in part[1]]
    grounds = np.array([list(GROUNDS).index(part[0]) for _, part in parts for _ in part[1]])
    before, moving, then, velocities, actions, touching = (
        np.concatenate([part[i] for _, part in parts]) for i in range(1, 7)
    )
    terrain = jax.tree.map(lambda *x: jnp.stack(x), *GROUNDS.values())
    rows = [np.flatnonzero(grounds == i) for i in range(len(GROUNDS))]
    size = max(map(len, rows))
    padded = np.stack([np.resize(row, size) for row in rows])
    ours = stepped(moment(before[padded], moving[padded]), np.moveaxis(actions[padded], 2, 0), terrain)
    found = Windows(before, then, velocities, touching, *(back(np.stack(x, axis=2), rows, len(names)) for x in ours))
    return {name: found.where(np.array(names) == name) for name in dict.fromkeys(names)}


def back(padded, rows, n):
    """The rows of all grounds in their order, without the padding."""
    found = np.empty((n, *padded.shape[2:]), padded.dtype)
    for part, row in zip(padded, rows, strict=True):
        found[row] = part[: len(row)]
    return found


def stepped(state, actions, terrain):
    env, key = Hills(), jax.random.key(0)

    @jax.jit
    def step(state: HillsState, action: jax.Array, terrain: Terrain):
        on_one = jax.vmap(lambda state, action, ground: env.step(key, state, action, ground).state, (0, 0, None))
        return jax.vmap(on_one)(state, action, terrain)

    found = []
    for action in actions:
        state = step(state, jnp.asarray(action, jnp.float32), terrain)
        found.append((poses(state), state.velocity, state.spin, state.touching))
    return [[np.asarray(x) for x in part] for part in zip(*found, strict=True)]


def energy(angle, spin):
    """Kinetic, about the centre of mass: J."""
    turning = spin * np.exp(1j * angle)
    return 0.5 * np.real(turning.conj() @ MASSES.coupling @ turning) + 0.5 * spin**2 @ MASSES.inertia


def share(good):
    return good.mean()


def test_the_links_have_box2ds_masses():
    walker, _ = begun(GROUNDS["flat"])
    about = np.array([body.mass * np.dot(body.localCenter, body.localCenter) for body in walker.bodies])
    np.testing.assert_allclose(shares() * MASSES.total, [body.mass for body in walker.bodies], rtol=1e-5)
    np.testing.assert_allclose(MASSES.inertia + about, [body.inertia for body in walker.bodies], rtol=1e-4)
    np.testing.assert_allclose([MASSES.centre.real, MASSES.centre.imag], walker.bodies[0].localCenter, atol=1e-6)


def test_box2d_does_what_was_recorded():
    """In the air, where nothing multiplies the differences between machines."""
    _, then = read()["swing"]
    np.testing.assert_allclose(passive().poses, then.poses, atol=1e-3)


@pytest.mark.parametrize("name", ["flight", "saturated", "swing"])
def test_free_motion_agrees(compared, name):
    seen = compared[name]
    assert seen.whole.all()
    assert seen.speed(1).max() < 1e-4
    assert share(seen.turn(1) < 4e-3) > 0.95
    assert share(seen.spin(1) < 0.05) > 0.95
    assert share(seen.hull(25) < 6e-3) > 0.95
    assert np.median(seen.turn(25)) < 0.015


def test_joints_reach_their_ends_in_that_free_motion(compared):
    bend = np.stack(bent(jnp.array(compared["flight"].poses[:, 0, :, 2].T)))
    low, high = np.array(LIMITS).T[..., None]
    assert ((bend < low) | (bend > high)).mean(axis=1).min() > 0.1


def test_energy_fades_as_in_box2d_when_legs_swing_freely(compared):
    _, trace = read()["swing"]
    ours = compared["swing"]
    begin, end = (energy(trace.poses[i, :, 2], trace.velocities[i, :, 2]) for i in (0, HORIZON))
    assert end < 0.9 * begin
    assert energy(ours.our_poses[0, -1, :, 2], ours.our_spins[0, -1]) == pytest.approx(end, rel=0.1)


CONTACTS = {
    "holding": (0.95, 0.02),
    "idle": (0.9, 0.01),
    "open loop": (0.85, 0.06),
    "heuristic": (0.95, 0.005),
    "stumbling": (0.97, 0.006),
    "over a stump": (0.95, 0.03),
    "kicking": (0.87, 0.08),
    "into a pit": (0.9, 0.05),
    "up stairs": (0.8, 0.05),
    "drop": (0.9, 0.05),
}
"""Least share of single steps that agree; the median of how far the hulls are apart after 25 steps: m."""


@pytest.mark.parametrize("name", CONTACTS)
def test_steps_on_the_ground_agree(compared, name):
    """To 1 cm, 0.02 rad, 0.05 m/s and 0.5 rad/s, where Box2D's joints hold together."""
    least, apart = CONTACTS[name]
    seen = compared[name].where(compared[name].whole)
    close = (seen.place(1) < 0.01) & (seen.turn(1) < 0.02) & (seen.speed(1) < 0.05) & (seen.spin(1) < 0.5)
    assert share(close) > least
    assert np.median(seen.hull(HORIZON)) < apart
    assert share(seen.our_touching[:, 0] == seen.touching[:, 0]) > 0.95


def test_hulls_stay_together_where_box2d_tears_a_leg_apart(compared):
    """A foot that lands is halted alone there, and its joints come together again in the steps that follow."""
    torn = [seen.where(~seen.whole) for name, seen in compared.items() if name != "drop" and not seen.whole.all()]
    apart = np.concatenate([seen.hull(5) for seen in torn])
    assert len(apart) > 100
    assert share(apart < 0.05) > 0.9


def test_a_policy_that_was_trained_in_hills_alone_walks_to_the_end_in_box2d():
    """It returns 323 in `Hills` on flat ground; see `docs/walker.md` for how it was trained, and for other grounds."""
    with np.load(FILE.with_name("walker_policy.npz")) as file:
        weights = file["mean"]
    sizes = (24, 40, 40, 4)
    layers = []
    for before, after in pairwise(sizes):
        matrix, bias, weights = np.split(weights, [before * after, (before + 1) * after])
        layers.append((matrix.reshape(after, before), bias))

    def policy(x):
        for matrix, bias in layers:
            x = np.tanh(matrix @ x + bias)
        return x

    walker = Box2DWalker(GROUNDS["flat"])
    assert min(walker.play(policy, seed).total for seed in range(3)) > 300
