import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_the_agent_that_was_found_solves_more_than_the_best_seed(tmp_path):
    """Hu, Lu & Clune (2024); a grammar for the meta agent, a simulated worker, and an honest choice."""
    result = claim("adas", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert all(0.3 < accuracy < 0.95 for accuracy in [*result.treatment, *result.control]), (
        "neither hopeless nor solved"
    )
    assert np.mean(result.treatment) > np.mean(result.table["treatment"]["report/vote"]), "and not by more texts alone"


@pytest.mark.claims
def test_proposals_without_an_archive_do_as_well_in_this_grammar(tmp_path):
    """What the page reports: the second claim, that the archive helps, does not hold here."""
    result = claim("adas", seeds=3, which=2, out=tmp_path / "runs")
    assert abs(result.effect) < 0.06
    assert min(result.table["treatment"]["archive/depth"]) > max(result.table["control"]["archive/depth"])
