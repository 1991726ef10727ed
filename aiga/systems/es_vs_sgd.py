"""How evolution strategies relate to gradient descent: on digits, where both can be measured.

Zhang, Clune & Stanley (2017), "On the relationship between the OpenAI evolution strategy and stochastic gradient
descent", https://arxiv.org/abs/1712.06564:

    repeat:
        batch    <- random training pictures
        gradient <- by backpropagation:  of -loss on the batch
        estimate <- by evolution:        n pairs of weights +- sigma e_i, scored by -loss on the batch
        measure the cosine between estimate and gradient
        weights  <- Adam along the estimate

    no_minibatch:  every pair of pseudo-offspring is scored on pictures of its own
    limited:       every pair perturbs a random share of the weights
    sgd_proxy:     estimate <- gradient + normal noise, so much that the cosine is sqrt(n / (n + d))
    sgd:           estimate <- gradient

The cosine of n mirrored pairs in d dimensions is sqrt(n / (n + d)) wherever the loss is nearly linear within sigma: the
mean of n products (g e_i) e_i is g, plus noise whose squared length is d / n of that of g.
"""

from collections.abc import Callable
from statistics import NormalDist
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from aiga.core.errors import UsageError, require
from aiga.core.protocols import Info, Key
from aiga.core.trees import NOBODY, Layout
from aiga.data.images import Source, digits, shrunk
from aiga.nn.mlp import MLP, convolved, mlp
from aiga.runs.claims import Claim
from aiga.runs.events import Born
from aiga.runs.record import Run
from aiga.runs.report import ACCENT, FAINT, Figure, style
from aiga.strategies.noise import NoiseTable
from aiga.strategies.openai_es import centred_ranks

ABOUT = {"papers": (49,), "pillar": "learning", "needs": ()}

Mode = Literal["es", "no_minibatch", "limited", "sgd_proxy", "sgd"]
REFERENCE = 1024
"""Pictures of the gradient that evolution without mini-batches is measured against."""


class Learner(NamedTuple):
    """Weights that learn."""

    weights: Float[Array, " d"]
    optimiser: PyTree


class Race(NamedTuple):
    """The state: the learner, what shall predict it, and how well that and the theory did so far."""

    learner: Learner
    predictor: Learner | None
    identity: Int[Array, "2"]
    updates: Int[Array, ""]
    ratio: Float[Array, ""]
    """Sum over updates of the measured cosine as a share of the theory's."""
    distance: Float[Array, ""]
    """Sum over steps of the difference between the two learning curves."""


class Seen(NamedTuple):
    """What an update is remembered for."""

    cosine: Float[Array, ""]
    loss: Float[Array, ""]
    identity: Int[Array, "2"]
    parent: Int[Array, "2"]


