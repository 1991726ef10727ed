import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.selection.lexicase import deviation, lexicase

NAN = np.nan


def shares(scores, count=3000, **options):
    """How often each individual is selected."""
    rows = np.asarray(lexicase(jax.random.key(0), jnp.array(scores, float), count, **options))
    return np.bincount(rows, minlength=len(scores)) / count


def test_specialists_are_selected_by_their_case_and_the_second_best_at_everything_never():
    """A wins if case 1 comes first, C if case 3 does; case 2 leaves A and B, of whom A wins at case 1, B at case 3."""
    found = shares([[9, 5, 0], [3, 5, 4], [0, 0, 9], [8, 4, 8]])
    assert found[3] == 0
    assert found[:3] == pytest.approx([1 / 3 + 1 / 6, 1 / 6, 1 / 3], abs=0.03)


def test_epsilon_keeps_whoever_is_within_the_deviation_of_the_best_left():
    """Case 1 has median 2 and distances 2, 1, 0, 7: deviation 3/2 (the best alone); case 2 has deviation 1/2."""
    scores = [[0, 3], [3, 3], [2, 2], [9, 2]]
    assert deviation(jnp.array(scores, float)).tolist() == [1.5, 0.5]
    assert shares(scores, epsilon=True) == pytest.approx([0, 0.5, 0, 0.5], abs=0.03)
    near = [[0.0], [8.0], [10.0], [10.0]]  # median 9, distances 9, 1, 1, 1
    assert shares(near) == pytest.approx([0, 0, 0.5, 0.5], abs=0.03)
    assert shares([[0.0], [9.0], [10.0], [10.0]], epsilon=True) == pytest.approx([0, 0, 0.5, 0.5], abs=0.03)
    assert shares(near, epsilon=True) == pytest.approx([0, 0, 0.5, 0.5], abs=0.03)


def test_epsilon_is_measured_from_the_best_of_the_pool_not_of_everyone():
    """After case 1 has left the last two, at 4 and 5 in case 2, the first's 99 there counts no more."""
    scores = [[0.0, 99], [0, 0], [0, 1], [9, 4], [9, 5]]
    assert deviation(jnp.array(scores)).tolist() == [0.0, 3.0]
    assert shares(scores, epsilon=True) == pytest.approx([1 / 2, 0, 0, 1 / 4, 1 / 4], abs=0.03)


def test_equals_are_selected_alike_and_one_candidate_always():
    assert shares(np.ones((4, 3))) == pytest.approx([0.25] * 4, abs=0.03)
    assert shares(np.ones((4, 3)), epsilon=True) == pytest.approx([0.25] * 4, abs=0.03)
    assert shares([[1, 2]]) == [1]


def test_who_failed_a_case_is_selected_only_when_nobody_else_is_left():
    scores = [[NAN, 9], [1, 1], [NAN, NAN]]
    assert shares(scores).tolist() == [0, 1, 0]
    assert shares(scores, epsilon=True).tolist() == [0, 1, 0]
    assert shares(np.full((2, 2), NAN)) == pytest.approx([0.5, 0.5], abs=0.03)
    rows = lexicase(jax.random.key(0), jnp.array(scores), 2, replace=False).tolist()
    assert rows[0] == 1
    assert rows[1] in (0, 2)


def test_minus_infinity_is_a_score_and_no_failure():
    assert shares([[-np.inf, 1], [NAN, 2]]).tolist() == [1, 0]


def test_survivors_are_different_and_each_is_the_best_of_those_left():
    scores = jnp.array([[3.0], [1.0], [4.0], [2.0]])
    assert lexicase(jax.random.key(0), scores, 4, replace=False).tolist() == [2, 0, 3, 1]


@pytest.mark.parametrize("replace", [True, False])
def test_nobody_may_be_selected(replace):
    assert lexicase(jax.random.key(0), jnp.ones((2, 1)), 0, replace=replace).shape == (0,)


def test_what_cannot_be_selected_is_refused():
    with pytest.raises(UsageError, match="one column per case"):
        lexicase(jax.random.key(0), jnp.zeros((2, 0)), 1)
    with pytest.raises(UsageError, match="3 of 2"):
        lexicase(jax.random.key(0), jnp.zeros((2, 1)), 3, replace=False)
    with pytest.raises(UsageError, match="-1 of 2"):
        lexicase(jax.random.key(0), jnp.zeros((2, 1)), -1)
    with pytest.raises(UsageError, match="1 of 0"):
        lexicase(jax.random.key(0), jnp.zeros((0, 1)), 1)
