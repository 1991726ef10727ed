import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.archives.routes import Found, Routes, Walk

KEY = jax.random.key(0)
EMPTY = Routes.empty(10, 4, 5)
ENTER, ADD = jax.jit(Walk.enter), eqx.filter_jit(Routes.add)


def walk(*steps, longest=5):
    """The walk that enters the given cells by the actions 10, 11, ..."""
    first, *others = steps
    zeros = np.zeros(longest, np.int32)
    made = Walk(np.where(np.arange(longest) == 0, first, zeros), zeros, np.int32(1))
    for action, cell in enumerate(others, 10):
        made = ENTER(made, np.int32(cell), np.int32(action))
    return made


def found(*candidates, longest=5):
    """Candidates from pairs of score and cells."""
    scores, ways = zip(*candidates, strict=True)
    walks = [walk(*way, longest=longest) for way in ways]
    cells = np.array([way[-1] for way in ways])
    return Found(
        cells.astype(np.int32), np.array(scores, np.float32), jax.tree.map(lambda *rows: np.stack(rows), *walks)
    )


def cells(walk):
    return walk.cells[: int(walk.length)].tolist()


def test_a_walk_remembers_cells_and_by_which_actions_they_were_entered():
    made = walk(3, 4, 5)
    assert cells(made) == [3, 4, 5]
    assert made.actions[1:3].tolist() == [10, 11]


def test_a_walk_forgets_its_loops():
    made = walk(3, 4, 5, 6, 4, 7)
    assert cells(made) == [3, 4, 7]
    assert made.actions[1:3].tolist() == [10, 14]


def test_standing_still_is_no_step_of_the_way():
    made = walk(3, 4, 4, 4)
    assert cells(made) == [3, 4]
    assert made.actions[1].tolist() == 10


def test_a_walk_that_outgrew_its_record_is_recorded_again_when_it_comes_back():
    made = walk(0, 1, 2, 3, 4, 5, 6)
    assert int(made.length) == 7
    back = ENTER(ENTER(made, np.int32(2), np.int32(0)), np.int32(9), np.int32(20))
    assert cells(back) == [0, 1, 2, 9]
    assert back.actions[3].tolist() == 20


def test_a_cell_keeps_the_higher_score_then_the_shorter_way():
    routes, added = ADD(EMPTY, found((0.0, (0, 1, 2))))
    assert added.status.tolist() == [2]
    routes, added = ADD(routes, found((0.0, (0, 5, 6, 2)), (0.0, (0, 4, 2))))
    assert added.status.tolist() == [0, 0], "longer, and as long"
    routes, added = ADD(routes, found((0.0, (0, 2)), (1.0, (0, 5, 6, 2))))
    assert added.status.tolist() == [0, 1], "the score comes before the length"
    assert cells(jax.tree.map(lambda x: x[0], routes.walk)) == [0, 5, 6, 2]
    assert added.replaced.tolist() == [[-1, -1], [0, 0]]
    routes, added = ADD(routes, found((1.0, (0, 2))))
    assert added.status.tolist() == [1]
    assert added.replaced.tolist() == [[2, 1]]
    assert routes.identity[0].tolist() == [3, 0]


def test_of_equal_candidates_the_first_is_kept():
    routes, added = ADD(EMPTY, found((0.0, (0, 3, 2)), (0.0, (0, 4, 2)), (0.0, (7, 8))))
    assert added.status.tolist() == [2, 0, 2]
    assert routes.walk.cells[0, 1].tolist() == 3
    assert int(routes.size) == 2
    assert routes.knows(jnp.array([2, 8, 3])).tolist() == [True, True, False]


def test_cells_without_room_and_ways_too_long_to_record_are_not_kept():
    routes, added = ADD(Routes.empty(10, 2, 5), found((0.0, (0,)), (0.0, (1,)), (0.0, (2,))))
    assert added.status.tolist() == [2, 2, 0]
    assert routes.knows(jnp.array([0, 1, 2])).tolist() == [True, True, False]
    routes, added = ADD(Routes.empty(10, 2, 5), found((0.0, (0, 1, 2, 3, 4, 5))))
    assert added.status.tolist() == [0]


def test_cells_are_chosen_by_one_over_one_plus_half_the_actions_taken_there():
    routes, _ = ADD(EMPTY, found((0.0, (3,)), (0.0, (5,)), (0.0, (7,))))
    routes = routes.spend(jnp.array([5, 5, 7, 7, 7, 7, 7, 7]))
    chosen = jax.vmap(routes.choose)(jax.random.split(KEY, 20_000))
    share = np.bincount(np.asarray(chosen), minlength=4) / 20_000
    weights = np.array([1, 1 / 2, 1 / 4, 0])
    assert share == pytest.approx(weights / weights.sum(), abs=0.01)
