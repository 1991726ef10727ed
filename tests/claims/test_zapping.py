import numpy as np
import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_zapped_features_of_batches_let_more_classes_be_learnt_in_sequence(tmp_path):
    """Frati et al. (2024), abstract: better transfer in continual learning, in settings beyond meta-learning."""
    result = claim("zapping", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert np.mean(result.treatment) > 1.5 * np.mean(result.control)
    assert min(result.table["control"]["finetune/mean"]) > 0.3, "the precondition: the control's features are of use"


@pytest.mark.claims
def test_zapped_features_of_sequences_and_batches_do_too(tmp_path):
    """Frati et al. (2024), abstract: zapping and sequential learning, without higher-order gradients."""
    result = claim("zapping", seeds=3, which=2, out=tmp_path / "runs")
    assert result.holds
    assert np.mean(result.treatment) > 1.5 * np.mean(result.control)


@pytest.mark.claims
@pytest.mark.xfail(reason="does not hold with five seeds: see the page", strict=False)
def test_zapped_features_recover_faster_from_a_new_head(tmp_path):
    """Frati et al. (2024), abstract: more rapid adaptation; Frati et al. (2025), abstract: recover more quickly."""
    result = claim("zapping", seeds=5, which=3, out=tmp_path / "runs")
    assert min(result.table["control"]["finetune/last"]) > 0.7, "the precondition: the control gets there"
    assert result.holds


@pytest.mark.claims
def test_optimisers_order_the_forgetting(tmp_path):
    """Frati et al. (2025), abstract: the optimiser shapes learning and forgetting."""
    result = claim("zapping:dynamics", seeds=3, out=tmp_path / "runs")
    assert result.holds
    assert min(result.table["control"]["dynamics/learnt"]) > 0.4, "the precondition: there is something to forget"
