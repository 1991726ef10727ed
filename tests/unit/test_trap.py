import jax
import jax.numpy as jnp
import pytest

from aiga.core.protocols import Env
from aiga.envs.trap import TRAP, Trap, crosses
from aiga.learners.episodes import play


def driven(*actions: tuple[float, float]) -> list[list[float]]:
    """Where the point is after each action."""
    trap, places = Trap(speed=2.0), []
    state, _ = trap.reset(jax.random.key(0))
    step = jax.jit(trap.step)
    for action in actions:
        state = step(jax.random.key(0), state, jnp.array(action, float)).state
        places.append(state.position.tolist())
    return places


def test_the_wall_stops_who_goes_forward_and_who_goes_back_first_gets_around_it():
    assert driven((1, 0), (1, 0), (1, 0)) == [[2, 0], [4, 0], [4, 0]]
    around = driven((-1, 0), (0, 1), (0, 1), (0, 1), (1, 0), (1, 0), (1, 0), (1, 0), (1, 0))
    assert around[-1] == [8, 6]


def test_the_return_is_where_the_point_ends():
    trap = Trap(horizon=7)
    assert isinstance(trap, Env)
    played = play(jax.random.key(0), trap, None, lambda key, genome, seen, carry: (genome, carry), jnp.eye(2), 99)
    assert played.length.tolist() == [7, 7]
    assert played.returned.tolist() == [3.5, 0]
    assert played.state.position.tolist() == [[3.5, 0], [0, 3.5]]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ((0, 0), (6, 0), True),
        ((0, 0), (-6, 0), False),
        ((6, 0), (7, 0), False),
        ((4, 4), (4, 6), True),
        ((0, 0), (0, 0), False),
    ],
)
def test_the_trap_is_open_behind_alone(start, end, expected):
    assert bool(crosses(jnp.array(start, float), jnp.array(end, float), TRAP)) is expected
