import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_plastic_networks_complete_patterns_with_a_tenth_of_the_errors(tmp_path):
    """Miconi, Stanley & Clune (2018), section 4.1: fixed connections of equal number hardly learn it."""
    result = claim("plastic_networks", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert np.mean(result.control) >= 10 * np.mean(result.treatment)
    parameters = [result.table[arm]["network/parameters"][0] for arm in ("treatment", "control")]
    assert parameters[0] <= parameters[1], "the precondition: the control has no fewer"


@pytest.mark.claims
def test_a_plastic_layer_recognises_characters_after_one_look(tmp_path):
    """Miconi, Stanley & Clune (2018), section 4.3, at a small part of its training."""
    result = claim("plastic_networks", seeds=3, which=2, out=tmp_path / "runs")
    assert result.holds
    assert np.mean(result.treatment) >= 0.9
    assert np.mean(result.control) < 0.3


@pytest.mark.claims
def test_neuromodulation_helps_where_reward_decides_what_to_remember(tmp_path):
    """Miconi et al. (2019), task 1."""
    result = claim("plastic_networks", seeds=3, which=3, out=tmp_path / "runs")
    assert result.holds
    assert np.mean(result.table["retroactive"]["life/reward"]) > np.mean(result.control)
    assert abs(np.mean(result.table["fixed"]["life/reward"])) < 1


@pytest.mark.claims
def test_plastic_networks_find_a_hidden_goal_again(tmp_path):
    """Miconi, Stanley & Clune (2018), section 4.4."""
    result = claim("plastic_networks", seeds=3, which=4, out=tmp_path / "runs")
    assert result.holds
