import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aiga.core.errors import UsageError
from aiga.learners.meta_gradient import KEPT, Unroll, kept, mean_loss
from aiga.nn.plastic import plastic_cell

MEMORIES = ("scan", "nested", "constant")
STEPS = 37
"""A prime above `KEPT`: both memories that compute again have two levels, and steps at the end that do nothing."""


def bowl(network, x):
    """Half a square with its lowest point at `x`, as steep as `phi` says."""
    return 0.5 * network["phi"] * (network["theta"] - x) ** 2


def after_two_steps(network, order):
    """Half the square of theta after two steps of rate 0.1 towards 1 and then 2."""
    learnt = Unroll(("theta",), order).learn(bowl, network, jnp.array([1.0, 2.0]), optax.sgd(0.1))
    return 0.5 * learnt.network["theta"] ** 2, learnt


def test_inner_learning_descends_the_gradient_of_what_adapts():
    _, learnt = after_two_steps({"theta": jnp.array(3.0), "phi": jnp.array(2.0)}, 2)
    np.testing.assert_allclose(learnt.losses, [4.0, 0.36], rtol=1e-6)  # (3 - 1)^2 and (2.6 - 2)^2
    np.testing.assert_allclose(learnt.network["theta"], 2.48, rtol=1e-6)  # 3 - 0.4 - 0.12
    assert learnt.network["phi"] == 2


@pytest.mark.parametrize(
    ("order", "theta", "phi"),
    # theta_2 = 0.64 theta_0 + 0.16 + 0.4 with phi = 2.  Its derivative by phi: that of theta_1 is -0.1 (3 - 1) = -0.2,
    # and of theta_2 0.8 (-0.2) - 0.1 (2.6 - 2) = -0.22.  With inner gradients as constants it is 1 and 0.
    [(2, 2.48 * 0.64, 2.48 * -0.22), (1, 2.48, 0.0)],
)
def test_the_meta_gradient_is_the_one_computed_by_hand(order, theta, phi):
    slope = jax.grad(lambda network: after_two_steps(network, order)[0])(
        {"theta": jnp.array(3.0), "phi": jnp.array(2.0)}
    )
    np.testing.assert_allclose([slope["theta"], slope["phi"]], [theta, phi], rtol=1e-5)


def perceptron(network, x):
    """A squared error; `gate` scales the hidden units and does not adapt."""
    hidden = jnp.tanh(network["weights"] @ x) * jax.nn.sigmoid(network["gate"])
    return (network["head"] @ hidden - x[0] * x[1]) ** 2


def meta_loss(network, xs, unroll):
    """The loss on the first input after learning, and a little of the losses on the way."""
    learnt = unroll.learn(perceptron, network, xs, optax.sgd(0.05, momentum=0.9))
    return perceptron(learnt.network, xs[0]) + 0.1 * learnt.losses.mean()


meta_gradient = jax.jit(jax.grad(meta_loss), static_argnums=2)
meta_value = jax.jit(meta_loss, static_argnums=2)


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def drawn(double):
    del double
    random = np.random.default_rng(0)
    shapes = {"weights": (4, 3), "gate": (4,), "head": (4,)}
    return {name: jnp.asarray(random.normal(size=shape)) for name, shape in shapes.items()}, jnp.asarray(
        random.normal(size=(STEPS, 3))
    )


def learns(order=2, memory="scan"):
    return Unroll(("weights", "head"), order, memory)


def central_differences(network, xs, unroll, step=1e-5):
    """The gradient, one number of the network after the other."""
    flat, unravel = jax.flatten_util.ravel_pytree(network)
    values = [
        meta_value(unravel(flat + sign * step * unit), xs, unroll) for unit in np.eye(flat.size) for sign in (1, -1)
    ]
    return np.asarray(values).reshape(-1, 2) @ [1, -1] / (2 * step)


def test_the_second_order_gradient_is_that_of_finite_differences(drawn):
    slope = jax.flatten_util.ravel_pytree(meta_gradient(*drawn, learns()))[0]
    np.testing.assert_allclose(slope, central_differences(*drawn, learns()), rtol=1e-6, atol=1e-8)


def test_the_first_order_gradient_is_another(drawn):
    first, second = meta_gradient(*drawn, learns(1)), meta_gradient(*drawn, learns(2))
    assert all(abs(first[name] - second[name]).max() > 1e-3 for name in first)
    assert meta_value(*drawn, learns(1)) == meta_value(*drawn, learns(2))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("memory", MEMORIES[1:])
