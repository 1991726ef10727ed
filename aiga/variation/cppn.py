"""Compositional pattern-producing networks of one input and one output, as the terrains of Enhanced POET.

Wang et al. (2020), https://arxiv.org/abs/2003.08536, with the numbers of `cppn.py` and `config-cppn` in
https://github.com/uber-research/poet (commit 5ca7047), which leaves mutation to NEAT-Python 0.92:

    child <- a copy of the parent, its scale 1
    with probability .1, split a connection by a new node; else with probability .075, delete a hidden node
    each weight and each bias, with probability .75: + N(0, .1^2), held within +-10
    again, if nothing changed or the terrain is flat
    terrain lower than .25 m: scaled to U(.25, .75); higher than 16 m: scaled to U(12, 16)

Genomes are arrays of fixed capacity, so a batch of networks of any shapes is evaluated in one call.  Node 0 is the
output.  Splitting is the only way to grow, hence a hidden node k comes with two connections, and keeps them in the
places 2k - 1 (into it) and 2k (out of it); place 0 is the first connection, from the input to the output.  With all
places taken, no further node is added.

Differences from the authors' code: (1) "higher" and "lower" mean highest minus lowest point of the terrain, which
therefore never exceeds 16 m.  They measure how far a curve rises above its start on [-1, 1), the middle third of the
terrain, and refuse all that only fall.  (2) Flat is less than a thousandth of the largest height, or of 1 m; there
exactly 0.  (3) After 8 refused children the parent is returned; there, the search goes on.  (4) A hidden node that
lost its inputs is a constant; in NEAT-Python, all nodes behind it are 0.  (5) Their walker's world repeats a height
every 5 to 9 cells, at random; here, terrain is the curve.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from aiga.core.protocols import Key

Rate = float | Float[Array, ""]
ACTIVATIONS = ("identity", "sin", "sigmoid", "square", "tanh")
"""With NEAT-Python's slopes: z, sin 5z, 1 / (1 + exp -5z), z^2, tanh 2.5z."""
INPUT = -1
NODES = 32
"""Capacity, with the output; the random walk of .1 added and .075 deleted reaches 31 hidden nodes slowly."""
BOUND = 10.0
"""Of weights and biases."""
WEIGHT, BIAS = 0.25, 0.1
"""Standard deviations of first values."""
CELLS, PAD = 200, 20
X = np.asarray((np.arange(CELLS) - CELLS / 2) * math.pi / (CELLS / 2), np.float32)
"""Where the network is asked for the height of each cell of a terrain: from -pi to just below pi."""
LOW, HIGH = 0.25, 16.0
"""Metres from the lowest to the highest point of a terrain that is left as it is."""
FLAT = 1e-3
TRIES = 8
LARGE = 1e6
"""The sum that enters a node is held within +-LARGE, so that no square of squares overflows."""


class Nodes(NamedTuple):
    """Those in use are alive; node 0, the output, always is."""

    alive: Bool[Array, "*n k"]
    activation: Int[Array, "*n k"]
    """An index of ACTIVATIONS."""
    bias: Float[Array, "*n k"]


class Connections(NamedTuple):
    """Those in use are alive; those that conduct are enabled too."""

    alive: Bool[Array, "*n c"]
    enabled: Bool[Array, "*n c"]
    """False once it was split.  It can be split again."""
    source: Int[Array, "*n c"]
    """A node, or INPUT."""
    target: Int[Array, "*n c"]
    weight: Float[Array, "*n c"]


class CPPN(NamedTuple):
    """A genome, or a batch of them."""

    nodes: Nodes
    connections: Connections
    scale: Float[Array, "*n"]
    """What the sum that enters the output is multiplied by: the `response` of NEAT-Python."""


