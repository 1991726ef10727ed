import numpy as np
import pytest

from aiga.runs.claims import claim

TURNS = "whether it holds turns with one rule of the simulation: see the page"


@pytest.mark.xfail(reason=TURNS)
@pytest.mark.claims
def test_programs_that_rewrite_their_meta_agent_too_come_further_than_those_that_do_not(tmp_path):
    """Zhang et al. (2026), DGM-H against DGM-H without self-improvement; simulated agents."""
    result = claim("hyperagents", seeds=5, out=tmp_path / "runs")
    assert all(score < 0.95 for score in result.treatment), "not solved"
    assert result.holds


@pytest.mark.xfail(reason=TURNS)
@pytest.mark.claims
def test_a_meta_agent_that_evolved_in_another_domain_gains_more_in_fifty_generations(tmp_path):
    """Zhang et al. (2026), imp@50 after transfer; simulated agents."""
    result = claim("hyperagents", seeds=5, which=2, out=tmp_path / "runs")
    assert np.allclose(
        np.mean(result.table["treatment"]["report/first"]), np.mean(result.table["control"]["report/first"]), atol=0.05
    ), "both begin with the same task agent"
    assert result.holds
