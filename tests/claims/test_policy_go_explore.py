import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_returning_with_a_policy_finds_a_goal_that_a_count_bonus_does_not(tmp_path):
    """Ecoffet et al. (2021): remembering where to return to finds what novelty alone, in as many steps, does not."""
    result = claim("policy_go_explore", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert min(result.treatment) == 1
    assert min(result.table["treatment"]["archive/cells"]) > max(result.table["control"]["archive/cells"])
