import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_novelty_within_a_life_finds_the_goal_before_novelty_in_training_does(tmp_path):
    """Stanton & Clune (2018), abstract: intra-life novelty explores where across-training novelty or none does not."""
    result = claim("deep_curiosity", seeds=3, out=tmp_path / "runs")
    assert result.holds
    life, training, none = (np.mean(result.table[arm]["episode/return"]) for arm in ("treatment", "control", "none"))
    assert life > training > none
    assert none < 0.01, "the precondition: chance does not find the goal"