class Rates(NamedTuple):
    """Probabilities of mutations and their standard deviations; the defaults are the authors'."""

    add: Rate = 0.1
    delete: Rate = 0.075
    perturb: Rate = 0.75
    """Of each weight and each bias."""
    replace: Rate = 0.0
    """Of each weight and each bias, by a first value."""
    activation: Rate = 0.0
    """Of each hidden node."""
    power: Rate = 0.1


AUTHORS = Rates()


def first(key: Key, nodes: int = NODES) -> CPPN:
    """A straight line: the input, the output, and one connection.  Its slope is not guarded."""
    weight, bias = jax.random.split(key)
    places = 2 * nodes - 1
    alone, empty = jnp.arange(nodes) == 0, jnp.zeros(places, jnp.int32)
    connected = jnp.arange(places) == 0
    return CPPN(
        Nodes(alone, jnp.zeros(nodes, jnp.int32), jnp.where(alone, BIAS * jax.random.normal(bias), 0.0)),
        Connections(
            connected, connected, empty + INPUT, empty, jnp.where(connected, WEIGHT * jax.random.normal(weight), 0.0)
        ),
        jnp.ones(()),
    )


def mutate(key: Key, genome: CPPN, rates: Rates = AUTHORS) -> CPPN:
    """A child of one genome: the first of TRIES that differs and is not flat, guarded; else the parent."""
    vary, resize = jax.random.split(key)
    children = jax.vmap(lambda key: varied(key, genome, rates))(jax.random.split(vary, TRIES))
    children, hilly = guarded(resize, children)
    fit = hilly & differs(children, genome)
    chosen = jnp.argmax(fit)
    return jax.tree.map(lambda child, parent: jnp.where(fit[chosen], child[chosen], parent), children, genome)


def varied(key: Key, genome: CPPN, rates: Rates = AUTHORS) -> CPPN:
    """One try at a child: at most one change of structure, then changes of numbers.  Its scale is 1."""
    structure, weights, biases, activations = jax.random.split(key, 4)
    genome = restructured(structure, genome._replace(scale=jnp.ones(())), rates.add, rates.delete)
    genome = perturb_weights(weights, genome, rates.perturb, rates.power, rates.replace)
    genome = perturb_biases(biases, genome, rates.perturb, rates.power, rates.replace)
    return change_activations(activations, genome, rates.activation)


def restructured(key: Key, genome: CPPN, add: Rate = AUTHORS.add, delete: Rate = AUTHORS.delete) -> CPPN:
    """`genome` with a node added, or one deleted, or as it is."""
    which, grow, shrink = jax.random.split(key, 3)
    u = jax.random.uniform(which) * jnp.maximum(1.0, add + delete)
    grown, shrunk = add_node(grow, genome), delete_node(shrink, genome)
    choices = [u < add, u < add + delete]
    return jax.tree.map(lambda *leaves: jnp.select(choices, leaves[:2], leaves[2]), grown, shrunk, genome)


def add_node(key: Key, genome: CPPN) -> CPPN:
    """A random connection, enabled or not, is disabled and replaced by a new node between two connections.

    The one into the node has weight 1, the one out of it the old weight: with activation identity and bias 0, the
    network would compute what it did.  The activation is random.  Without a free place nothing happens.
    """
    which, activation, bias = jax.random.split(key, 3)
    nodes, links = genome.nodes, genome.connections
    split, node = pick(which, links.alive), jnp.argmin(nodes.alive)
    room, into, out = ~nodes.alive.all(), 2 * node - 1, 2 * node
    grown = genome._replace(
        nodes=Nodes(
            nodes.alive.at[node].set(True),
            nodes.activation.at[node].set(jax.random.randint(activation, (), 0, len(ACTIVATIONS))),
            nodes.bias.at[node].set(bounded(BIAS * jax.random.normal(bias))),
        ),
        connections=Connections(
            links.alive.at[into].set(True).at[out].set(True),
            links.enabled.at[split].set(False).at[into].set(True).at[out].set(True),
            links.source.at[into].set(links.source[split]).at[out].set(node),
            links.target.at[into].set(node).at[out].set(links.target[split]),
            links.weight.at[into].set(1.0).at[out].set(links.weight[split]),
        ),
    )
    return jax.tree.map(lambda new, old: jnp.where(room, new, old), grown, genome)


