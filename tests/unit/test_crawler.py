import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.core.protocols import Env
from aiga.envs.crawler import Crawler, moved
from aiga.learners.episodes import play

BODY = Crawler(horizon=32)


def crawl(params=None) -> tuple[float, list[float], list[float]]:
    """How far, to where and with which feet on the floor a trot leads: two legs push while the others come back."""
    turn = jnp.array([1.0, 1, -1, -1]) * jnp.array([1.0, -1, 1, -1])
    pair = jnp.array([1.0, -1, 1, -1])

    def trot(key, genome, seen, carry):
        swing = jnp.where(seen[0] >= 0, 1, -1) * turn
        lift = jnp.where(seen[0] >= 0, -1, 1) * pair
        return jnp.concatenate([0.5 * swing, lift]), carry

    params = BODY.params if params is None else params
    played = play(
        jax.random.key(0), BODY, params, trot, jnp.zeros(1), 99, watch=lambda after: BODY.touching(after.state)
    )
    return float(played.returned[0]), played.state.position[0].tolist(), (played.watched[0] / 32).tolist()


def test_feet_that_push_back_shift_the_body_forward_and_opposite_sides_turn_it():
    feet = jnp.array([[1.0, 1], [-1, 1], [-1, -1], [1, -1]])
    back = jnp.tile(jnp.array([-0.1, 0]), (4, 1))
    shift, turn = moved(feet, back, jnp.ones(4), 0.0)
    assert np.allclose(shift, [0.1, 0])
    assert abs(float(turn)) < 1e-7
    shift, turn = moved(feet, back, jnp.ones(4), 4.0)
    assert np.allclose(shift, [0.05, 0])
    _, turn = moved(feet, back * jnp.array([[1.0], [1], [-1], [-1]]), jnp.ones(4), 0.0)
    assert np.isclose(float(turn), -0.05), "left feet push back, right feet forward: to the right"
    shift, turn = moved(feet, back, jnp.zeros(4), 0.3)
    assert (*shift.tolist(), float(turn)) == (0, 0, 0)


def test_a_trot_leads_forward_and_its_feet_touch_the_floor_half_of_the_time():
    assert isinstance(BODY, Env)
    way, place, touched = crawl()
    assert way > 1.2
    assert np.isclose(way, place[0])
    assert np.allclose(touched, 0.5, atol=0.1)


def test_a_damaged_leg_makes_the_same_trot_worse():
    way, _, _ = crawl()
    assert crawl(BODY.damaged(0))[0] < 0.8 * way
    assert np.isclose(crawl(BODY.damaged(4))[2][0], 1, atol=0.05), "a foot that cannot be lifted drags"


def test_joints_that_are_not_there_are_refused():
    for joint in (-1, 8):
        with pytest.raises(UsageError, match=f"no joint {joint}"):
            BODY.damaged(joint)
