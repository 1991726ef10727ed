import numpy as np
import pytest

from aiga.inspect.forgetting import Forgetting, changes, halfway, matrices, measured, recoveries

MATRIX = np.array([[0.0, 0.1, 0.0], [0.8, 0.1, 0.0], [0.6, 1.0, 0.2], [0.7, 0.5, 0.9]])
"""Three tasks, after which 0.7, 0.5 and 0.9 are known."""


def test_a_matrix_says_what_was_learnt_kept_and_forgotten():
    said = measured(MATRIX)
    assert isinstance(said, Forgetting)
    assert said.learnt == pytest.approx((0.8 + 1.0 + 0.9) / 3)
    assert said.kept == pytest.approx((0.7 + 0.5 + 0.9) / 3)
    assert said.forgotten == pytest.approx((0.1 + 0.5) / 2)


def test_only_changes_of_earlier_tasks_are_synergy_or_interference():
    np.testing.assert_allclose(changes(MATRIX)[1], [-0.2, 0.9, 0.2])
    assert measured(MATRIX).synergy == pytest.approx(0.1 / 3)  # of -0.2, +0.1 and -0.5
    assert measured(MATRIX).interference == pytest.approx(0.7 / 3)


def test_one_task_forgets_nothing():
    assert measured(np.array([[0.0], [0.5]])) == (0.5, 0.5, 0.0, 0.0, 0.0)


def test_half_way_is_found_between_two_values():
    assert halfway(np.array([0.2, 0.3, 0.7, 1.0])) == pytest.approx(1.75)  # 0.6, three quarters of the second step
    assert halfway(np.array([0.2, 1.0, 0.5])) == pytest.approx(0.5)
    assert halfway(np.array([0.5, 0.5, 0.4])) == 2, "never"


def test_matrices_and_recoveries_are_drawn():
    pytest.importorskip("plotly")
    known, moved = matrices({"adam": MATRIX, "sgd": MATRIX})
    assert len(known.content.data) == 2
    np.testing.assert_allclose(moved.content.data[0].z, np.diff(MATRIX, axis=0))
    figure = recoveries({"adam": np.array([0.0, 0.5])}, "epochs", "said")
    assert list(figure.content.data[0].x) == [0, 1]
