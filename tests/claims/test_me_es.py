import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_me_es_gets_past_the_trap_and_is_caught_if_it_only_exploits(tmp_path):
    """Colas et al. (2020), deep exploration: exploring and exploiting by turns gets past the deceptive trap."""
    result = claim("me_es", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert min(result.treatment) > 5 >= max(result.control), "the trap's wall"


@pytest.mark.claims
def test_a_damaged_robot_recovers_by_searching_the_map_of_me_es(tmp_path):
    """Colas et al. (2020), damage recovery: more than by searching the map of ME-GA."""
    result = claim("me_es", seeds=3, which=2, out=tmp_path / "runs")
    assert result.holds
    searched, unsearched = (result.table["treatment"][f"damage/{name}"] for name in ("recovered", "unsearched"))
    assert sum(searched) > sum(unsearched)
