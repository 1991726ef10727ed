import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_a_learner_of_what_is_interesting_learns_more_of_it_than_by_learning_progress_alone(tmp_path):
    """Zhang et al. (2023): OMNI against learning progress alone and uniform sampling, on chains with side branches."""
    result = claim("omni", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert min(result.treatment) > max(result.control)
    assert np.mean(result.control) > np.mean(result.table["uniform"]["omni/learned"])
    assert min(result.table["treatment"]["omni/success"]) > max(result.table["control"]["omni/success"])
