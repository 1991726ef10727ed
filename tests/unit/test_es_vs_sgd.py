import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.runs import loop, report
from aiga.systems.es_vs_sgd import PAPER, cosine, expected_cosine, figures, make, with_cosine

SMALL = {"data": "drawn", "pixels": 7, "width": 4, "pairs": 8, "batch": 8, "fuse": 2, "block": 4}


def after(steps=1, **options):
    system = make(**(SMALL | options))
    state = system.init(jax.random.key(0))
    for step in range(steps):
        state, info = system.step(jax.random.key(step + 1), state)
    return system, state, info


def test_the_cosine_of_known_vectors():
    assert float(cosine(jnp.array([1.0, 0.0]), jnp.array([3.0, 4.0]))) == pytest.approx(0.6)
    assert float(cosine(jnp.zeros(2), jnp.ones(2))) == 0
    assert expected_cosine(9, 16) == 0.6


def test_noise_of_the_proxy_has_the_length_that_the_cosine_needs():
    """With cosine 0.6 the noise is 4/3 as long as the gradient."""
    gradient = jnp.full(10_000, 0.02)
    noise = with_cosine(jax.random.key(0), gradient, 0.6) - gradient
    assert float(jnp.linalg.norm(noise)) == pytest.approx(2 * 4 / 3, rel=0.02)


def test_with_many_pairs_evolution_finds_the_gradient_and_its_length():
    system = make(**(SMALL | {"pairs": 10_000, "shape": "loss", "block": 500}))
    weights = system.init(jax.random.key(0)).learner.weights
    rows = jnp.arange(8)
    _, gradient = system.backpropagated(weights, rows)
    estimate = system.evolved(jax.random.key(1), weights, rows)
    assert float(cosine(estimate, gradient)) > 0.98
    assert float(jnp.linalg.norm(estimate) / jnp.linalg.norm(gradient)) == pytest.approx(1, abs=0.03)


def test_limited_perturbation_changes_its_share_of_the_weights_and_keeps_the_expected_length():
    system = make(**(SMALL | {"mode": "limited", "share": 0.2, "pixels": 14, "width": 32}))
    noise = np.asarray(system.perturbation(jnp.array(1000), jnp.array(500_000)))
    assert (noise != 0).mean() == pytest.approx(0.2, abs=0.02)
    assert np.linalg.norm(noise) == pytest.approx(6634**0.5, rel=0.05)


def test_limited_perturbation_estimates_the_same_gradient():
    system = make(**(SMALL | {"mode": "limited", "share": 0.5, "pairs": 10_000, "shape": "loss", "block": 500}))
    weights = system.init(jax.random.key(0)).learner.weights
    _, gradient = system.backpropagated(weights, jnp.arange(8))
    assert float(cosine(system.evolved(jax.random.key(1), weights, jnp.arange(8)), gradient)) > 0.98


def test_without_mini_batches_the_batch_that_was_drawn_is_not_looked_at():
    system = make(**(SMALL | {"mode": "no_minibatch"}))
    weights = system.init(jax.random.key(0)).learner.weights
    one, other = (system.evolved(jax.random.key(1), weights, rows) for rows in (jnp.arange(8), jnp.arange(8, 16)))
    assert (one == other).all()
    system = make(**SMALL)
    one, other = (system.evolved(jax.random.key(1), weights, rows) for rows in (jnp.arange(8), jnp.arange(8, 16)))
    assert (one != other).any()


def test_gradient_descent_has_a_cosine_of_one_and_is_its_own_prediction():
    _, state, info = after(mode="sgd", predictor="sgd")
    assert float(info["cosine/measured"]) == pytest.approx(1, abs=1e-5)
    assert float(info["predictor/distance"]) < 1e-6
    np.testing.assert_allclose(state.learner.weights, state.predictor.weights, atol=1e-6)


def test_the_distance_is_the_mean_difference_of_the_two_curves():
    system, state, first = after(fuse=3)
    _, second = system.step(jax.random.key(2), state)
    gaps = [abs(float(info["test/accuracy"]) - float(info["predictor/accuracy"])) for info in (first, second)]
    assert float(second["predictor/distance"]) == pytest.approx(np.mean(gaps), abs=1e-6)


def test_every_update_is_born_from_the_one_before():
    _, _, info = after(fuse=3)
    assert info["born"].id.tolist() == [[0, 0], [1, 0], [2, 0]]
    assert info["born"].parents.tolist() == [[[-1, -1]], [[0, 0]], [[1, 0]]]
    assert info["data/source"] == "drawn"


def test_all_losses_equal_move_nothing():
    """Weights so large that no perturbation changes an answer: ranks are tied, and the estimate is zero."""
    system = make(**(SMALL | {"sigma": 1e-12}))
    weights = system.init(jax.random.key(0)).learner.weights
    assert not np.asarray(system.evolved(jax.random.key(1), weights, jnp.arange(8))).any()


def test_a_loss_that_is_nan_does_not_spread():
    """Its pair counts for nothing."""
    system = make(**SMALL)
    estimate = system.combined(jnp.arange(8), jnp.arange(8), system.weights_of_pairs(jnp.array([[jnp.nan, 1.0]] * 8)))
    assert not np.asarray(estimate).any()
    mixed = system.weights_of_pairs(jnp.array([[jnp.nan, 1.0], [2.0, 1.0]] * 4))
    assert (mixed[::2] == 0).all()
    assert (mixed[1::2] > 0).all()


def test_the_papers_settings_run_with_a_small_population_and_a_narrow_network():
    reduced = {"data": "drawn", "width": 2, "pairs": 2, "batch": 4, "fuse": 1, "block": 2}
    _, state, info = after(2, **(PAPER | reduced))
    assert int(state.updates) == 2
    assert np.isfinite(float(info["test/loss"]))
    assert np.isfinite(float(info["cosine/measured"]))


@pytest.mark.parametrize(
    "wrong",
    [{"pairs": 0}, {"share": 0.0}, {"network": "convnet"}, {"block": -3}, {"block": 0}, {"fuse": 0}, {"sigma": 0.0}],
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError, match="--"):
        make(**(SMALL | wrong))


def test_the_report_shows_both_curves(tmp_path):
    run = loop.run("es_vs_sgd", steps=2, out=tmp_path / "run", **SMALL)
    curve, law = figures(run)
    assert [trace.name for trace in curve.content.data] == ["test/accuracy", "predictor/accuracy"]
    assert len(law.content.data[0].x) == 2
    assert "Learning curve" in report.write(run.directory).read_text()
