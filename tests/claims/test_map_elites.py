import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_map_elites_illuminates_more_than_random_search(tmp_path):
    """Mouret & Clune (2015), Fig. 4: more cells filled, and better elites, than by as much random sampling."""
    result = claim("map_elites", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert result.effect > 0.1 * np.mean(result.control)
    assert min(result.table["treatment"]["archive/coverage"]) > max(result.table["control"]["archive/coverage"])


@pytest.mark.claims
def test_cma_mae_illuminates_the_linear_projection_better_than_map_elites(tmp_path):
    """Fontaine & Nikolaidis (2023), sphere: a better QD score than MAP-Elites (line), equal evaluations."""
    result = claim("map_elites", seeds=3, which=2, out=tmp_path / "runs")
    assert result.holds
    assert result.effect > 0.1 * np.mean(result.control)
