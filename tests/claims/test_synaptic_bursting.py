import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_gated_weights_keep_more_of_other_domains(tmp_path):
    """Beaulieu, Clune & Cheney (2021), abstract: learning other datasets in sequence."""
    assert claim("synaptic_bursting", seeds=3, which=1, out=tmp_path / "runs").holds


@pytest.mark.xfail(reason="in another domain gates keep no more: see the page")
@pytest.mark.claims
def test_gated_weights_forget_less(tmp_path):
    """Beaulieu, Clune & Cheney (2021), abstract: with little forgetting over time."""
    assert claim("synaptic_bursting", seeds=3, which=2, out=tmp_path / "runs").holds


@pytest.mark.claims
def test_few_weights_change_at_a_time(tmp_path):
    """Beaulieu, Clune & Cheney (2021), abstract: sparse bursts of activity in weights."""
    result = claim("synaptic_bursting", seeds=3, which=3, out=tmp_path / "runs")
    assert result.holds
    assert np.mean(result.treatment) < 0.1
