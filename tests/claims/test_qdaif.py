import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_examples_from_near_cells_fill_an_archive_with_better_texts(tmp_path):
    """Bradley et al. (2023), stories by genre and ending: above all controls; simulated writer and judge."""
    result = claim("qdaif", seeds=3, out=tmp_path / "runs")
    scores = {arm: values["archive/qd_score"] for arm, values in result.table.items()}
    assert result.holds
    assert all(min(scores["treatment"]) > max(scores[arm]) for arm in ("quality", "random", "fixed", "shuffled"))


@pytest.mark.claims
def test_quantile_bins_part_more_texts_than_equal_ones(tmp_path):
    """Bradley et al. (2023), on bins; a simulated judge whose probabilities crowd at 0 and 1."""
    result = claim("qdaif", seeds=3, which=2, out=tmp_path / "runs")
    assert result.holds
