import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.nn.plastic import (
    Modulator,
    Plastic,
    PlasticCell,
    PlasticLSTM,
    Trace,
    bounded,
    plastic,
    plastic_cell,
    plastic_lstm,
)

PRE, POST = jnp.array([1.0, -2.0]), jnp.array([0.5])


def layer(rule, eta=0.1):
    return Plastic(jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0]]), jnp.asarray(eta), rule)


def test_the_trace_is_weighed_and_added_to_the_weights():
    trace = layer("decay").initial()._replace(hebb=jnp.array([[0.1, 0.5]]))
    assert layer("decay")(PRE, trace)[0] == pytest.approx((1 + 0.3) * 1 + (2 + 2) * -2)
    assert layer("decay")(PRE, layer("decay").initial())[0] == -3


@pytest.mark.parametrize(
    ("rule", "expected"),
    [  # post * pre is 0.5 and -1, the trace before is 0.9 and -0.95
        ("decay", [0.9 * 0.9 + 0.05, 0.9 * -0.95 - 0.1]),
        ("oja", [0.9 + 0.05 - 0.025 * 0.9, -0.95 - 0.1 + 0.025 * 0.95]),
        ("clip", [0.95, -1.0]),
    ],
)
def test_traces_change_by_their_rule(rule, expected):
    trace = layer(rule).initial()._replace(hebb=jnp.array([[0.9, -0.95]]))
    np.testing.assert_allclose(layer(rule).after(trace, PRE, POST).hebb, [expected], rtol=1e-6)