def test_gradients_do_not_depend_on_what_is_remembered(drawn, order, memory):
    assert len(kept(STEPS, memory)) == 2
    for name, expected in meta_gradient(*drawn, learns(order)).items():
        found = meta_gradient(*drawn, learns(order, memory))[name]
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_network_whose_traces_are_carried_is_unrolled_too(double, memory):
    """Against a loop: hidden units of a plastic network, and their gradient through all traces."""
    cell = plastic_cell(jax.random.key(0), 2, 3, "decay", scale=0.5)
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)))

    def looped(cell):
        carry = cell.initial()
        for x in xs:
            carry = cell(x, carry)
        return carry.hidden.sum()

    def unrolled(cell):
        carry, hidden = Unroll(memory=memory)(lambda carry, x: 2 * (cell(x, carry),), cell.initial(), xs)
        assert hidden.hidden.shape == (5, 3)
        return carry.hidden.sum()

    expected, found = (jax.tree.leaves(jax.jit(jax.grad(run))(cell)) for run in (looped, unrolled))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_a_mean_loss_of_some_at_once_is_that_of_all_with_its_gradients(drawn):
    """By a network that was learnt, and by inputs of which some are whole numbers."""
    network, xs = drawn
    xs = {"seen": xs[:6], "number": jnp.arange(6)}

    def loss(network, x):
        return perceptron(network, x["seen"]) * x["number"]

    def after(drawn, mean):
        network, seen = drawn
        learnt = learns().learn(perceptron, network, seen, optax.sgd(0.05)).network
        return mean(learnt, xs | {"seen": seen}) ** 2

    def all_of_them(network, xs):
        return jax.vmap(loss, (None, 0))(network, xs).mean()

    def some(network, xs):
        return mean_loss(loss, network, xs, 2)

    (one, ones), (other, others) = (
        jax.jit(jax.value_and_grad(lambda drawn, mean=mean: after(drawn, mean)))((network, xs["seen"]))
        for mean in (all_of_them, some)
    )
    np.testing.assert_allclose(one, other, rtol=1e-12)
    for mine, expected in zip(jax.tree.leaves(others), jax.tree.leaves(ones), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("memory", MEMORIES)
def test_outputs_are_those_of_a_scan_also_where_random_keys_are_what_is_read(memory):
    def step(total, key):
        return total + 1, jax.random.uniform(key)

    keys = jax.random.split(jax.random.key(0), STEPS)
    total, outputs = Unroll(memory=memory)(step, jnp.zeros(()), jax.random.clone(keys))
    assert total == STEPS
    np.testing.assert_array_equal(outputs, jax.vmap(jax.random.uniform)(keys))


def test_a_thousand_steps_need_hardly_more_than_a_quarter_of_them_and_less_than_a_hundred_mebibytes():
    """Learning 203,530 weights, as many as a perceptron for digits has, with momentum, where every step is curved."""

    def bend(network, x):
        return jnp.sin(x * network["weights"]).sum()

    def size(memory, steps):
        def loss(weights):
            learnt = Unroll(("weights",), 2, memory).learn(
                bend, {"weights": weights}, jnp.ones(steps), optax.sgd(0.1, momentum=0.9)
            )
            return learnt.network["weights"].sum()

        compiled = jax.jit(jax.grad(loss)).lower(jnp.ones(203_530)).compile()
        return compiled.memory_analysis().temp_size_in_bytes / 2**20

    assert size("constant", 1024) < min(100, 1.25 * size("constant", 256))
    assert size("scan", 1024) > 700


@pytest.mark.parametrize(
    ("length", "nested", "constant"),
    [(0, (0,), (0,)), (1, (1,), (1,)), (20, (5, 4), (20,)), (256, (16, 16), (16, 16)), (1024, (32, 32), (16, 8, 8))],
)
def test_what_is_kept_grows_with_the_root_or_not_at_all(length, nested, constant):
    assert kept(length, "scan") == (length,)
    assert kept(length, "nested") == nested
    assert kept(length, "constant") == constant


def test_what_is_kept_is_enough_and_little_is_computed_in_vain():
    for length in (*range(1, 300), 1021, 1024, 5000, 9000, 59_049):
        counts = kept(length, "constant")
        assert sum(counts) <= KEPT
        assert length <= np.prod(counts) <= 1.5 * length


def test_the_order_and_what_adapts_can_be_recorded_and_read():
    network = {"features": jnp.zeros((2, 3)), "gate": jnp.zeros(4), "name": "digits"}
    assert Unroll(("features",), 1, "nested").describe(network) == {
        "unroll/order": 1,
        "unroll/adapts": "features (6)",
        "unroll/fixed": "gate (4)",
        "unroll/memory": "nested",
    }
    assert str(Unroll(("features",), 1)) == "first-order gradients through inner updates of features, memory: scan"
    assert Unroll().describe(network)["unroll/order"] == 0
    assert "without an inner gradient" in str(Unroll())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: Unroll().split({"weights": jnp.zeros(1)}), "give `adapts` some of weights."),
        (lambda: Unroll(("weight",)).split({"weights": jnp.zeros(1)}), "no part 'weight': give some of weights."),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(wrong, sentence):
    with pytest.raises(UsageError, match=sentence):
        wrong()
