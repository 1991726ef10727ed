import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_safe_mutations_teach_a_recurrent_network_what_plain_mutation_does_not(tmp_path):
    """Lehman et al. (2018), recurrent parity: what output gradients scale can be evolved."""
    result = claim("safe_mutations", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert max(result.control) < min(result.treatment)
    assert np.median(result.control) < -0.69, "it guesses: a likelihood of one half has the logarithm -0.693"


@pytest.mark.claims
def test_second_order_mutations_survive_gradients_that_cancel(tmp_path):
    """Lehman et al. (2018): where summed gradients wash out, SM-G-SO still finds the solution."""
    result = claim("safe_mutations", seeds=3, which=2, out=tmp_path / "runs")
    assert result.holds
    assert np.sum(result.table["treatment"]["search/solved"]) >= 2
    assert np.sum(result.table["control"]["search/solved"]) == 0
