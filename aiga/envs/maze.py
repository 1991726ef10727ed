"""A wheeled robot in a maze of wall segments: the hard maze of novelty search, random mazes of rooms and doors.

The robot of Lehman & Stanley (2011), "Abandoning objectives", https://doi.org/10.1162/EVCO_a_00025, as simulated in
the code of Lehman et al. (2018), "Safe mutations", https://github.com/uber-research/safemutations (`maze.h`): six
rangefinders and a radar of four quadrants that sees the goal; the action says how fast to turn and to drive.

Angles are in degrees, from the x axis towards the y axis; lengths are in units of the maze.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from aiga.core.errors import UsageError
from aiga.core.protocols import Key, Transition

RANGEFINDERS = (-90, -45, 0, 45, 90, 180)
"""Where they look, from straight ahead."""
FEATURES = 1 + len(RANGEFINDERS) + 4
"""Numbers of an observation."""


class MazeParams(NamedTuple):
    """The genome of a maze."""

    walls: Float[Array, "*b w 4"]
    """x1, y1, x2, y2 of each; a wall without length is none, so that mazes of fewer walls fit into a batch."""
    start: Float[Array, "*b 2"]
    goal: Float[Array, "*b 2"]
    heading: Float[Array, "*b"]
    """Of the robot at the start."""

    @staticmethod
    def of(walls: Any, start: Any, goal: Any, heading: Any = 0.0) -> "MazeParams":
        """From numbers; the arrays are the host's until they are computed with."""
        leaves: Any = [np.asarray(leaf, np.float32) for leaf in (walls, start, goal, heading)]
        return MazeParams(*leaves)


HARD_MAZE = MazeParams.of(
        [
            (41, 5, 3, 8), (3, 8, 4, 49), (4, 49, 57, 53), (4, 49, 7, 202), (7, 202, 195, 198), (195, 198, 186, 8),
            (186, 8, 39, 5), (56, 54, 56, 157), (57, 106, 158, 162), (77, 201, 108, 164), (6, 80, 33, 121),
            (192, 146, 87, 91), (56, 55, 133, 30),
    ],
    start=(36, 184),
    goal=(31, 20),
)  # fmt: skip
"""The deceptive maze of Lehman & Stanley (2011): `hard_maze.txt` of https://github.com/jal278/mazerobot-python."""
ENVELOPE = ((3.0, 5.0), (195.0, 202.0))
"""The lowest and the highest corner of the hard maze."""


class State(NamedTuple):
    """A moment of an episode."""

    position: Float[Array, "2"]
    heading: Float[Array, ""]
    turning: Float[Array, ""]
    """Degrees a tick."""
    speed: Float[Array, ""]
    """Units a tick."""
    time: Int[Array, ""]
    """Ticks."""
    reached: Bool[Array, ""]
    """The robot has been near the goal."""


