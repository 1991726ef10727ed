import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_perturbations_of_what_evolvability_es_finds_behave_more_diversely(tmp_path):
    """Gajewski et al. (2019), abstract: the diversity of behaviours under random mutations is maximised."""
    result = claim("evolvability_es", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert min(result.treatment) > 3 * max(result.control)
    assert min(result.table["MaxVar"]["evolvability/spread"]) > 3 * max(result.control)


@pytest.mark.claims
def test_what_evolvability_es_finds_is_adapted_faster(tmp_path):
    """Gajewski et al. (2019), abstract: it can quickly be adapted to solve different tasks."""
    result = claim("evolvability_es", seeds=3, which=2, out=tmp_path / "runs")
    assert result.holds
    assert np.mean(result.treatment) > 1.5 * np.mean(result.control)
    assert np.mean(result.treatment) > 1.5 * np.mean(result.table["untrained"]["evolvability/adapted"])