def delete_node(key: Key, genome: CPPN) -> CPPN:
    """A random hidden node and its connections are gone.  What was disabled stays so: the curve can become flat."""
    nodes, links = genome.nodes, genome.connections
    hidden = nodes.alive.at[0].set(False)
    gone = hidden & (jnp.arange(hidden.size) == pick(key, hidden))
    # The input is no node: its index -1 means the last entry, put there for it.
    ends = jnp.append(gone, False)
    kept = links.alive & ~ends[links.source] & ~ends[links.target]
    return genome._replace(nodes=nodes._replace(alive=nodes.alive & ~gone), connections=links._replace(alive=kept))


def perturb_weights(
    key: Key, genome: CPPN, rate: Rate = AUTHORS.perturb, power: Rate = AUTHORS.power, replace: Rate = 0.0
) -> CPPN:
    """Noise on each weight with probability `rate`, also of disabled connections; a first value with `replace`."""
    links = genome.connections
    weight = jnp.where(links.alive, perturbed(key, links.weight, rate, power, replace, WEIGHT), links.weight)
    return genome._replace(connections=links._replace(weight=weight))


def perturb_biases(
    key: Key, genome: CPPN, rate: Rate = AUTHORS.perturb, power: Rate = AUTHORS.power, replace: Rate = 0.0
) -> CPPN:
    """Noise on each bias with probability `rate`; a first value with probability `replace`."""
    nodes = genome.nodes
    bias = jnp.where(nodes.alive, perturbed(key, nodes.bias, rate, power, replace, BIAS), nodes.bias)
    return genome._replace(nodes=nodes._replace(bias=bias))


def change_activations(key: Key, genome: CPPN, rate: Rate = AUTHORS.activation) -> CPPN:
    """A random activation, perhaps the same, for each hidden node with probability `rate`."""
    which, what = jax.random.split(key)
    nodes = genome.nodes
    changed = (jax.random.uniform(which, nodes.alive.shape) < rate) & nodes.alive.at[0].set(False)
    other = jax.random.randint(what, nodes.activation.shape, 0, len(ACTIVATIONS))
    return genome._replace(nodes=nodes._replace(activation=jnp.where(changed, other, nodes.activation)))


def guarded(key: Key, genomes: CPPN) -> tuple[CPPN, Bool[Array, " n"]]:
    """Genomes with terrains neither low nor high, and whether each is more than flat (no scale would help it)."""
    small, tall = jax.random.split(key)
    curve = heights(genomes, jnp.asarray(X[PAD + 1 :]))
    spread = curve.max(axis=-1) - curve.min(axis=-1)
    hilly = spread > FLAT * jnp.maximum(1.0, jnp.abs(curve).max(axis=-1))
    raised = jax.random.uniform(small, spread.shape, minval=LOW, maxval=0.75)
    lowered = jax.random.uniform(tall, spread.shape, minval=12.0, maxval=HIGH)
    wanted = jnp.select([spread < LOW, spread > HIGH], [raised, lowered], spread)
    scale = jnp.where(hilly, wanted / jnp.where(hilly, spread, 1.0), 1.0)
    return genomes._replace(scale=genomes.scale * scale), hilly


def differs(genomes: CPPN, parent: CPPN) -> Bool[Array, " n"]:
    """Whether a gene of each differs from the parent's; the scale is no gene."""
    same = jax.tree.map(lambda a, b: (a == b).all(axis=-1), genomes[:2], parent[:2])
    return ~jnp.stack(jax.tree.leaves(same)).all(axis=0)


