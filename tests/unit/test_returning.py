import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.archives.routes import Found, Routes, Walk
from aiga.envs.rooms import Rooms, draw, key_maze
from aiga.learners.returning import Chart, Returning, Seeker, Slippery, cell_of, stand
from aiga.nn.policy import make_policy

ROOM = """
#######
#@    #
#     #
#   $ #
#######
"""
WIDTH = 7
UP, RIGHT, DOWN, LEFT = range(4)


ENV = Returning(
    Slippery(Rooms("vector"), 0.0),
    window=3,
    patience=5,
    curiosity=4,
    blind=1.0,
    repeat=1.0,
    near=1,
    compass=2,
    heat=1.0,
)
RESET, STEP, ADD = eqx.filter_jit(ENV.reset), eqx.filter_jit(ENV.step), eqx.filter_jit(Routes.add)


def chart(squares, layout=None):
    """An archive that knows one way, and nothing else."""
    layout = draw(ROOM) if layout is None else layout
    cells = np.array([row * WIDTH + column for row, column in squares], np.int32)
    walk = Walk(np.resize(cells, 8)[None], np.zeros((1, 8), np.int32), np.array([len(cells)], np.int32))
    routes, _ = ADD(Routes.empty(layout.walls.size, 50, 8), Found(cells[-1:], np.zeros(1, np.float32), walk))
    return Chart(layout, routes)


def play(charts, actions):
    """Every transition; `charts` are the archive at the reset, and the one after it."""
    quest, _ = RESET(jax.random.key(9), charts[0])
    seen = []
    for i, action in enumerate(actions):
        seen.append(STEP(jax.random.key(i), quest, np.int32(action), charts[-1]))
        quest = seen[-1].state
    return seen


def test_every_cell_of_the_way_earns_1_and_the_last_3_and_then_exploring_begins():
    seen = play([chart([(1, 1), (1, 2), (1, 3)])], [RIGHT, UP, RIGHT])
    assert [float(t.reward) for t in seen] == [1, 0, 3]
    assert [bool(t.state.exploring) for t in seen] == [False, False, True]
    assert [bool(t.state.event.arrived) for t in seen] == [False, False, True]
    assert int(seen[0].state.goal) == WIDTH + 3


@pytest.mark.parametrize(
    ("way", "rewards"),
    [([(1, 1), (2, 1), (2, 2), (1, 2)], [3, 0]), ([(1, 1), (2, 1), (2, 2), (2, 3), (1, 3), (1, 2)], [0, 1])],
    ids=["in", "beyond"],
)
def test_a_later_cell_of_the_way_counts_if_it_is_in_the_window_of_three(way, rewards):
    seen = play([chart(way)], [RIGHT, DOWN])
    assert [float(t.reward) for t in seen] == rewards


def test_a_return_that_does_not_get_on_gets_warmer_and_is_given_up():
    seen = play([chart([(1, 1), (1, 2)])], [UP] * 6)
    assert [float(t.observation.temperature) for t in seen] == [1, 1, 1, 2, 5, 10]
    assert [bool(t.state.event.failed) for t in seen] == [False] * 5 + [True]
    assert [bool(t.terminated) for t in seen] == [False] * 5 + [True]


def test_the_policy_is_told_how_far_its_goal_is():
    _, seen = RESET(jax.random.key(0), chart([(1, 1), (1, 2)]))
    rows, columns = seen.goal[-10:].reshape(2, 5)
    assert (int(rows.argmax()), int(columns.argmax())) == (2, 3), "same row, one to the right"


def test_the_way_is_the_one_that_was_chosen_even_when_the_archive_finds_a_better_one():
    way, better = chart([(1, 1), (2, 1), (2, 2)]), chart([(1, 1), (1, 2), (1, 3), (1, 4)])
    seen = play([way, better], [DOWN, RIGHT])
    assert [float(t.reward) for t in seen] == [1, 3]
    assert seen[0].state.parent.tolist() == [0, 0]


def test_exploring_at_random_ignores_the_policy_and_ends_where_nothing_is_new():
    start = chart([(1, 1)])
    cells = np.arange(start.layout.walls.size, dtype=np.int32)
    ways = Walk(np.repeat(cells[:, None], 8, 1), np.zeros((cells.size, 8), np.int32), np.ones(cells.size, np.int32))
    known, _ = ADD(start.routes, Found(cells, np.zeros(cells.size, np.float32), ways))
    seen = play([start, start._replace(routes=known)], [UP] * 5)
    assert all(bool(t.state.event.blind) for t in seen)
    assert len({int(t.state.event.entered) for t in seen}) > 1, "up alone leads nowhere"
    assert [float(t.reward) for t in seen] == [0] * 5
    assert [bool(t.terminated) for t in seen] == [False] * 4 + [True]


def test_the_policy_explores_towards_goals_near_by_and_earns_1_for_each():
    told = chart([(1, 1)])
    quest, _ = RESET(jax.random.key(0), told)
    assert bool(quest.exploring)
    quest = quest._replace(goal=jnp.array(WIDTH + 2), random=jnp.array(False))
    after = STEP(jax.random.key(0), quest, np.int32(RIGHT), told)
    assert float(after.reward) == 1
    assert int(after.state.idle) == 0
    assert not bool(after.state.event.blind)


def test_a_temperature_divides_the_logits_of_the_policy():
    _, seen = RESET(jax.random.key(0), chart([(1, 1), (1, 2)]))
    plain = make_policy(jax.random.key(1), seen.world.size, 4, encoder=lambda s: s.world, hidden=(8,), memory=3)
    policy = Seeker(plain.encoder, plain.core, plain.actor, plain.critic, plain.scale)
    hot = seen._replace(temperature=jnp.array(50.0))
    one, other = (policy(s, policy.initial()) for s in (seen, hot))
    logits = np.asarray(one.distribution.logits)
    assert 50 * np.asarray(other.distribution.logits) == pytest.approx(logits, rel=1e-4)
    assert float(one.value) == float(other.value)
    both = jax.tree.map(lambda *x: jnp.stack(x)[None], seen, hot)
    unrolled = np.asarray(policy.unroll(both, jnp.ones((1, 2), bool), jnp.zeros((2, 3))).distribution.logits)
    assert unrolled[0] == pytest.approx(np.stack([logits, logits / 50]), rel=1e-4)


def test_actions_slip_as_often_as_told():
    env, keys = Slippery(Rooms("vector"), 0.4), jax.random.split(jax.random.key(0), 20_000)
    deeds = jax.vmap(env.deed, (0, None))(keys, jnp.array(UP))
    assert float((deeds != UP).mean()) == pytest.approx(0.4 * 3 / 4, abs=0.01)


def test_a_cell_says_where_the_agent_is_and_what_it_has_done():
    layout = key_maze()
    cell = jnp.array(0b1010_0110 * layout.walls.size + 5 * 21 + 7)
    state = stand(cell, layout)
    assert state.position.tolist() == [5, 7]
    assert state.taken.tolist() == [False, True, True, False]
    assert state.opened.tolist() == [False, True, False, True]
    assert int(cell_of(state, layout)) == int(cell)
