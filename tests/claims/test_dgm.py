import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_an_archive_leads_further_than_the_latest_agent_alone(tmp_path):
    """Zhang et al. (2025), Fig. 2, without open-ended exploration; simulated agents."""
    result = claim("dgm", seeds=3, which=3, out=tmp_path / "runs")
    assert result.holds
    assert np.mean(result.treatment) > 3 * np.mean(result.table["treatment"]["report/first"])
