import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.protocols import Env
from aiga.envs.playroom import DROP, FORWARD, LEFT, NOTHING, PICK_UP, RIGHT, TEXTS, THINGS, TOGGLE, Playroom
from aiga.learners.commands import ItemWorld

WORLD = Playroom(side=5, horizon=9)
RED_BALL, GREEN_BALL, RED_BOX, RED_DOOR = (
    THINGS.index(thing) for thing in (("red", "ball"), ("green", "ball"), ("red", "box"), ("red", "door"))
)
reset = jax.jit(WORLD.reset)
step = jax.jit(WORLD.step)


def room(**places):
    """The agent in the middle, looking up; the given things where told, all others out of reach."""
    state, _ = reset(jax.random.key(0))
    far = jnp.full_like(state.places, 99)
    for thing, place in places.items():
        far = far.at[int(thing[1:])].set(jnp.array(place))
    return state._replace(position=jnp.array([2, 2]), heading=jnp.array(0), places=far)


def play(state, *actions):
    """The states and what happened in each, in words."""
    told = []
    for action in actions:
        after = step(jax.random.key(0), state, jnp.array(action))
        state = after.state
        told.append([text for text, happened in zip(TEXTS, WORLD.obtained(state).tolist(), strict=True) if happened])
    return state, told


def at(thing, row, column):
    return {f"t{thing}": (row, column)}


def test_a_playroom_is_an_environment_of_items():
    assert isinstance(WORLD, Env)
    assert isinstance(WORLD, ItemWorld)
    assert len(set(TEXTS)) == 36
    assert TEXTS[:9] == [
        "go to a ball", "go to a key", "go to a box", "go to a door", "pick up a ball", "pick up a key",
        "pick up a box", "open a box", "open a door",
    ]  # fmt: skip


def test_the_agent_turns_and_walks_but_not_through_walls():
    state, _ = play(room(), FORWARD, FORWARD, FORWARD, RIGHT, FORWARD)
    assert (state.position.tolist(), int(state.heading)) == ([0, 3], 1)
    state, _ = play(room(), LEFT, FORWARD)
    assert (state.position.tolist(), int(state.heading)) == ([2, 1], 3)


def test_who_stands_before_a_thing_has_gone_to_it_and_cannot_go_on():
    state, told = play(room(**at(RED_BALL, 0, 2)), FORWARD, FORWARD, RIGHT)
    assert told == [["go to a ball", "go to the red ball"]] * 2 + [[]]
    assert state.position.tolist() == [1, 2]


def test_one_thing_at_a_time_is_picked_up_and_dropped_before_the_agent():
    state, told = play(room(**at(RED_BALL, 1, 2), **at(GREEN_BALL, 2, 3)), PICK_UP, RIGHT, PICK_UP)
    assert told[0] == ["pick up a ball", "pick up the red ball"]
    assert told[2] == ["go to a ball", "go to the green ball"]
    assert int(state.carried) == RED_BALL
    state, told = play(state, DROP, LEFT, DROP)
    assert told[2] == ["go to a ball", "go to the red ball"]
    assert (int(state.carried), state.places[RED_BALL].tolist()) == (NOTHING, [1, 2])


def test_boxes_and_doors_open_and_shut_and_doors_cannot_be_taken():
    state, told = play(room(**at(RED_BOX, 1, 2)), TOGGLE, TOGGLE)
    assert told[0] == ["go to a box", "open a box", "go to the red box", "open the red box"]
    assert told[1] == ["go to a box", "go to the red box"]
    state, told = play(room(**at(RED_DOOR, -1, 2)), FORWARD, FORWARD, FORWARD, PICK_UP, TOGGLE)
    assert told[3] == ["go to a door", "go to the red door"]
    assert "open the red door" in told[4]
    assert state.position.tolist() == [0, 2]
    _, told = play(room(**at(RED_BALL, 1, 2)), TOGGLE)
    assert told == [["go to a ball", "go to the red ball"]]


@pytest.mark.parametrize(("turns", "seen"), [(0, (0.2, 0.0)), (1, (0.0, -0.2)), (2, (-0.2, 0.0)), (3, (0.0, 0.2))])
def test_the_agent_sees_how_far_ahead_and_to_the_right_things_are(turns, seen):
    observation = WORLD.observe(room(**at(RED_BALL, 1, 2))._replace(heading=jnp.array(turns)))
    k = len(THINGS)
    assert (float(observation[RED_BALL]), float(observation[k + RED_BALL])) == pytest.approx(seen)
    assert float(observation[-1]) == (turns == 0)  # the way is blocked


def test_every_room_has_all_things_at_places_of_their_own_doors_in_the_walls():
    states, _ = jax.jit(jax.vmap(WORLD.reset))(jax.random.split(jax.random.key(0), 50))
    places = np.concatenate([np.asarray(states.places), np.asarray(states.position)[:, None]], axis=1)
    assert all(len({tuple(place) for place in room}) == len(THINGS) + 1 for room in places.tolist())
    inside = ((places >= 0) & (places < 5)).all(axis=2)
    assert inside.tolist() == [[kind != "door" for _, kind in THINGS] + [True]] * 50
    beyond = places[:, [kind == "door" for _, kind in THINGS] + [False]]
    assert (np.isin(beyond, (-1, 5)).sum(axis=2) == 1).all()


def test_an_episode_runs_out_of_time():
    ends = [step(jax.random.key(0), room()._replace(time=jnp.array(t)), jnp.array(LEFT)).truncated for t in (7, 8)]
    assert [bool(end) for end in ends] == [False, True]
