import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_a_scientist_with_an_archive_finds_more_of_what_is_planted_than_random_tasks(tmp_path):
    """Lu et al. (2025), the algorithm against random tasks and against proposals without an archive."""
    result = claim("acd", seeds=3, out=tmp_path / "runs")
    scores = {arm: values["found/f1"] for arm, values in result.table.items()}
    assert result.holds
    assert min(scores["treatment"]) > max(scores["control"])
    assert np.mean(scores["treatment"]) > np.mean(scores["no archive"])
