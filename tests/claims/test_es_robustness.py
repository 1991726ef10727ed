import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_policies_of_evolution_strategies_bear_noise_that_ruins_those_of_policy_gradients(tmp_path):
    """Lehman et al. (2018), abstract: policy gradients' networks are significantly less robust to perturbation."""
    result = claim("es_robustness", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert min(result.treatment) > 0.8
    assert np.mean(result.control) < 0.6
    for arm in ("treatment", "control"):
        assert min(result.table[arm]["policy/return"]) >= 475, "the precondition: the same return"
    assert max(result.table["es at once"]["robust/kept"]) < 0.8, "what goes on after the return is reached matters"
