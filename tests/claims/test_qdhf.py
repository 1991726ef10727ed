import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_a_descriptor_learned_on_the_way_illuminates_more_than_one_learned_beforehand(tmp_path):
    """Ding et al. (2023), robotic arm: online QDHF above offline QDHF, and both above descriptors without feedback."""
    result = claim("qdhf", seeds=3, out=tmp_path / "runs")
    scores = {arm: values["truth/qd_score"] for arm, values in result.table.items()}
    assert result.holds
    assert min(scores["treatment"]) > max(scores["control"])
    assert np.mean(scores["control"]) > np.mean(scores["random"])
    assert min(scores["truth"]) > max(scores["treatment"])


@pytest.mark.claims
def test_so_it_does_in_a_maze(tmp_path):
    """Ding et al. (2023), maze navigation."""
    result = claim("qdhf", seeds=3, which=2, out=tmp_path / "runs")
    assert result.holds
