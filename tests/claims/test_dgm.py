import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_an_archive_leads_further_than_the_latest_agent_alone(tmp_path):
    """Zhang et al. (2025), Fig. 2, without open-ended exploration; simulated agents."""
    result = claim("dgm", seeds=3, which=3, out=tmp_path / "runs")
    assert result.holds
    assert np.mean(result.treatment) > 3 * np.mean(result.table["treatment"]["report/first"])


@pytest.mark.claims
def test_agents_that_rewrite_themselves_become_better_and_break_less_often(tmp_path):
    """Zhang et al. (2025), Fig. 2, without self-improvement; simulated agents."""
    result = claim("dgm", seeds=5, which=2, out=tmp_path / "runs")
    assert result.holds
    assert min(result.table["treatment"]["dgm/able"]) > max(result.table["control"]["dgm/able"])


@pytest.mark.claims
def test_greedy_selection_is_beaten_on_average_and_not_beyond_chance(tmp_path):
    """What the page reports of the first claim."""
    result = claim("dgm", seeds=5, out=tmp_path / "runs")
    assert result.effect > 0
    assert max(result.table["control"]["archive/depth"]) < min(result.table["treatment"]["archive/depth"])