class Maze(eqx.Module):
    """Drive to the goal.

    An action is two numbers from 0 to 1: turn (0 left, 1/2 straight on, 1 right, seen with y pointing down) and speed
    (0 backwards, 1/2 stand, 1 forwards).  It asks for up to `top` degrees and units a tick, which the robot
    approaches by `slew` a tick, and holds for `repeat` ticks.  A robot that would come nearer to a wall than its
    radius stays where it is.

    An observation is a one, six ranges as parts of `sight`, and which quadrant the goal is in: ahead, right, behind,
    left.  The reward is zero until the episode ends, then minus the distance to the goal.
    """

    ticks: int = eqx.field(static=True, default=400)
    """Length of an episode; a last action may be held for less than `repeat`."""
    repeat: int = eqx.field(static=True, default=3)
    stop: bool = eqx.field(static=True, default=True)
    """Reaching the goal terminates the episode."""
    opaque: bool = eqx.field(static=True, default=False)
    """Walls hide the goal from the radar."""
    radius: float = eqx.field(static=True, default=8.0)
    sight: float = eqx.field(static=True, default=100.0)
    near: float = eqx.field(static=True, default=10.0)
    """The goal is reached below this distance."""
    slew: float = eqx.field(static=True, default=0.2)
    top: float = eqx.field(static=True, default=3.0)

    @property
    def steps(self) -> int:
        """Actions of an episode."""
        return -(-self.ticks // self.repeat)

    def reset(self, key: Key, params: MazeParams) -> tuple[State, Float[Array, " 11"]]:
        del key  # every episode begins alike
        params, zero = jax.tree.map(jnp.asarray, params), jnp.zeros(())
        state = State(params.start, params.heading, zero, zero, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        return state, self.observe(state, params)

    def step(self, key: Key, state: State, action: Float[Array, " 2"], params: MazeParams) -> Transition:
        del key
        params = jax.tree.map(jnp.asarray, params)
        for _ in range(self.repeat):
            moved = self._tick(state, action, params)
            going = (state.time < self.ticks) & ~(self.stop & state.reached)
            state = jax.tree.map(lambda new, old, going=going: jnp.where(going, new, old), moved, state)
        terminated = self.stop & state.reached
        truncated = (state.time >= self.ticks) & ~terminated
        reward = jnp.where(terminated | truncated, -distance(state.position, params.goal), 0.0)
        return Transition(state, self.observe(state, params), reward, terminated, truncated)

    def observe(self, state: State, params: MazeParams) -> Float[Array, " 11"]:
        """What the robot senses."""
        ranges = sighted(state.position, state.heading + jnp.array(RANGEFINDERS), params.walls, self.sight)
        seen = quadrant(state.position, state.heading, params.goal)
        if self.opaque:
            seen = seen & ~hidden(state.position, params.goal, params.walls)
        return jnp.concatenate([jnp.ones(1), ranges / self.sight, seen])

    def _tick(self, state: State, action: Float[Array, " 2"], params: MazeParams) -> State:
        wanted = 2 * self.top * (jnp.clip(action, 0, 1) - 0.5)
        turning, speed = (
            jnp.clip(now + jnp.clip(goal - now, -self.slew, self.slew), -self.top, self.top)
            for now, goal in ((state.turning, wanted[0]), (state.speed, wanted[1]))
        )
        angle = jnp.deg2rad(state.heading)
        target = state.position + speed * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        position = jnp.where(clearance(target, params.walls) < self.radius, state.position, target)
        reached = state.reached | (distance(position, params.goal) < self.near)
        return State(position, (state.heading + turning) % 360, turning, speed, state.time + 1, reached)


def distance(a: Float[Array, " 2"], b: Float[Array, " 2"]) -> Float[Array, ""]:
    """Of two points."""
    return jnp.sqrt(jnp.sum((a - b) ** 2))


def clearance(point: Float[Array, " 2"], walls: Float[Array, "w 4"]) -> Float[Array, ""]:
    """The distance to the nearest wall."""
    x1, y1, x2, y2 = walls.T
    along = ((point[0] - x1) * (x2 - x1) + (point[1] - y1) * (y2 - y1)) / _squared(walls)
    along = jnp.clip(along, 0, 1)
    dx, dy = x1 + along * (x2 - x1) - point[0], y1 + along * (y2 - y1) - point[1]
    return jnp.sqrt(jnp.min(jnp.where(_real(walls), dx**2 + dy**2, jnp.inf)))


def sighted(
    point: Float[Array, " 2"], angles: Float[Array, " r"], walls: Float[Array, "w 4"], sight: float
) -> Float[Array, " r"]:
    """How far one can look from a point in the given directions, at most `sight`."""
    angles = jnp.deg2rad(angles)[:, None]
    return jnp.minimum(_crossings(point, jnp.cos(angles), jnp.sin(angles), walls).min(axis=1), sight)


def hidden(point: Float[Array, " 2"], goal: Float[Array, " 2"], walls: Float[Array, "w 4"]) -> Bool[Array, ""]:
    """A wall stands between two points."""
    dx, dy = goal - point
    return (_crossings(point, dx[None, None], dy[None, None], walls) < 1).any()


def quadrant(point: Float[Array, " 2"], heading: Float[Array, ""], goal: Float[Array, " 2"]) -> Bool[Array, " 4"]:
    """Whether the goal is ahead (-45 to 45 degrees from the heading), right of it, behind, left of it."""
    angle = jnp.deg2rad(heading)
    dx, dy = goal - point
    x, y = dx * jnp.cos(angle) + dy * jnp.sin(angle), dy * jnp.cos(angle) - dx * jnp.sin(angle)
    return jnp.stack([(y >= -x) & (y < x), (y >= x) & (y > -x), (y <= -x) & (y > x), (y <= x) & (y < -x)])


def _crossings(
    point: Float[Array, " 2"], dx: Float[Array, "r 1"], dy: Float[Array, "r 1"], walls: Float[Array, "w 4"]
) -> Float[Array, "r w"]:
    """After how many lengths of (dx, dy) a ray from the point meets each wall; infinity: never."""
    x, y = walls[:, 0] - point[0], walls[:, 1] - point[1]
    ex, ey = walls[:, 2] - walls[:, 0], walls[:, 3] - walls[:, 1]
    across = dx * ey - dy * ex
    parallel = across == 0
    scale = 1 / jnp.where(parallel, 1, across)
    along, part = (x * ey - y * ex) * scale, (x * dy - y * dx) * scale
    return jnp.where(~parallel & (along >= 0) & (part >= 0) & (part <= 1), along, jnp.inf)


def _real(walls: Float[Array, "w 4"]) -> Bool[Array, " w"]:
    return (walls[:, :2] != walls[:, 2:]).any(axis=1)


def _squared(walls: Float[Array, "w 4"]) -> Float[Array, " w"]:
    """Squared lengths, 1 for walls without one."""
    return jnp.where(_real(walls), ((walls[:, 2:] - walls[:, :2]) ** 2).sum(axis=1), 1)


def padded(params: MazeParams, walls: int) -> MazeParams:
    """The same maze with as many walls, the last of them without length."""
    missing = walls - len(params.walls)
    if missing < 0:
        raise UsageError(f"`walls` is {walls}, but the maze has {len(params.walls)}: give at least as many.")
    return MazeParams.of(np.pad(np.asarray(params.walls), ((0, missing), (0, 0))), *params[1:])


def divided_maze(seed: int, cells: int = 20, splits: int = 5, size: float = 20.0) -> MazeParams:
    """A square of rooms: a room is divided by a wall with one door, then one of its parts, and so on.

    The mazes of Huizinga & Clune (2018), https://arxiv.org/abs/1807.03392, in which the robot has a radius of 4
    (their `recursive_split.hpp`): of two parts, a coin decides which is divided again, and the direction of a wall.
    Start, its heading and goal are random.  Every maze of equal `splits` has equally many walls.

    Args:
        seed: Of the maze.
        cells: A side of the square; a door is one cell wide.
        splits: Walls with a door.
        size: A side of a cell.
    """
    if cells < 2 or not 0 <= splits <= cells**2 // 4:
        raise UsageError(f"`cells` is {cells}, `splits` {splits}: give two cells or more, a split for every four.")
    random = np.random.default_rng(seed)
    tree = [(0, 0, cells, cells)]
    walls = [(0, 0, cells, 0), (cells, 0, cells, cells), (cells, cells, 0, cells), (0, cells, 0, 0)]
    for _ in range(splits):
        walls += _divide(random, tree)
    start, goal = random.choice(cells**2, 2, replace=False)
    first, last = (size * np.array((at % cells + 0.5, at // cells + 0.5)) for at in (start, goal))
    return MazeParams.of(size * np.array(walls, float), first, last, random.uniform(0, 360))


def _divide(random: np.random.Generator, tree: list[Any]) -> list[tuple[int, int, int, int]]:
    """Divide a room of the tree, in place, and give the wall on both sides of the door; nothing if it is too narrow.

    A tree is a list of one room, or of the two trees that it was divided into.
    """
    if len(tree) == 2:
        first = int(random.integers(2))
        return _divide(random, tree[first]) or _divide(random, tree[1 - first])
    x1, y1, x2, y2 = tree[0]
    if min(x2 - x1, y2 - y1) <= 1:
        return []
    if random.integers(2):
        at, door = int(random.integers(y1 + 1, y2)), int(random.integers(x1, x2))
        tree[:] = [[(x1, y1, x2, at)], [(x1, at, x2, y2)]]
        return [(x1, at, door, at), (door + 1, at, x2, at)]
    at, door = int(random.integers(x1 + 1, x2)), int(random.integers(y1, y2))
    tree[:] = [[(x1, y1, at, y2)], [(at, y1, x2, y2)]]
    return [(at, y1, at, door), (at, door + 1, at, y2)]


class Distances(NamedTuple):
    """How far a robot has to drive to the goal from everywhere, as a table."""

    table: Float[Array, "*b x y"]
    low: Float[Array, "*b 2"]
    cell: Float[Array, "*b"]
    """A side of a cell of the table."""

    def at(self, position: Float[Array, " 2"]) -> Float[Array, ""]:
        """From one place; beyond the table, from the nearest cell."""
        place = jnp.floor((position - self.low) / self.cell).astype(int)
        x, y = jnp.clip(place, 0, jnp.array(self.table.shape) - 1)
        return jnp.asarray(self.table)[x, y]


def geodesic(params: MazeParams, resolution: int = 192, radius: float = 8.0) -> Distances:
    """The distances to the goal around the walls of one maze, along steps between neighbouring cells of a table.

    A step leads to one of eight neighbours, so a distance is up to 8 % above that of the straightest path.  Where a
    robot cannot be, and from where it cannot come, the distance is the largest of all.

    Args:
        params: The maze.
        resolution: Cells of the table along the longer side of the maze.
        radius: Of the robot: gaps that it does not fit through are closed.
    """
    walls = np.asarray(params.walls, np.float32)
    return _geodesic(walls.tobytes(), np.asarray(params.goal, np.float32).tobytes(), resolution, radius)


@lru_cache(maxsize=1024)
def _geodesic(walls_: bytes, goal_: bytes, resolution: int, radius: float) -> Distances:
    walls, goal = np.frombuffer(walls_, np.float32).reshape(-1, 4), np.frombuffer(goal_, np.float32)
    real = walls[(walls[:, :2] != walls[:, 2:]).any(axis=1)]
    corners = real.reshape(-1, 2)
    low, high = corners.min(axis=0), corners.max(axis=0)
    cell = float((high - low).max()) / resolution
    if cell > radius / 2:
        raise UsageError(f"`resolution` is {resolution}: cells may be half of `radius` at most; give a larger one.")
    shape = np.maximum(np.ceil((high - low) / cell - 1e-4), 1).astype(int)
    axes = [low[i] + cell * (np.arange(shape[i]) + 0.5) for i in (0, 1)]
    centres = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    free = (_clearances(centres, real) >= radius - cell).reshape(shape)
    x, y = np.clip(((goal - low) / cell).astype(int), 0, shape - 1)
    if not free[x, y]:
        raise UsageError(f"the goal {goal.tolist()} is nearer to a wall than `radius` {radius}: give a smaller one.")
    found = dijkstra(_steps(free, cell), directed=False, indices=int(x * shape[1] + y))
    found = np.where(np.isfinite(found), found, found[np.isfinite(found)].max())
    leaves: Any = (found.reshape(shape).astype(np.float32), low, np.asarray(cell, np.float32))
    return Distances(*leaves)


def _clearances(points: Float[np.ndarray, "n 2"], walls: Float[np.ndarray, "w 4"]) -> Float[np.ndarray, " n"]:
    least = np.full(len(points), np.inf)
    for a, b in zip(walls[:, :2], walls[:, 2:], strict=True):
        along = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        least = np.minimum(least, np.hypot(*(a + along[:, None] * (b - a) - points).T))
    return least


def _steps(free: Bool[np.ndarray, "x y"], cell: float) -> csr_array:
    """The lengths of the steps between free neighbours."""
    (width, height), number = free.shape, np.arange(free.size).reshape(free.shape)
    parts = []
    for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1)):
        here = np.s_[: width - dx, max(0, -dy) : height - max(0, dy)]
        there = np.s_[dx:, max(0, dy) : height + min(0, dy)]
        both = free[here] & free[there]
        parts.append((number[here][both], number[there][both], np.full(both.sum(), cell * np.hypot(dx, dy))))
    a, b, length = (np.concatenate(part) for part in zip(*parts, strict=True))
    return csr_array((length, (a, b)), shape=(free.size, free.size))
