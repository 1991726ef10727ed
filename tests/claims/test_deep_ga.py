import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_novelty_leads_out_of_the_maze_where_fitness_does_not(tmp_path):
    """Such et al. (2017), abstract: with novelty search the GA solves what deceives the GA, ES and random search."""
    result = claim("deep_ga", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert min(result.treatment) > max(result.control) + 10, "far nearer to the goal, every time"
    assert sum(result.table["treatment"]["maze/solved"]) >= 2
    for arm in ("control", "es", "random"):
        assert max(result.table[arm]["maze/solved"]) == 0
    assert len({count for values in result.table.values() for count in values["search/evaluations"]}) == 1
