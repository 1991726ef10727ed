import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_the_cosine_follows_the_law_of_pairs(tmp_path):
    """Zhang, Clune & Stanley (2017), abstract: the correlation of evolution's estimate with the gradient."""
    result = claim("es_vs_sgd", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert max(result.treatment) < 0.02
    assert min(result.control) > 0.25
    assert max(result.table["limited"]["cosine/error"]) < 0.02


@pytest.mark.claims
def test_the_noisy_gradient_predicts_evolutions_learning_curve(tmp_path):
    """Zhang, Clune & Stanley (2017), abstract: a proxy that predicts the performance of a population size."""
    result = claim("es_vs_sgd", seeds=3, which=2, out=tmp_path / "runs")
    assert result.holds
    assert np.mean(result.control) > 4 * np.mean(result.treatment)
    assert min(result.table["treatment"]["test/accuracy"]) > 0.8, "the precondition: there is a curve to predict"
