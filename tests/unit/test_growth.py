import numpy as np
import pytest

from aiga.agents.growth import fertile, growth, improvement

FAMILY = (-1, 0, 0, 1, 3)
"""0 has the children 1 and 2; 1 has the child 3, and 3 the child 4."""
SCORES = (0.0, 0.5, 0.25, 1.0, 0.5)


def test_growth_is_the_mean_gain_over_descendants_discounted_by_distance():
    """0: 0.5 x 0.6 + 0.25 x 0.6 + 1.0 x 0.36 + 0.5 x 0.216, over four; 1: 0.5 x 0.6 + 0.0 x 0.36, over two."""
    found = growth(SCORES, FAMILY, least=2)
    assert found[:2] == pytest.approx([(0.3 + 0.15 + 0.36 + 0.108) / 4, 0.3 / 2])
    assert np.isnan(found[2:]).all()


def test_an_agent_with_two_descendants_has_no_growth_by_default():
    assert np.isnan(growth(SCORES, FAMILY)).tolist() == [False, True, True, True, True]


def test_with_gamma_one_distance_does_not_matter_and_with_zero_nothing_is_gained():
    assert growth(SCORES, FAMILY, gamma=1.0)[0] == pytest.approx((0.5 + 0.25 + 1.0 + 0.5) / 4)
    assert growth(SCORES, FAMILY, gamma=0.0)[0] == 0.0


def test_the_agent_to_transfer_is_the_one_with_the_most_growth_not_the_best():
    parents, scores = (-1, 0, 0, 0, 1, 1, 1), (0.5, 0.1, 0.6, 0.6, 0.9, 0.9, 0.3)
    assert fertile(scores, parents) == 1


def test_who_was_evaluated_in_part_is_not_carried_anywhere():
    parents, scores = (-1, 0, 0, 0, 1, 1, 1), (0.5, 0.1, 0.6, 0.6, 0.9, 0.9, 0.3)
    assert fertile(scores, parents, whole=[True, False, True, True, True, True, True]) == 0
    assert fertile(scores, parents, whole=[False] * 7) is None


def test_equal_growth_gives_the_earlier_agent_and_no_family_gives_none():
    assert fertile((0.0, 0.0, 0.0, 0.0, 0.0), (-1, 0, 1, 2, 3)) == 0
    assert fertile((0.0, 1.0), (-1, 0)) is None


def test_a_family_that_only_loses_has_negative_growth():
    assert growth((1.0, 0.5, 0.5, 0.5), (-1, 0, 0, 0))[0] == pytest.approx(-0.3)


def test_improvement_counts_the_first_k_agents_and_the_initial_one_is_the_least():
    scores = (0.3, 0.2, 0.5, 0.9)
    assert [improvement(scores, scores, k) for k in (0, 1, 2, 3, 50)] == pytest.approx([0.0, 0.0, 0.2, 0.6, 0.6])


def test_improvement_chosen_elsewhere_may_be_a_loss():
    assert improvement((0.1, 0.9, 0.2), (0.5, 0.4, 1.0), 2) == pytest.approx(-0.1)


def test_an_agent_without_a_choice_score_is_not_chosen():
    assert improvement((0.1, float("nan"), 0.2), (0.5, 0.9, 0.6), 2) == pytest.approx(0.1)
