"""Networks of many shapes against a recursive evaluation in double precision: what NEAT-Python 0.92 defines."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from aiga.variation import cppn
from aiga.variation.cppn import ACTIVATIONS, INPUT, X

FUNCTIONS = {
    "identity": lambda z: z,
    "sin": lambda z: math.sin(max(-60.0, min(60.0, 5 * z))),
    "sigmoid": lambda z: 1 / (1 + math.exp(-max(-60.0, min(60.0, 5 * z)))),
    "square": lambda z: z**2,
    "tanh": lambda z: math.tanh(max(-60.0, min(60.0, 2.5 * z))),
}


def value(genome, node, x):
    """The bias and the response times the sum of what comes in, through the activation."""
    if node == INPUT:
        return x
    links = genome.connections
    feeding = np.flatnonzero(links.alive & links.enabled & (links.target == node))
    total = sum(float(links.weight[c]) * value(genome, int(links.source[c]), x) for c in feeding)
    response = float(genome.scale) if node == 0 else 1.0
    function = FUNCTIONS[ACTIVATIONS[genome.nodes.activation[node]]]
    return function(float(genome.nodes.bias[node]) + response * total)


def evolved(lines=24, generations=60):
    """Descendants with three nodes added for each deleted, so that they are deep and made in any order."""
    rates = cppn.Rates(add=0.6, delete=0.2)
    genomes = jax.vmap(cppn.first)(jax.random.split(jax.random.key(0), lines))
    vary = jax.jit(lambda key, genomes: jax.vmap(lambda k, g: cppn.varied(k, g, rates))(key, genomes))
    for generation in range(generations):
        genomes = vary(jax.random.split(jax.random.key(generation + 1), lines), genomes)
    return jax.jit(cppn.guarded)(jax.random.key(1000), genomes)[0]


def test_heights_equal_a_recursive_evaluation():
    genomes = evolved()
    x = X[::25]
    found = np.asarray(jax.jit(cppn.heights)(genomes, jnp.asarray(x)))
    genomes = jax.tree.map(np.asarray, genomes)
    assert genomes.nodes.alive.sum(axis=1).max() > 15
    for line in range(len(found)):
        genome = jax.tree.map(lambda leaf, line=line: leaf[line], genomes)
        expected = [value(genome, 0, float(point)) for point in x]
        np.testing.assert_allclose(found[line], expected, rtol=1e-3, atol=1e-3)
