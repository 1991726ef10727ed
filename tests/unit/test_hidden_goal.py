import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.core.protocols import Env
from aiga.envs.hidden_goal import HiddenGoal, State

ENV = HiddenGoal(side=5, length=20)
UP, RIGHT, DOWN, LEFT = (jnp.array(move) for move in range(4))


def at(place, goal, time=3):
    return State(jnp.array(place), jnp.array(goal), jnp.array(time))


def test_walls_stand_around_and_wherever_both_numbers_are_even_but_for_the_centre():
    drawn = ["".join("#" if wall else "." for wall in row) for row in HiddenGoal(side=9).walls]
    assert drawn == [
        "#########", "#.......#", "#.#.#.#.#", "#.......#", "#.#...#.#", "#.......#", "#.#.#.#.#", "#.......#",
        "#########",
    ]  # fmt: skip
    assert "".join("#" if wall else "." for wall in HiddenGoal(side=7).walls[3]) == "#.....#"


def test_a_step_into_a_wall_leads_nowhere():
    assert ENV.step(jax.random.key(0), at((1, 1), (3, 3)), UP, ()).state.place.tolist() == [1, 1]
    assert ENV.step(jax.random.key(0), at((1, 1), (3, 3)), RIGHT, ()).state.place.tolist() == [1, 2]
    assert ENV.step(jax.random.key(0), at((1, 1), (3, 3)), DOWN, ()).state.place.tolist() == [2, 1]


def test_whoever_steps_on_the_goal_is_rewarded_and_put_elsewhere_while_it_stays():
    moved = [ENV.step(key, at((3, 2), (3, 3)), RIGHT, ()) for key in jax.random.split(jax.random.key(0), 30)]
    assert {float(after.reward) for after in moved} == {10.0}
    assert {tuple(after.state.goal.tolist()) for after in moved} == {(3, 3)}
    places = {tuple(after.state.place.tolist()) for after in moved}
    assert (3, 3) not in places
    assert len(places) > 4
    assert all(not ENV.walls[place] for place in places)


def test_walls_time_reward_and_the_last_step_are_seen_but_not_the_goal():
    after = ENV.step(jax.random.key(0), at((1, 1), (3, 3)), RIGHT, ())
    around = [1, 1, 1, 0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(after.observation, [*around, 1, 4 / 20, 0, 0, 1, 0, 0])
    elsewhere = ENV.step(jax.random.key(0), at((1, 1), (3, 1)), RIGHT, ())
    np.testing.assert_array_equal(after.observation, elsewhere.observation)
    assert ENV.step(jax.random.key(0), at((3, 2), (3, 3)), RIGHT, ()).observation[11] == 1


def test_a_life_begins_in_the_centre_and_ends_after_its_steps():
    state, seen = ENV.reset(jax.random.key(0), ())
    assert isinstance(ENV, Env)
    assert state.place.tolist() == [2, 2]
    assert state.goal.tolist() != [2, 2]
    assert seen.shape == (ENV.features,)
    assert ENV.step(jax.random.key(0), at((1, 1), (3, 3), time=19), UP, ()).truncated
    assert not ENV.step(jax.random.key(0), at((1, 1), (3, 3), time=18), UP, ()).truncated


@pytest.mark.parametrize("side", [3, 8])
def test_an_even_or_a_tiny_maze_is_refused(side):
    with pytest.raises(UsageError, match=f"`side` is {side}: give an odd number from 5"):
        HiddenGoal(side=side)
