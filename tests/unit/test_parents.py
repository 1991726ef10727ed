import numpy as np
import pytest

from aiga.selection.parents import Known, chosen, top, weights


def known(scores, children=None, eligible=None):
    return Known(np.array(scores), np.array(children or [0] * len(scores)), eligible and np.array(eligible))


def test_weights_are_the_papers():
    """sigmoid(0) = 1/2, sigmoid(10 (0.7 - 0.5)) = 0.8808; the second has one child, which halves it."""
    sigmoid = 1 / (1 + np.exp(-2))
    expected = np.array([0.5, sigmoid / 2])
    assert weights(known([0.5, 0.7], [0, 1])) == pytest.approx(expected / expected.sum())


def test_the_cubic_penalty_spares_a_few_children_and_ends_many():
    expected = np.array([1.0, np.exp(-1 / 512), np.exp(-1.0), np.exp(-8.0)])
    found = weights(known([0.5] * 4, [0, 1, 8, 16]), penalty="cubic")
    assert found == pytest.approx(expected / expected.sum())


def test_children_beyond_the_cubic_penalty_do_not_divide_by_zero():
    assert weights(known([0.5, 0.5], [100, 100]), penalty="cubic").tolist() == [0.5, 0.5]


def test_the_midpoint_of_hyperagents_is_the_mean_of_the_three_best():
    assert top(np.array([0.1, 0.9, 0.3, 0.6])) == pytest.approx(0.6)
    assert top(np.array([0.2])) == pytest.approx(0.2)
    raised = weights(known([0.6, 0.5]), midpoint=0.6)
    assert raised[0] / raised[1] == pytest.approx(0.5 * (1 + np.e))


def test_who_is_not_eligible_is_never_drawn_unless_nobody_is():
    assert weights(known([0.5, 1.0, 0.5], None, [True, False, True])).tolist() == [0.5, 0.0, 0.5]
    assert weights(known([1.0, 1.0], None, [False, False])).tolist() == [0.5, 0.5]
    for by in ("sigmoid", "random", "best", "latest"):
        assert set(chosen(by, known([0.2, 0.9], None, [True, False]), 20, seed=0)) == {0}


def test_best_takes_the_highest_score_and_of_equals_the_earliest():
    """The authors' code sorts upwards and takes the first, hence the worst."""
    assert chosen("best", known([0.1, 0.8, 0.8, 0.3]), 2, seed=0).tolist() == [1, 1]


def test_latest_takes_the_last_born():
    assert chosen("latest", known([0.9, 0.1]), 3, seed=0).tolist() == [1, 1, 1]


def test_draws_follow_the_weights_and_the_seed():
    some = known([0.5, 0.7, 0.2], [0, 1, 3])
    drawn = chosen("sigmoid", some, 20_000, seed=1)
    assert np.bincount(drawn, minlength=3) / 20_000 == pytest.approx(weights(some), abs=0.01)
    assert np.bincount(chosen("random", some, 20_000, seed=1)) / 20_000 == pytest.approx(1 / 3, abs=0.015)
    assert chosen("sigmoid", some, 5, seed=2).tolist() == chosen("sigmoid", some, 5, seed=2).tolist()
