import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.core.protocols import Env
from aiga.core.trees import take
from aiga.envs import rooms
from aiga.envs.rooms import Rooms, State

CORRIDOR = """
#######
#@aA $#
#######
"""
UP, RIGHT, DOWN, LEFT = range(4)
KEY = jax.random.key(0)


def play(layout, actions, view="vector"):
    """All transitions of the actions from the reset."""
    env = Rooms(view)
    state, _ = env.reset(KEY, layout)
    transitions = []
    for action in actions:
        transitions.append(env.step(KEY, state, jnp.array(action), layout))
        state = transitions[-1].state
    return transitions


def shortest(layout):
    """Steps of the shortest way to the goal, by breadth-first search over all states."""
    env = Rooms("vector")
    advance = jax.jit(jax.vmap(jax.vmap(env.step, (None, None, 0, None)), (None, 0, None, None)))
    frontier = jax.tree.map(lambda x: x[None], env.reset(KEY, layout)[0])
    known, steps = set(), 0
    while True:
        steps += 1
        after = advance(KEY, frontier, jnp.arange(4), layout)
        if bool(after.terminated.any()):
            return steps
        states = jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), after.state)
        rows = np.concatenate([states.position, states.taken, states.opened], axis=1)
        fresh = [i for i, row in enumerate(rows) if (mark := row.tobytes()) not in known and not known.add(mark)]
        assert fresh, "the goal cannot be reached"
        few_shapes = np.resize(fresh, 2 ** int(np.ceil(np.log2(len(fresh)))))
        frontier = jax.tree.map(jnp.array, take(states, few_shapes))


def test_walls_stop_the_agent_and_time_passes():
    after = play(rooms.draw(CORRIDOR), [UP, LEFT])
    assert after[-1].state.position.tolist() == [1, 1]
    assert int(after[-1].state.time) == 2


def test_the_edge_of_a_drawing_without_walls_stops_the_agent_too():
    assert play(rooms.draw("@$"), [UP])[0].state.position.tolist() == [0, 0]


def test_a_key_opens_one_door_of_its_colour_and_is_used_up():
    layout = rooms.draw("@aAA$")
    after = play(layout, [RIGHT] * 4)
    held = [rooms.carried(t.state, layout).tolist() for t in after]
    assert held == [[1], [0], [0], [0]]
    assert [t.state.position[1].item() for t in after] == [1, 2, 2, 2]
    assert after[-1].state.opened.tolist() == [True, False]


def test_a_door_stays_closed_without_a_key_of_its_colour():
    after = play(rooms.draw("bB@A$"), [RIGHT, LEFT])
    assert [t.state.position[1].item() for t in after] == [2, 2]
    after = play(rooms.draw("b@A$"), [LEFT, RIGHT, RIGHT])
    assert after[-1].state.position.tolist() == [0, 1]


def test_the_goal_is_worth_one_and_terminates():
    after = play(rooms.draw(CORRIDOR, limit=4), [RIGHT] * 4)
    assert [t.reward.item() for t in after] == [0, 0, 0, 1]
    assert [t.terminated.item() for t in after] == [False, False, False, True]
    assert not after[-1].truncated


def test_the_limit_truncates_and_does_not_terminate():
    after = play(rooms.draw(CORRIDOR, limit=2), [UP, UP])
    assert [t.truncated.item() for t in after] == [False, True]
    assert not after[-1].terminated


def test_planes_show_walls_goal_agent_keys_doors_and_what_is_carried():
    layout = rooms.draw("@aA$#")
    env = Rooms()
    _, before = env.reset(KEY, layout)
    assert before[:, 0].tolist() == [
        [0, 0, 0, 0, 1], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0],
    ]  # fmt: skip
    after = play(layout, [RIGHT, RIGHT], "planes")
    assert after[0].observation[2:, 0].tolist() == [[0, 1, 0, 0, 0], [0] * 5, [0, 0, 1, 0, 0], [1] * 5]
    assert after[1].observation[2:, 0].tolist() == [[0, 0, 1, 0, 0], [0] * 5, [0] * 5, [0] * 5]


def test_a_vector_shows_row_column_keys_and_doors():
    assert play(rooms.draw(CORRIDOR), [RIGHT])[0].observation.tolist() == [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]


def test_places_and_progress_are_numbers():
    layout = rooms.draw(CORRIDOR)
    after = play(layout, [RIGHT, RIGHT])
    assert [int(rooms.place(t.state, layout)) for t in after] == [7 + 2, 7 + 3]
    assert [int(rooms.progress(t.state)) for t in after] == [1, 3]


def test_a_saved_state_goes_on_like_the_first_time():
    layout, env = rooms.key_rooms(), Rooms()
    after = play(layout, [RIGHT, RIGHT, DOWN, RIGHT], "planes")
    saved = State(*map(jnp.array, jax.device_get(after[1].state)))
    again = env.step(KEY, saved, jnp.array(DOWN), layout)
    assert jax.tree.all(jax.tree.map(np.array_equal, again, after[2]))


@pytest.mark.parametrize(
    ("layout", "steps"), [(rooms.key_rooms(), 60), (rooms.key_rooms(4), 84), (rooms.key_maze(), 178)]
)
def test_the_shortest_way_takes_as_long_as_documented(layout, steps):
    assert shortest(layout) == steps
    assert layout.limit > steps


def test_many_worlds_step_at_once():
    env, layout = Rooms(), rooms.key_maze()
    assert isinstance(env, Env)
    state, _ = jax.vmap(env.reset, (0, None))(jax.random.split(KEY, 3), layout)
    after = jax.jit(jax.vmap(env.step, (None, 0, 0, None)))(KEY, state, jnp.array([UP, RIGHT, DOWN]), layout)
    assert after.state.position.tolist() == [[1, 1], [1, 2], [2, 1]]
    assert after.observation.shape == (3, 3 + 3 * 4, 21, 21)


def test_the_picture_shows_the_agent_and_what_is_left():
    layout = rooms.draw(CORRIDOR)
    after = play(layout, [RIGHT, RIGHT])
    whole, later = rooms.picture(layout), rooms.picture(layout, after[-1].state)
    assert whole.shape == later.shape == (36, 84, 3)
    centres = [[image[18, 12 * column + 6].tolist() for column in range(7)] for image in (whole, later)]
    wall, floor, agent, red, goal = [70] * 3, [245] * 3, [20] * 3, [230, 60, 60], [60, 180, 90]
    assert centres == [[wall, agent, red, red, floor, goal, wall], [wall, floor, floor, agent, floor, goal, wall]]


@pytest.mark.parametrize("text", ["@", "$", "@@$", "@$1", "@$é"])
def test_a_drawing_that_is_no_world_is_refused(text):
    with pytest.raises(UsageError, match="one `@` and one `\\$`"):
        rooms.draw(text)


def test_rooms_without_corridors_are_refused():
    with pytest.raises(UsageError, match="corridors"):
        rooms.key_rooms(0)


def test_a_world_needs_a_limit_above_zero():
    with pytest.raises(UsageError, match="limit"):
        rooms.draw("@$", limit=0)
