import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.selection.nsga2 import crowding, fronts, ranking, survivors

NAN, INF = np.nan, np.inf
HOW = {"host": lambda f: f, "compiled": jax.jit}
SHAPES = [(0, 2), (1, 2), (2, 1), (60, 1), (60, 2), (60, 3), (60, 5)]

how = pytest.mark.parametrize("how", HOW.values(), ids=HOW.keys())


@how
def test_fronts_of_six_points_by_hand(how):
    """Nobody beats the first three; the third beats the next two, and these the last."""
    points = np.array([[5, 1], [1, 5], [3, 3], [2, 3], [3, 2], [2, 2]], np.float32)
    assert np.asarray(how(fronts)(points)).tolist() == [0, 0, 0, 1, 1, 2]


@how
def test_fronts_of_three_objectives_by_hand(how):
    points = np.array([[1, 1, 1], [2, 2, 2], [2, 2, 1], [0, 0, 9], [2, 1, 1], [0, 0, 8]], np.float32)
    assert np.asarray(how(fronts)(points)).tolist() == [3, 0, 1, 0, 2, 1]


@how
@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_equal_individuals_share_a_front(how, m):
    points = np.repeat(np.array([[1.0], [3.0], [3.0], [2.0]], np.float32), m, axis=1)
    assert np.asarray(how(fronts)(points)).tolist() == [2, 0, 0, 1]
    assert np.asarray(how(fronts)(np.zeros((5, m), np.float32))).tolist() == [0] * 5


@how
@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_failed_individuals_are_behind_everyone_even_behind_minus_infinity(how, m):
    points = np.repeat(np.array([[0.0], [NAN], [-INF], [-INF], [INF]], np.float32), m, axis=1)
    points[1, 1:] = 9  # one NaN is enough
    assert np.asarray(how(fronts)(points)).tolist() == [1, 3, 2, 2, 0]
    assert np.asarray(how(fronts)(points * NAN)).tolist() == [0] * 5
    assert np.asarray(how(survivors, **({"static_argnums": 1} if how is jax.jit else {}))(points, 5)).tolist() == [
        4,
        0,
        2,
        3,
        1,
    ]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("values", [3, 1000])
def test_both_bodies_agree_with_the_definition(shape, values):
    points = np.random.default_rng(0).integers(0, values, shape).astype(np.float32)
    left, expected, front = np.arange(shape[0]), np.zeros(shape[0], int), 0
    while left.size:
        mine, other = points[left][:, None], points[left][None]
        beaten = ((other >= mine).all(-1) & (other > mine).any(-1)).any(1)
        expected[left[~beaten]] = front
        left, front = left[beaten], front + 1
    assert np.array_equal(fronts(points), expected)
    assert np.array_equal(jax.jit(fronts)(points), expected)


@how
def test_crowding_of_one_front_by_hand(how):
    """Ranges 4 and 8: the middle points have (3-0)/4 + (8-3)/8 and (4-1)/4 + (4-0)/8."""
    points = np.array([[0, 8], [4, 0], [1, 4], [3, 3]], np.float32)
    found = np.asarray(how(crowding)(points, np.zeros(4, np.int32)))
    assert found.tolist() == [INF, INF, 3 / 4 + 5 / 8, 3 / 4 + 4 / 8]


@how
def test_crowding_looks_at_each_front_alone_and_passes_over_objectives_that_do_not_vary(how):
    points = np.array([[0, 7], [9, 9], [1, 7], [3, 7]], np.float32)
    found = np.asarray(how(crowding)(points, np.array([1, 0, 1, 1], np.int32)))
    assert found.tolist() == [INF, INF, 1.0, INF]
    assert np.asarray(how(crowding)(np.ones((4, 2), np.float32), np.zeros(4, np.int32))).tolist() == [INF, 0, 0, INF]
    endless = np.array([[-INF], [0], [INF]], np.float32)
    assert np.asarray(how(crowding)(endless, np.zeros(3, np.int32))).tolist() == [INF, 0, INF]


@how
def test_survivors_are_whole_fronts_then_the_least_crowded_then_the_first(how):
    points = np.array([[1, 1], [0, 8], [4, 0], [1, 4], [3, 3], [3, 3]], np.float32)
    order = np.asarray(how(ranking)(points)).tolist()
    assert order == [1, 2, 3, 4, 5, 0]  # crowding inf, inf, 11/8, and 4/8 + 1/8... of the twins
    assert survivors(points, 3).tolist() == [1, 2, 3]
    assert survivors(points, 0).tolist() == []


@how
@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_of_equals_both_ends_of_the_batch_come_first_and_nobody_has_no_survivors(how, m):
    found = how(ranking)
    assert np.asarray(found(np.ones((4, m), np.float32))).tolist() == [0, 3, 1, 2]
    assert np.asarray(found(np.full((4, m), NAN, np.float32))).tolist() == [0, 3, 1, 2]
    assert np.asarray(found(np.zeros((0, m), np.float32))).tolist() == []


def test_many_populations_are_sorted_in_one_compiled_call():
    bins = np.random.default_rng(1).integers(0, 6, (7, 40, 2)).astype(np.float32)
    found = jax.jit(jax.vmap(lambda x: survivors(x, 10)))(bins)
    assert np.array_equal(found, [survivors(one, 10) for one in bins])


def test_a_hundred_thousand_are_sorted_without_all_pairs_in_memory():
    points = np.random.default_rng(2).uniform(size=(100_000, 2)).astype(np.float32)
    front = fronts(points)
    best = points[front == 0]
    assert (np.diff(best[np.argsort(best[:, 0])][:, 1]) < 0).all()
    assert len(np.unique(front)) == front.max() + 1 > 500


def test_what_cannot_be_sorted_is_refused():
    with pytest.raises(UsageError, match="one column per objective"):
        fronts(jnp.zeros((3, 0)))
    with pytest.raises(UsageError, match="`count` is 4 of 3"):
        survivors(jnp.zeros((3, 2)), 4)