def profile(genome: CPPN) -> Float[Array, "*n 200"]:
    """Heights in metres of the cells of a terrain over its pad: 0 up to the first cell behind it, then the curve."""
    curve = heights(genome, jnp.asarray(X[PAD + 1 :]))
    pad = jnp.zeros((*curve.shape[:-1], PAD + 1))
    return jnp.concatenate([pad, curve - curve[..., :1]], axis=-1)


def heights(genome: CPPN, x: Float[Array, " t"]) -> Float[Array, "*n t"]:
    """The output of each network for each `x`."""
    batch = genome.scale.shape
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(batch) :]), genome)
    return jax.vmap(_heights, (0, None))(flat, x).reshape(*batch, x.size)


def _heights(genome: CPPN, x: Float[Array, " t"]) -> Float[Array, " t"]:
    """Of one network: its nodes one after another, each after all that feed it."""
    matrix = _matrix(genome.connections, genome.nodes.alive.size)
    order = jnp.argsort(_ancestors(matrix[:, :-1] != 0))
    matrix = matrix[order][:, jnp.append(order, INPUT)]
    nodes = jax.tree.map(lambda leaf: leaf[order], genome.nodes)
    response = jnp.where(order == 0, genome.scale, 1.0)

    def turn(values: Array, k: Array) -> tuple[Array, None]:
        total = jnp.matmul(matrix[k], values, precision="highest")  # a GPU's default would roughen the ground
        z = nodes.bias[k] + response[k] * jnp.clip(total, -LARGE, LARGE)
        return values.at[k].set(activated(nodes.activation[k], z)), None

    start = jnp.zeros((order.size + 1, x.size)).at[INPUT].set(x)
    return jax.lax.scan(turn, start, jnp.arange(order.size))[0][jnp.argmin(order)]


def activated(activation: Int[Array, ""], z: Float[Array, " t"]) -> Float[Array, " t"]:
    """What a node gives for the sum `z`."""
    near = jnp.clip(5 * z, -60, 60)
    options = (z, jnp.sin(near), jax.nn.sigmoid(near), z**2, jnp.tanh(near / 2))
    return jax.lax.select_n(jnp.broadcast_to(activation, z.shape), *options)


def _matrix(links: Connections, nodes: int) -> Float[Array, "k k1"]:
    """Weights by target and source; the last column is the input's."""
    weight = jnp.where(links.alive & links.enabled, links.weight, 0.0)
    return jnp.zeros((nodes, nodes + 1)).at[links.target, links.source].add(weight)


def _ancestors(feeds: Bool[Array, "k k"]) -> Int[Array, " k"]:
    """How many nodes feed each, directly or not: more for each than for any node before it."""
    reach = (feeds | jnp.eye(len(feeds), dtype=bool)).astype(jnp.float32)
    for _ in range(math.ceil(math.log2(len(feeds)))):
        reach = (reach @ reach > 0).astype(jnp.float32)
    return reach.sum(axis=1).astype(jnp.int32)


def pick(key: Key, allowed: Bool[Array, " m"]) -> Int[Array, ""]:
    """A random index of those allowed."""
    return jnp.argmax(jnp.where(allowed, jax.random.uniform(key, allowed.shape), -1.0))


def perturbed(
    key: Key, value: Float[Array, " m"], rate: Rate, power: Rate, replace: Rate, spread: float
) -> Float[Array, " m"]:
    """One uniform number per value says which: noise, a first value of standard deviation `spread`, or neither."""
    which, noise = jax.random.split(key)
    u, normal = jax.random.uniform(which, value.shape), jax.random.normal(noise, value.shape)
    return jnp.select(
        [u < rate, u < rate + replace], [bounded(value + power * normal), bounded(spread * normal)], value
    )


def bounded(value: Float[Array, "*m"]) -> Float[Array, "*m"]:
    """Within the bounds of weights and biases."""
    return jnp.clip(value, -BOUND, BOUND)
