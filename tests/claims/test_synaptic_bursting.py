import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_gated_weights_keep_more_of_what_comes_in_sequence(tmp_path):
    """Beaulieu, Clune & Cheney (2021), abstract: learning sequentially with little forgetting.

    That they keep more in another domain, the second claim, does not hold at this size: see the page.
    """
    result = claim("synaptic_bursting", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert min(result.control) > 0.1, "the precondition: the control learns some of it; chance is 0.05"


@pytest.mark.claims
def test_few_weights_change_at_a_time(tmp_path):
    """Beaulieu, Clune & Cheney (2021), abstract: sparse bursts of activity in weights."""
    result = claim("synaptic_bursting", seeds=3, which=3, out=tmp_path / "runs")
    assert result.holds
    assert np.mean(result.treatment) < 0.1
