import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_gated_weights_forget_less_in_other_domains(tmp_path):
    """Beaulieu, Clune & Cheney (2021), abstract: learning other datasets in sequence with little forgetting."""
    result = claim("synaptic_bursting", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert min(result.table["control"]["transfer/learnt"]) > 0.3, "the precondition: there is something to forget"


@pytest.mark.claims
def test_few_weights_change_at_a_time(tmp_path):
    """Beaulieu, Clune & Cheney (2021), abstract: sparse bursts of activity in weights."""
    result = claim("synaptic_bursting", seeds=3, which=2, out=tmp_path / "runs")
    assert result.holds
    assert np.mean(result.treatment) < np.mean(result.control)
