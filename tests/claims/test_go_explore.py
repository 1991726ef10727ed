import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_go_explore_scores_in_montezumas_revenge_where_exploring_from_the_start_does_not(tmp_path):
    """Ecoffet et al. (2019, 2021): points and rooms with an archive to return to, next to nothing without."""
    result = claim("go_explore", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert min(result.table["treatment"]["go_explore/rooms"]) > max(result.table["control"]["go_explore/rooms"])


@pytest.mark.claims
def test_a_robustified_policy_fetches_the_first_key_with_sticky_actions_more_often_than_its_demonstration(tmp_path):
    """Salimans & Chen (2018), Ecoffet et al. (2019): the demonstration repeated blindly is the control."""
    result = claim("go_explore", seeds=3, which=2, out=tmp_path / "runs")
    assert result.holds
    assert min(result.treatment) >= 0.8