class EsVsSgd(eqx.Module):
    """Learn by one estimate of the gradient, and measure how near it is to the gradient."""

    train: tuple[Array, Array]
    test: tuple[Array, Array]
    source: str = eqx.field(static=True)
    network: Callable[[Array], Array]
    """Without its weights."""
    build: Callable[[Key], PyTree]
    table: NoiseTable
    layout: Layout
    mode: Mode = eqx.field(static=True)
    predictor: Literal["none", "sgd_proxy", "sgd"] = eqx.field(static=True)
    pairs: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    sigma: float
    share: float = eqx.field(static=True)
    ranks: bool = eqx.field(static=True)
    optimiser: Literal["adam", "sgd"] = eqx.field(static=True)
    learning_rate: float
    directions: int = eqx.field(static=True)  # the n of the theory
    block: int = eqx.field(static=True)
    fuse: int = eqx.field(static=True)

    @eqx.filter_jit
    def init(self, key: Key) -> Race:
        weights = self.layout.flat(eqx.filter(self.build(key), eqx.is_array))
        learner = Learner(weights, self._rule().init(weights))
        predictor = None if self.predictor == "none" else learner
        zero = jnp.zeros(())
        return Race(learner, predictor, jnp.array(NOBODY, jnp.int32), jnp.zeros((), jnp.int32), zero, zero)

    @eqx.filter_jit
    def step(self, key: Key, state: Race) -> tuple[Race, Info]:
        state, seen = jax.lax.scan(lambda state, key: self.update(key, state), state, jax.random.split(key, self.fuse))
        loss, accuracy = self.examine(state.learner.weights)
        info = {
            "data/source": self.source,
            "cosine/measured": seen.cosine.mean(),
            "cosine/theory": jnp.asarray(self.theory),
            "cosine/error": jnp.abs(state.ratio / state.updates - 1),
            "train/loss": seen.loss.mean(),
            "train/updates": state.updates,
            "test/loss": loss,
            "test/accuracy": accuracy,
            "born": Born(seen.identity, seen.parent[:, None], self.mode, jnp.full(self.fuse, 2), -seen.loss),
        }
        if state.predictor is not None:
            predicted = self.examine(state.predictor.weights)[1]
            state = state._replace(distance=state.distance + jnp.abs(predicted - accuracy))
            info["predictor/accuracy"] = predicted
            info["predictor/distance"] = state.distance * self.fuse / state.updates
        return state, info

    def update(self, key: Key, state: Race) -> tuple[Race, Seen]:
        """One update of the learner, and one of its predictor from the same pictures."""
        draw, refer, search, foresee = jax.random.split(key, 4)
        rows = self.pictures(draw, (self.batch,))
        learner, predictor = state.learner, state.predictor
        shown = rows if self.mode != "no_minibatch" else self.pictures(refer, (REFERENCE,))
        loss, gradient = self.backpropagated(learner.weights, shown)
        estimate = self.estimate(search, learner.weights, rows, gradient)
        if predictor is not None:
            guide = self.backpropagated(predictor.weights, rows)[1]
            noisy = self.predictor == "sgd_proxy"
            predictor = self.ascend(predictor, with_cosine(foresee, guide, self.theory) if noisy else guide)
        measured = cosine(estimate, gradient)
        identity = jnp.stack([state.updates, jnp.zeros_like(state.updates)])
        after = Race(
            self.ascend(learner, estimate), predictor, identity, state.updates + 1,
            state.ratio + measured / self.theory, state.distance,
        )  # fmt: skip
        return after, Seen(measured, loss, identity, state.identity)

    @property
    def theory(self) -> float:
        return expected_cosine(self.directions, self.layout.size)

    def estimate(self, key: Key, weights: Array, rows: Array, gradient: Array) -> Float[Array, " d"]:
        """Where to go: as evolution, the proxy, or backpropagation says."""
        if self.mode == "sgd":
            return gradient
        if self.mode == "sgd_proxy":
            return with_cosine(key, gradient, self.theory)
        return self.evolved(key, weights, rows)

    def evolved(self, key: Key, weights: Float[Array, " d"], rows: Int[Array, " b"]) -> Float[Array, " d"]:
        """The estimate of the gradient from mirrored pairs of pseudo-offspring."""
        noise, cover, own = jax.random.split(key, 3)
        index = self.table.draw(noise, self.pairs, weights.size)
        where = self.table.draw(cover, self.pairs, weights.size)
        subsets = self.pictures(own, (self.pairs, self.batch))

        def score(pair: tuple[Array, Array, Array]) -> Float[Array, "2"]:
            index, where, subset = pair
            change = self.sigma * self.perturbation(index, where)
            used = subset if self.mode == "no_minibatch" else rows
            return -jax.vmap(lambda sign: self.loss(weights + sign * change, used))(jnp.array([1.0, -1.0]))

        fitness = jax.lax.map(score, (index, where, subsets), batch_size=self.block)
        return self.combined(index, where, self.weights_of_pairs(fitness))

    def weights_of_pairs(self, fitness: Float[Array, "n 2"]) -> Float[Array, " n"]:
        """What the perturbation of each pair counts for; a pair with a NaN for nothing."""
        utility = centred_ranks(fitness.ravel()).reshape(-1, 2) if self.ranks else fitness
        difference = utility[:, 0] - utility[:, 1]
        known = ~jnp.isnan(difference)
        return jnp.where(known, difference, 0) / (2 * self.sigma * jnp.maximum(known.sum(), 1))

    def pictures(self, key: Key, shape: tuple[int, ...]) -> Int[Array, "..."]:
        """Random training pictures."""
        return jax.random.randint(key, shape, 0, len(self.train[1]))

    def perturbation(self, index: Array, where: Array) -> Float[Array, " d"]:
        """Normal noise on all weights, or on those where a second slice of the table is small enough."""
        noise = self.table.row(index, self.layout.size)
        if self.mode != "limited":
            return noise
        limit = NormalDist().inv_cdf((1 + self.share) / 2)
        return jnp.where(jnp.abs(self.table.row(where, self.layout.size)) < limit, noise, 0) / self.share**0.5

    def combined(self, index: Array, where: Array, weight: Float[Array, " n"]) -> Float[Array, " d"]:
        """The weighted sum of the perturbations."""
        if self.mode != "limited":
            return self.table.weighted(index, weight, self.layout.size)

        def add(total: Array, one: tuple[Array, Array, Array]) -> tuple[Array, None]:
            return total + one[2] * self.perturbation(*one[:2]), None

        return jax.lax.scan(add, jnp.zeros(self.layout.size), (index, where, weight))[0]

    def backpropagated(self, weights: Array, rows: Array) -> tuple[Float[Array, ""], Float[Array, " d"]]:
        """The loss on these training pictures, and the direction in which it falls."""
        loss, gradient = jax.value_and_grad(self.loss)(weights, rows)
        return loss, -gradient

    def ascend(self, learner: Learner, direction: Float[Array, " d"]) -> Learner:
        change, optimiser = self._rule().update(-direction, learner.optimiser, learner.weights)
        return Learner(jnp.asarray(optax.apply_updates(learner.weights, change)), optimiser)

    def _rule(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate) if self.optimiser == "adam" else optax.sgd(self.learning_rate)

    def loss(self, weights: Float[Array, " d"], rows: Int[Array, " b"]) -> Float[Array, ""]:
        """Mean cross-entropy on these training pictures."""
        answers = jax.vmap(self.network_of(weights))(self.train[0][rows])
        return optax.softmax_cross_entropy_with_integer_labels(answers, self.train[1][rows]).mean()

    def examine(self, weights: Float[Array, " d"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Loss and accuracy on the test pictures."""
        answers = jax.lax.map(self.network_of(weights), self.test[0], batch_size=500)
        loss = optax.softmax_cross_entropy_with_integer_labels(answers, self.test[1]).mean()
        return loss, (answers.argmax(axis=1) == self.test[1]).mean()

    def network_of(self, weights: Float[Array, " d"]) -> Callable[[Array], Array]:
        """The network with these weights."""
        return eqx.combine(self.layout.tree(weights), self.network)


def expected_cosine(pairs: int, d: int) -> float:
    """Between the gradient and its estimate from so many mirrored pairs."""
    return (pairs / (pairs + d)) ** 0.5


def with_cosine(key: Key, gradient: Float[Array, " d"], cosine: float) -> Float[Array, " d"]:
    """The gradient plus normal noise that leaves this cosine: of squared length 1 / cosine^2 - 1 of the gradient's."""
    deviation = jnp.linalg.norm(gradient) * ((1 / cosine**2 - 1) / gradient.size) ** 0.5
    return gradient + deviation * jax.random.normal(key, gradient.shape)


def cosine(a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, ""]:
    """Of the angle between two vectors."""
    return a @ b / jnp.maximum(jnp.linalg.norm(a) * jnp.linalg.norm(b), 1e-30)


class ConvNet(eqx.Module):
    """Two convolutions of 5 x 5 with pooling, a wide layer, and ten answers: TensorFlow's old tutorial at width 32."""

    convolutions: tuple[eqx.nn.Conv2d, eqx.nn.Conv2d]
    head: MLP

    def __call__(self, picture: Float[Array, "h w"]) -> Float[Array, "10"]:
        x = picture[None]
        for layer in self.convolutions:
            x = jax.nn.relu(convolved(layer, jnp.pad(x, ((0, 0), (2, 2), (2, 2)))))
            x = x.reshape(len(x), x.shape[1] // 2, 2, -1, 2).max(axis=(2, 4))
        return self.head(x)


class Build(eqx.Module):
    """From a key to a network with random weights."""

    network: Literal["mlp", "convnet"] = eqx.field(static=True)
    pixels: int = eqx.field(static=True)
    width: int = eqx.field(static=True)

    def __call__(self, key: Key) -> Callable[[Array], Array]:
        if self.network == "mlp":
            return mlp(key, (self.pixels**2, self.width, 10), last_gain=1.0)
        first, second, head = jax.random.split(key, 3)
        w, left = self.width, self.pixels // 4
        layers = eqx.nn.Conv2d(1, w, 5, key=first), eqx.nn.Conv2d(w, 2 * w, 5, key=second)
        return ConvNet(layers, mlp(head, (2 * w * left**2, 32 * w, 10), jax.nn.relu, last_gain=1.0))


def make(
    mode: Mode = "es",
    predictor: Literal["none", "sgd_proxy", "sgd"] = "sgd_proxy",
    data: Source = "auto",
    network: Literal["mlp", "convnet"] = "mlp",
    width: int = 32,
    pixels: Literal[28, 14, 7] = 14,
    pairs: int = 128,
    batch: int = 64,
    sigma: float = 0.01,
    share: float = 0.1,
    shape: Literal["ranks", "loss"] = "ranks",
    optimiser: Literal["adam", "sgd"] = "adam",
    learning_rate: float = 0.003,
    law: Literal["pairs", "evaluations"] = "pairs",
    block: int = 32,
    fuse: int = 50,
) -> EsVsSgd:
    """Learn digits by evolution strategies, by gradients, or by gradients with as much noise as evolution has.

    Args:
        mode: What moves the weights: evolution on a mini-batch, evolution where every pair has pictures of its own,
            evolution where every pair perturbs a share of the weights, the noisy gradient, or the gradient.
        predictor: What is trained beside it, from the same weights and pictures, to predict its learning curve.
        data: MNIST, digits that we draw, or MNIST if it is found.
        network: A layer of `width` units, or two convolutions and a wide layer.
        width: Units of the layer, or channels of the first convolution.
        pixels: Side of the pictures.
        pairs: Mirrored pairs of pseudo-offspring.
        batch: Pictures that a pseudo-offspring is scored on.
        sigma: Standard deviation of the perturbations.
        share: Of the weights that a pair perturbs where `mode` is `limited`.
        shape: What pseudo-offspring count for: their centred ranks, or their losses.
        optimiser: What follows the estimate.
        learning_rate: Of the optimiser.
        law: What the theory counts as a direction: a mirrored pair, or each of its evaluations.
        block: Pairs that are evaluated at once.
        fuse: Updates in a step of the run.
    """
    if min(pairs, batch, width, block, fuse, sigma) <= 0 or not 0 < share <= 1:
        raise UsageError("--pairs, --batch, --width, --block, --fuse and --sigma must be above 0, --share in (0, 1].")
    if network == "convnet" and pixels != 28:
        raise UsageError(f"--pixels is {pixels}, but the convolutions halve the picture twice: give 28.")
    images = digits(data)
    train, test = (
        (jnp.asarray(shrunk(x, pixels)), jnp.asarray(y, jnp.int32))
        for x, y in ((images.train_x, images.train_y), (images.test_x, images.test_y))
    )
    build = Build(network, pixels, width)
    example = jax.eval_shape(build, jax.random.key(0))
    weights, rest = eqx.partition(example, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    layout = Layout.of(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), weights))
    table = NoiseTable.make(max(2**23, 2 ** (layout.size * 16 - 1).bit_length()))
    directions = pairs if law == "pairs" else 2 * pairs
    return EsVsSgd(
        train, test, images.source, rest, build, table, layout, mode, predictor, pairs, batch, sigma, share,
        shape == "ranks", optimiser, learning_rate, directions, min(block, pairs), fuse,
    )  # fmt: skip


PAPER = {
    "mode": "no_minibatch", "predictor": "none", "data": "mnist", "network": "convnet", "width": 32, "pixels": 28,
    "pairs": 5000, "sigma": 0.002, "block": 50,
}  # fmt: skip
"""From memory: 3,274,634 weights and a population of 10,000; `batch`, `sigma`, `learning_rate` are our guesses."""

CLAIM = (
    Claim(
        statement="The cosine between evolution's estimate and the gradient is sqrt(n / (n + d)) for n mirrored pairs;"
        " as a control, the same law with every evaluation counted as a direction.",
        source="Zhang, Clune & Stanley 2017, abstract: the correlation; the closed form is ours",
        metric="cosine/error",
        treatment={"predictor": "none", "shape": "loss"},
        control={"predictor": "none", "shape": "loss", "law": "evaluations"},
        steps=10,
        better="lower",
        others={"ranks": {"predictor": "none"}, "limited": {"predictor": "none", "shape": "loss", "mode": "limited"}},
        also=("cosine/measured", "test/accuracy"),
    ),
    Claim(
        statement="The gradient with as much noise as evolution has predicts evolution's learning curve better than"
        " the gradient does.",
        source="Zhang, Clune & Stanley 2017, abstract",
        metric="predictor/distance",
        treatment={},
        control={"predictor": "sgd"},
        steps=10,
        better="lower",
        also=("test/accuracy", "predictor/accuracy"),
    ),
)


def figures(run: Run) -> list[Figure]:
    """The learning curve and its prediction, and the cosine beside the theory's."""
    graph = require("plotly.graph_objects", "report")
    shown = (
        ("Learning curve", "test/accuracy", "predictor/accuracy", "Accuracy on the test set, and as it was predicted."),
        ("Cosine", "cosine/measured", "cosine/theory", "Between the estimate and the gradient, and by the theory."),
    )
    made, known = [], run.latest()
    for title, measured, expected, said in shown:
        content = graph.Figure()
        for name, colour in ((measured, ACCENT), (expected, FAINT)):
            steps, values = run.metric(name) if name in known else ((), ())
            content.add_scatter(x=steps, y=values, mode="lines", name=name, line={"color": colour})
        style(content, height=320, xaxis_title="step")
        made.append(Figure(title, said, content))
    return made


if __name__ == "__main__":
    import aiga

    aiga.run("es_vs_sgd", steps=40)
