import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_the_agent_that_was_found_solves_more_than_the_best_seed(tmp_path):
    """Hu, Lu & Clune (2024), Table 1; a grammar for the meta agent, a simulated worker, and an honest choice."""
    result = claim("adas", seeds=3, out=tmp_path / "runs")
    assert result.effect > 0
    assert np.mean(result.treatment) > np.mean(result.control)
    assert all(0.3 < accuracy < 1.0 for accuracy in [*result.treatment, *result.control]), "neither hopeless nor solved"
