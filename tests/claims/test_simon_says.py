import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_a_learner_with_a_curriculum_learns_three_times_as_many_tasks(tmp_path):
    """Kanitscheider et al. (2021): learning progress against practising all tasks alike, on chains of items."""
    result = claim("simon_says", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert np.mean(result.treatment) >= 3 * np.mean(result.control)
    assert min(result.table["treatment"]["simon_says/success"]) > max(result.table["control"]["simon_says/success"])
