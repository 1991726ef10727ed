"""Rooms: a grid world of keys and doors with one reward, at the end.

Four moves, as in a maze; the rest is as in Montezuma's Revenge: walking over a key takes it, walking into a closed
door with a key of its colour opens the door and uses the key up.  Reaching the goal gives 1 and terminates the episode;
`limit` steps truncate it.  A world is drawn as text (`draw`): its genome is a `Layout`.
"""

from typing import Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int8, UInt8

from aiga.core.errors import UsageError
from aiga.core.protocols import Key, Transition

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Rows and columns: up, right, down, left."""

KEY_MAZE = """
#####################
#@   #    #    #   a#
#                   #
#                   #
#    #    #    #    #
##A##############B###
#    #    #   b#    #
#              #    #
#              #    #
#    #    #    #    #
##C##############  ##
#    #    #   d#    #
#              #    #
#              #    #
#    #    #    #   c#
#######D#############
#    #    #    #    #
#                   #
#                   #
#    #    #    #   $#
#####################
"""
"""Sixteen rooms, four keys: every key opens the way to the next, across the first corridor again and again."""


class Layout(NamedTuple):
    """The genome of a world: where everything is."""

    walls: Bool[Array, "h w"]
    start: Int[Array, " 2"]
    """Row and column."""
    goal: Int[Array, " 2"]
    keys: Int[Array, "k 2"]
    key_colours: Int[Array, "k c"]
    """One-hot."""
    doors: Int[Array, "d 2"]
    door_colours: Int[Array, "d c"]
    """One-hot."""
    limit: Int[Array, ""]
    """Steps of an episode."""


class State(NamedTuple):
    """A moment of an episode."""

    position: Int[Array, " 2"]
    taken: Bool[Array, " k"]
    opened: Bool[Array, " d"]
    time: Int[Array, ""]


class Rooms(eqx.Module):
    """Take keys, open doors, reach the goal.

    What the agent observes (`view`): "planes", the map as seen from above in channels of 0 and 1: wall, goal, agent,
    keys that lie there by colour, closed doors by colour, and for each colour whether a key is carried, everywhere
    alike; or "vector", for one fixed layout: its row and its column one-hot, keys taken, doors opened.
    """

    view: Literal["planes", "vector"] = eqx.field(static=True, default="planes")
    actions: int = eqx.field(static=True, default=len(MOVES))

    def reset(self, key: Key, params: Layout) -> tuple[State, Array]:
        del key  # every episode begins alike
        nothing = jnp.zeros(len(params.keys), bool), jnp.zeros(len(params.doors), bool)
        state = State(params.start, *nothing, jnp.zeros((), jnp.int32))
        return state, self.observe(state, params)

    def step(self, key: Key, state: State, action: Int[Array, ""], params: Layout) -> Transition:
        del key
        corner = jnp.array(params.walls.shape) - 1
        target = jnp.clip(state.position + jnp.array(MOVES)[action], 0, corner)
        door = (params.doors == target).all(axis=1) & ~state.opened
        fits = door & (params.door_colours @ carried(state, params) > 0)
        blocked = params.walls[target[0], target[1]] | (door & ~fits).any()
        position = jnp.where(blocked, state.position, target)
        taken = state.taken | (params.keys == position).all(axis=1)
        state = State(position, taken, state.opened | fits, state.time + 1)
        terminated = (position == params.goal).all()
        truncated = (state.time >= params.limit) & ~terminated
        return Transition(state, self.observe(state, params), terminated.astype(float), terminated, truncated)

    def observe(self, state: State, params: Layout) -> Int8[Array, "channels h w"] | Float[Array, " features"]:
        """What the agent sees."""
        rows, columns = params.walls.shape
        row, column = jnp.arange(rows) == state.position[0], jnp.arange(columns) == state.position[1]
        if self.view == "vector":
            return jnp.concatenate([row, column, state.taken, state.opened]).astype(float)
        goal = _planes(params.goal[None], jnp.ones((1, 1), bool), params)
        lying = _planes(params.keys, (params.key_colours > 0) & ~state.taken[:, None], params)
        closed = _planes(params.doors, (params.door_colours > 0) & ~state.opened[:, None], params)
        has = jnp.broadcast_to(
            (carried(state, params) > 0)[:, None, None], (params.key_colours.shape[1], rows, columns)
        )
        agent = row[:, None] & column
        return jnp.concatenate([params.walls[None], goal, agent[None], lying, closed, has]).astype(jnp.int8)


def carried(state: State, params: Layout) -> Int[Array, " c"]:
    """Keys in hand, by colour."""
    return state.taken @ params.key_colours - state.opened @ params.door_colours


def place(state: State, params: Layout) -> Int[Array, ""]:
    """The number of the square the agent is on, below height x width."""
    return state.position[0] * params.walls.shape[1] + state.position[1]


def progress(state: State) -> Int[Array, ""]:
    """Which keys were taken and which doors opened, as one number below 2 ** (keys + doors)."""
    bits = jnp.concatenate([state.taken, state.opened])
    return (bits * 2 ** jnp.arange(len(bits))).sum()


def draw(text: str, limit: int = 500) -> Layout:
    """The world of a drawing: `#` wall, `@` start, `$` goal, a small letter a key, its capital a door of that colour.

    Spaces are floor, and lines may end early.  Nothing leaves the drawing, walls at its border or not.

    Args:
        text: The drawing; empty first and last lines do not count.
        limit: Steps of an episode.
    """
    lines = text.strip("\n").split("\n")
    grid = np.array([list(line.ljust(max(map(len, lines)))) for line in lines])
    marks = sorted(set(grid.ravel()) - set("# @$"))
    odd = [mark for mark in marks if not (mark.isascii() and mark.isalpha())]
    if odd or (grid == "@").sum() != 1 or (grid == "$").sum() != 1 or limit < 1:
        given = f"odd marks {odd}, {(grid == '@').sum()} `@`, {(grid == '$').sum()} `$`, `limit` {limit}"
        raise UsageError(f"{given}: a drawing has `#`, spaces, letters, one `@` and one `$`, and a limit above zero.")
    colours = sorted({mark.lower() for mark in marks})
    keys, doors = ([(*at, letter) for at, letter in np.ndenumerate(grid) if letter in marks and pick(letter)]
                   for pick in (str.islower, str.isupper))  # fmt: skip
    return Layout(
        jnp.array(grid == "#"),
        jnp.array(np.argwhere(grid == "@")[0], jnp.int32),
        jnp.array(np.argwhere(grid == "$")[0], jnp.int32),
        *_things(keys, colours),
        *_things(doors, colours),
        jnp.array(limit, jnp.int32),
    )


def key_rooms(corridors: int = 3, limit: int = 300) -> Layout:
    """Corridors of three rooms, one above the other; a key at the far end of each but the last opens the next.

    Three corridors are 13 x 13 squares, and the shortest way to the goal takes 60 steps; four are 17 x 13, and 84.
    """
    if not 1 <= corridors <= 26:
        raise UsageError(f"`corridors` is {corridors}; there are letters for keys of 1 to 26.")
    lines = ["#############"]
    for i in range(corridors):
        start, key = "@" if i == 0 else " ", "$" if i == corridors - 1 else chr(ord("a") + i)
        far = "#   #   #  $#" if key == "$" else "#   #   #   #"
        near = f"#{start}  #   #   #" if key == "$" else f"#{start}  #   #  {key}#"
        lines += [near, "#           #", far, f"##{key.upper()}##########"]
    return draw("\n".join([*lines[:-1], "#############"]), limit)


def key_maze(limit: int = 600) -> Layout:
    """21 x 21 squares, four keys; the shortest way to the goal takes 178 steps."""
    return draw(KEY_MAZE, limit)


COLOURS = np.array([(230, 60, 60), (70, 120, 240), (240, 200, 40), (160, 80, 200), (240, 140, 40), (60, 190, 190)])


def picture(params: Layout, state: State | None = None, scale: int = 12) -> UInt8[np.ndarray, "height width 3"]:
    """The world from above, in colours; with a state: its agent, without the keys taken, with its doors open."""
    squares = np.where(np.asarray(params.walls)[..., None], 70, 245) * np.ones(3, int)
    image = np.kron(squares, np.ones((scale, scale, 1), int)).astype(np.uint8)
    middle, door = slice(scale // 4, scale - scale // 4), slice(0, scale)

    def paint(at: Array, colour: Int[np.ndarray, " 3"], part: slice) -> None:
        row, column = np.asarray(at) * scale
        image[row : row + scale, column : column + scale][part, part] = colour

    paint(params.goal, np.array((60, 180, 90)), door)
    for things, colours, gone, part in (
        (params.keys, params.key_colours, state and state.taken, middle),
        (params.doors, params.door_colours, state and state.opened, door),
    ):
        for i in range(len(things)):
            if gone is None or not gone[i]:
                paint(things[i], COLOURS[int(np.argmax(colours[i])) % len(COLOURS)], part)
    paint(params.start if state is None else state.position, np.array((20, 20, 20)), middle)
    return image


def _planes(places: Int[Array, "n 2"], shown: Bool[Array, "n c"], params: Layout) -> Bool[Array, "c h w"]:
    """Where something is shown, by colour."""
    rows, columns = (jnp.arange(size) == places[:, i, None] for i, size in enumerate(params.walls.shape))
    return (shown[:, :, None, None] & rows[:, None, :, None] & columns[:, None, None, :]).any(axis=0)


def _things(things: list[tuple[int, int, str]], colours: list[str]) -> tuple[Int[Array, "n 2"], Int[Array, "n c"]]:
    places = np.array([thing[:2] for thing in things], np.int32).reshape(-1, 2)
    one_hot = np.array([[thing[2].lower() == colour for colour in colours] for thing in things], np.int32)
    return jnp.array(places), jnp.array(one_hot.reshape(len(things), len(colours)))
