import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.learners.recognition import Recognition

PICTURES = jnp.asarray(np.random.default_rng(0).integers(0, 256, (12 * 20, 15, 15)), jnp.uint8)
TASK = Recognition(PICTURES, PICTURES, "drawn", (12, 12), layers=3, asked=2, batch=3, examined=5)


def test_a_drawing_with_its_label_is_written_to_that_output_alone():
    network = TASK.build(jax.random.key(0), 4, "decay", "layer")
    seen = jnp.array([1.0, -2.0, 0.5, 0.0])
    trace = network.shown(seen, jnp.array(3), network.last.initial())
    np.testing.assert_allclose(trace.hebb[3], network.last.eta * seen, rtol=1e-5)
    np.testing.assert_allclose(np.delete(trace.hebb, 3, axis=0), 0, atol=1e-6)


def test_the_same_drawing_is_recognised_from_its_trace_and_not_without():
    network = TASK.build(jax.random.key(0), 16, "decay", "layer")
    network = eqx.tree_at(lambda net: net.last.alpha, network, 1000.0)
    features = jax.random.normal(jax.random.key(1), (5, 16))
    trace = network.last.initial()
    for label in range(5):
        trace = network.shown(features[label], jnp.array(label), trace)
    assert [int(network(one, trace).argmax()) for one in features] == [0, 1, 2, 3, 4]
    fixed = [int(network(one, network.last.initial()).argmax()) for one in features]
    assert fixed != [0, 1, 2, 3, 4]


def test_every_question_of_every_episode_is_answered_and_learned_from():
    network = TASK.build(jax.random.key(0), 4, "oja", "connection")
    said = TASK.answers(jax.random.key(1), network, 3, PICTURES, 12)
    assert said.logits.shape == (3, 2, 5)
    assert said.labels.shape == (3, 2)
    network = eqx.tree_at(lambda net: net.last.alpha, network, 100 * jnp.ones((5, 4)))
    loss, slope = eqx.filter_jit(jax.value_and_grad(lambda net: TASK.loss(jax.random.key(2), net, ())[0]))(network)
    assert loss > 0
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(slope))
    assert 0 <= TASK.examine(jax.random.key(3), network)["recognition/accuracy"] <= 1


def test_a_network_without_traces_knows_no_more_than_chance():
    network = TASK.build(jax.random.key(0), 4, "none", "connection")
    task = eqx.tree_at(lambda t: t.train, TASK, PICTURES)
    assert task.examine(jax.random.key(1), network)["recognition/accuracy"] == pytest.approx(0.2, abs=0.35)
