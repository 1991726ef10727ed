import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.learners.preference import agreement, distances, fit, triplet_loss

PLANE = jnp.eye(3, 2)  # the third feature does not matter
TRIPLETS = jnp.array(
    [
        [[0.0, 0.0, 5.0], [0.3, 0.4, 0.0], [0.0, 1.0, 5.0]],  # A is at 0.25, B at 1
        [[1.0, 1.0, 0.0], [1.0, 1.1, 0.0], [1.0, 1.0, 9.0]],  # A is at 0.01, B at 0
    ]
)


def answered(key, n, metric):
    triplets = jax.random.normal(key, (n, 3, metric.shape[0]))
    return triplets, jnp.where(distances(metric, triplets) > 0, -1, 1)


def test_the_loss_is_that_of_the_paper():
    assert np.allclose(distances(PLANE, TRIPLETS), [-0.75, 0.01])
    # "A is closer", twice: right by more than the margin, and wrong by 0.01
    assert float(triplet_loss(PLANE, TRIPLETS, jnp.array([1, 1]))) == pytest.approx((0 + 0.05 + 0.01) / 2)
    # "B is closer", twice: wrong by 0.75, and right by less than the margin
    assert float(triplet_loss(PLANE, TRIPLETS, jnp.array([-1, -1]))) == pytest.approx((0.8 + 0.04) / 2)


def test_what_nobody_answered_costs_nothing_and_is_not_counted():
    assert float(triplet_loss(PLANE, TRIPLETS, jnp.array([0, 1]))) == pytest.approx(0.06)
    assert float(triplet_loss(PLANE, TRIPLETS, jnp.array([0, 0]))) == 0
    assert float(agreement(PLANE, TRIPLETS, jnp.array([1, 1]))) == 0.5
    assert float(agreement(PLANE, TRIPLETS, jnp.array([0, -1]))) == 1
    assert np.isnan(agreement(PLANE, TRIPLETS, jnp.array([0, 0])))


def test_a_known_metric_is_recovered_from_answers_about_it():
    draw, learn, fresh = jax.random.split(jax.random.key(0), 3)
    metric = jnp.zeros((8, 2)).at[2, 0].set(1.0).at[5, 1].set(1.0)
    found = jax.jit(fit)(learn, *answered(draw, 1000, metric))
    relevance = jnp.sum(found.projection**2, axis=1)
    assert set(jnp.argsort(relevance)[-2:].tolist()) == {2, 5}
    assert float(relevance[jnp.array([2, 5])].sum() / relevance.sum()) > 0.95
    assert float(agreement(found.projection, *answered(fresh, 1000, metric))) > 0.9
    assert float(found.accuracy) > 0.9


def test_answers_without_meaning_are_not_learned_and_training_ends_early():
    draw, coin, learn = jax.random.split(jax.random.key(1), 3)
    triplets = jax.random.normal(draw, (400, 3, 8))
    found = jax.jit(fit)(learn, triplets, jnp.where(jax.random.bernoulli(coin, 0.5, (400,)), 1, -1))
    assert 0.3 < float(found.accuracy) < 0.7
    assert 12 <= int(found.epochs) < 100


def test_room_for_answers_to_come_changes_nothing():
    triplets, answers = answered(jax.random.key(2), 40, PLANE)
    alone = jax.jit(fit)(jax.random.key(3), triplets, answers)
    gap = jnp.ones((10, 3, 3))
    roomy = jax.jit(fit)(
        jax.random.key(3),
        jnp.concatenate([triplets[:20], gap, triplets[20:], gap]),
        jnp.concatenate([answers[:20], jnp.zeros(10, int), answers[20:], jnp.zeros(10, int)]),
    )
    assert int(alone.epochs) == int(roomy.epochs)
    assert np.allclose(alone.projection, roomy.projection, atol=1e-6)


def test_the_last_answers_are_held_out():
    draw, learn = jax.random.split(jax.random.key(3))
    triplets, answers = answered(draw, 200, PLANE)
    lies = answers.at[150:].multiply(-1)
    assert float(jax.jit(fit)(learn, triplets, lies).accuracy) < 0.5


def test_with_no_answers_the_projection_stays_what_it_was():
    found = jax.jit(lambda key: fit(key, jnp.zeros((8, 3, 3)), jnp.zeros(8, int), most_epochs=20))(jax.random.key(4))
    assert np.isnan(found.accuracy)
    assert np.isfinite(np.asarray(found.projection)).all()