def test_a_signal_says_how_much_and_with_which_sign_is_written():
    rule = layer("simple")
    trace = rule.after(rule.initial(), PRE, POST, jnp.array(-0.4))
    np.testing.assert_allclose(trace.hebb, [[-0.2, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(rule.after(trace, PRE, POST, jnp.array(5.0)).hebb, [[1.0, -1.0]])


def test_a_signal_writes_what_was_eligible_before():
    rule = layer("retroactive", eta=0.25)
    first = rule.after(rule.initial(), PRE, POST, jnp.array(1.0))
    np.testing.assert_array_equal(first.hebb, [[0, 0]])
    np.testing.assert_allclose(first.eligible, [[0.125, -0.25]])
    second = rule.after(first, PRE, 0 * POST, jnp.array(2.0))
    np.testing.assert_allclose(second.hebb, [[0.25, -0.5]])
    np.testing.assert_allclose(second.eligible, [[0.75 * 0.125, 0.75 * -0.25]])


def test_each_neuron_or_connection_can_have_its_own_signal():
    rule = Plastic(jnp.zeros((2, 2)), jnp.zeros(()), jnp.zeros(0), "simple")
    ones = jnp.ones(2)
    by_neuron = rule.after(rule.initial(), ones, ones, jnp.array([0.1, 0.2]))
    np.testing.assert_allclose(by_neuron.hebb, [[0.1, 0.1], [0.2, 0.2]])
    signals = jnp.array([[0.1, 0.2], [0.3, 0.4]])
    np.testing.assert_allclose(rule.after(rule.initial(), ones, ones, signals).hebb, signals)


@pytest.mark.parametrize(("rule", "signal"), [("clip", jnp.array(1.0)), ("simple", None)])
def test_a_signal_that_is_missing_or_not_heard_is_refused(rule, signal):
    with pytest.raises(UsageError, match=f"the rule is '{rule}': give a signal to simple or retroactive"):
        layer(rule).after(layer(rule).initial(), PRE, POST, signal)


def of_weights(weight, bias):
    made = eqx.nn.Linear(len(weight[0]), len(weight), key=jax.random.key(0))
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), made, (jnp.asarray(weight), jnp.asarray(bias)))


def test_a_cell_steps_by_the_equation_and_then_writes():
    """One hidden unit h: h' = tanh((w + alpha H) h + 2 x + 0.1), H' = H + M h' h and M = tanh(3 h' + 0.2)."""
    recurrent = Plastic(jnp.array([[0.5]]), jnp.array(2.0), jnp.zeros(0), "simple")
    cell = PlasticCell(recurrent, of_weights([[2.0]], [0.1]), Modulator(of_weights([[3.0]], [0.2]), None))
    carry = cell.initial()._replace(hidden=jnp.array([0.4]), trace=Trace(jnp.array([[0.3]]), jnp.zeros(0)))
    hidden, trace = cell(jnp.array([-0.2]), carry)
    expected = np.tanh((0.5 + 2 * 0.3) * 0.4 - 0.4 + 0.1)
    assert hidden[0] == pytest.approx(expected, rel=1e-5)
    assert trace.hebb[0, 0] == pytest.approx(0.3 + np.tanh(3 * expected + 0.2) * expected * 0.4, rel=1e-5)


def test_clamped_units_show_their_input_where_there_is_one():
    cell = PlasticCell(plastic(jax.random.key(0), 2, 2, "clip", rate=0.5), None, None, clamped=True)
    carry = cell.initial()._replace(hidden=jnp.array([1.0, 1.0]))
    hidden, trace = cell(jnp.array([7.0, 0.0]), carry)
    assert hidden[0] == 7
    assert abs(hidden[1]) < 0.1
    np.testing.assert_array_equal(trace.hebb[0], [1, 1])


def test_an_lstm_is_plastic_on_the_path_of_what_is_written():
    gates, encoder = of_weights([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], [0.0, 1.0, 0.0]), of_weights([[2.0]], [0.1])
    recurrent = Plastic(jnp.array([[0.5]]), jnp.array([[2.0]]), jnp.array([[0.25]]), "retroactive")
    lstm = PlasticLSTM(gates, encoder, recurrent, Modulator(of_weights([[3.0]], [0.2]), jnp.array([[0.7]])))
    trace = Trace(jnp.array([[0.3]]), jnp.array([[0.05]]))
    after = lstm(
        jnp.array([-0.2]), lstm.initial()._replace(hidden=jnp.array([0.4]), cell=jnp.array([0.6]), trace=trace)
    )
    write, keep, show = 1 / (1 + np.exp(-np.array([-0.02 + 0.08, -0.06 + 0.16 + 1, -0.1 + 0.24])))
    written = np.tanh(-0.4 + 0.1 + (0.5 + 0.6) * 0.4)
    assert after.cell[0] == pytest.approx(keep * 0.6 + write * written, rel=1e-5)
    assert after.hidden[0] == pytest.approx(show * np.tanh(keep * 0.6 + write * written), rel=1e-5)
    assert after.trace.hebb[0, 0] == pytest.approx(0.3 + 0.7 * np.tanh(3 * 0.4 + 0.2) * 0.05, rel=1e-5)
    assert after.trace.eligible[0, 0] == pytest.approx(0.75 * 0.05 + 0.25 * written * 0.4, rel=1e-5)


@pytest.mark.parametrize(("per", "shape"), [("layer", ()), ("neuron", (3, 1)), ("connection", (3, 2))])
def test_traces_are_weighed_and_written_together_or_apart(per, shape):
    made = plastic(jax.random.key(0), 2, 3, "oja", alpha=per, eta=per, rate=0.02)
    assert made.alpha.shape == made.eta.shape == shape
    trace = made.after(made.initial(), jnp.ones(2), jnp.ones(3))
    np.testing.assert_allclose(trace.hebb, 0.02)
    assert made(jnp.ones(2), trace).shape == (3,)


@pytest.mark.parametrize("make", [plastic_cell, plastic_lstm])
@pytest.mark.parametrize("rule", ["decay", "retroactive"])
def test_gradients_reach_all_that_is_learned(make, rule):
    """In four steps: what the first makes eligible, the second writes and the third reads."""
    cell = make(jax.random.key(0), 2, 3, rule, scale=0.5)

    def last(cell):
        carry, _ = jax.lax.scan(lambda carry, x: (cell(x, carry), None), cell.initial(), jnp.eye(4, 2) + 1)
        return carry.hidden.sum()

    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(jax.jit(jax.grad(last))(cell)))


def test_fixed_connections_have_no_trace_and_write_none():
    layer = plastic(jax.random.key(0), 2, 1, "none")
    assert layer.alpha.size == layer.eta.size == 0
    trace = layer.after(layer.initial(), PRE, POST)
    assert all(leaf.size == 0 for leaf in jax.tree.leaves(trace))
    np.testing.assert_allclose(layer(PRE, trace), layer.weight @ PRE)


def test_rates_are_brought_back_between_zero_and_one_and_nothing_else_changes():
    network = {"layer": layer("clip", [[-0.1, 1.3]]), "other": jnp.array(-7.0)}
    after = bounded(network)
    np.testing.assert_array_equal(after["layer"].eta, [[0, 1]])
    np.testing.assert_array_equal(after["layer"].weight, network["layer"].weight)
    assert after["other"] == -7
