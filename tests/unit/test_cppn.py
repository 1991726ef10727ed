import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.variation import cppn
from aiga.variation.cppn import ACTIVATIONS, AUTHORS, CPPN, INPUT, Connections, Nodes, Rates, X

MANY = 10_000
COMPILED = {
    name: jax.jit(jax.vmap(getattr(cppn, name), (0, None)))
    for name in ("add_node", "delete_node", "restructured", "perturb_weights", "perturb_biases")
}
heights = jax.jit(cppn.heights)
profile = jax.jit(cppn.profile)
mutated = jax.jit(jax.vmap(cppn.mutate, (0, 0, None)))


def network(nodes, links, capacity=4, scale=1.0):
    """Of rows (activation, bias) and (source, target, weight[, enabled]), in order of creation."""
    places = 2 * capacity - 1
    used, linked = np.arange(capacity) < len(nodes), np.arange(places) < len(links)
    activation, bias = np.zeros(capacity, np.int32), np.zeros(capacity, np.float32)
    source, target = np.full(places, INPUT, np.int32), np.zeros(places, np.int32)
    weight, enabled = np.zeros(places, np.float32), linked.copy()
    for k, (name, value) in enumerate(nodes):
        activation[k], bias[k] = ACTIVATIONS.index(name), value
    for c, (a, b, w, *on) in enumerate(links):
        source[c], target[c], weight[c], enabled[c] = a, b, w, (on or [True])[0]
    arrays = Nodes(used, activation, bias), Connections(linked, enabled, source, target, weight), np.float32(scale)
    return jax.tree.map(jnp.asarray, CPPN(*arrays))


ROW = [("identity", 0.5)], [(INPUT, 0, 2.0)]
LINE = network(*ROW)
BENT = network([("identity", 0.5), ("tanh", 0.1)], [(INPUT, 0, 2.0, False), (INPUT, 1, 1.0), (1, 0, 2.0)])
TWICE = network(
    [("identity", 0.0), ("tanh", 0.1), ("sin", -0.2)],
    [(INPUT, 0, 2.0, False), (INPUT, 1, 1.0), (1, 0, 2.0, False), (1, 2, 1.0), (2, 0, 2.0)],
)


def keys(seed, n=MANY):
    return jax.random.split(jax.random.key(seed), n)


def links(genome):
    """The connections in use, as (source, target, weight, enabled)."""
    fields = genome.connections
    rows = zip(fields.source, fields.target, fields.weight, fields.enabled, strict=True)
    return [
        (int(a), int(b), float(w), bool(on)) for (a, b, w, on), used in zip(rows, fields.alive, strict=True) if used
    ]


def one(genomes, i=0):
    return jax.tree.map(lambda leaf: leaf[i], genomes)


def batch_of(genome, n=8):
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (n, *leaf.shape)), genome)


def assert_share(hits, probability):
    """Within four standard deviations of a binomial count."""
    hits = np.asarray(hits)
    assert abs(hits.mean() - probability) < 4 * np.sqrt(probability * (1 - probability) / hits.size)


def same(a, b):
    return jax.tree.all(jax.tree.map(lambda x, y: bool((x == y).all()), a, b))


@pytest.fixture(scope="module")
def lines():
    """Of 8 lines of descent, generations 1 to 100."""
    genomes, history = jax.vmap(cppn.first)(keys(0, 8)), []
    for generation in range(100):
        genomes = mutated(keys(generation + 1, 8), genomes, AUTHORS)
        history.append(genomes)
    return jax.tree.map(lambda *leaves: np.stack(leaves), *history)


def test_a_line_is_its_bias_and_its_weight_times_x():
    np.testing.assert_allclose(heights(LINE, jnp.array([-1.0, 0.0, 3.0])), [-1.5, 0.5, 6.5])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("identity", 0.2),
        ("sin", np.sin(1)),
        ("sigmoid", 1 / (1 + np.exp(-1))),
        ("square", 0.04),
        ("tanh", np.tanh(0.5)),
    ],
)
def test_activations_have_the_slopes_of_neat_python(name, expected):
    genome = network([("identity", 0.0), (name, -0.1)], [(INPUT, 0, 9.0, False), (INPUT, 1, 3.0), (1, 0, 1.0)])
    np.testing.assert_allclose(heights(genome, jnp.array([0.1])), [expected], rtol=1e-5)


def test_the_scale_multiplies_the_sum_but_not_the_bias():
    np.testing.assert_allclose(heights(LINE._replace(scale=jnp.array(3.0)), jnp.array([1.0])), [6.5])


def test_a_node_that_lost_its_inputs_is_a_constant():
    genome = network([("identity", 0.0), ("square", 3.0)], [(INPUT, 0, 2.0), (1, 0, 1.0)])
    np.testing.assert_allclose(heights(genome, jnp.array([0.0, 1.0])), [9.0, 11.0])


def test_any_batch_of_networks_is_evaluated_in_one_call():
    batch = jax.tree.map(lambda a, b: jnp.stack([jnp.stack([a, b, a])] * 2), LINE, BENT)
    found = heights(batch, jnp.asarray(X))
    assert found.shape == (2, 3, 200)
    np.testing.assert_allclose(found[1, 1], heights(BENT, jnp.asarray(X)), rtol=1e-5)


def test_the_first_network_is_a_line_with_the_authors_deviations():
    genomes = jax.jit(jax.vmap(cppn.first))(keys(1))
    assert links(one(genomes)) == [(INPUT, 0, float(genomes.connections.weight[0, 0]), True)]
    assert (genomes.nodes.alive.sum(axis=1) == 1).all()
    assert (genomes.nodes.activation == 0).all()
    assert genomes.nodes.alive.shape == (MANY, 32)
    assert np.std(genomes.connections.weight[:, 0]) == pytest.approx(0.25, rel=0.03)
    assert np.std(genomes.nodes.bias[:, 0]) == pytest.approx(0.1, rel=0.03)


def test_a_new_node_keeps_the_old_weight_behind_it_and_has_one_before_it():
    grown = COMPILED["add_node"](keys(2), LINE)
    assert links(one(grown)) == [(INPUT, 0, 2.0, False), (INPUT, 1, 1.0, True), (1, 0, 2.0, True)]
    assert (grown.nodes.alive == jnp.array([True, True, False, False])).all()
    for activation in range(len(ACTIVATIONS)):
        assert_share(grown.nodes.activation[:, 1] == activation, 1 / 5)
    assert np.std(grown.nodes.bias[:, 1]) == pytest.approx(0.1, rel=0.03)


def test_each_connection_is_split_equally_often_even_a_disabled_one():
    grown = COMPILED["add_node"](keys(3), BENT)
    into, out = grown.connections.source[:, 3], grown.connections.target[:, 4]
    for a, b in [(INPUT, 0), (INPUT, 1), (1, 0)]:
        assert_share((into == a) & (out == b), 1 / 3)


def test_a_full_network_gets_no_further_node():
    full = network([("identity", 0.0), ("tanh", 0.1)], [(INPUT, 0, 2.0, False), (INPUT, 1, 1.0), (1, 0, 2.0)], 2)
    assert same(one(COMPILED["add_node"](keys(4), full)), full)


def test_a_deleted_node_takes_its_connections_along_and_enables_none():
    fewer = COMPILED["delete_node"](keys(5), TWICE)
    first = ~fewer.nodes.alive[:, 1]
    assert_share(first, 1 / 2)
    assert links(one(fewer, int(jnp.argmax(first)))) == [(INPUT, 0, 2.0, False), (2, 0, 2.0, True)]
    kept = [(INPUT, 0, 2.0, False), (INPUT, 1, 1.0, True), (1, 0, 2.0, False)]
    assert links(one(fewer, int(jnp.argmin(first)))) == kept


def test_without_hidden_nodes_nothing_is_deleted():
    assert same(one(COMPILED["delete_node"](keys(6), LINE)), LINE)


def test_a_freed_place_is_used_again():
    fewer = one(COMPILED["delete_node"](keys(7), BENT))
    assert links(one(COMPILED["add_node"](keys(8), fewer)))[1:] == [(INPUT, 1, 1.0, True), (1, 0, 2.0, True)]


def test_structure_changes_as_often_as_configured_and_at_most_once():
    change = COMPILED["restructured"](keys(9), TWICE).nodes.alive.sum(axis=1) - 3
    assert_share(change == 1, 0.1)
    assert_share(change == -1, 0.075)
    assert_share(change == 0, 0.825)


@pytest.mark.parametrize("what", ["weights", "biases"])
def test_three_of_four_numbers_are_perturbed_each_on_its_own(what):
    varied = COMPILED[f"perturb_{what}"](keys(10), TWICE)
    before, after = (
        (genome.connections.weight if what == "weights" else genome.nodes.bias) for genome in (TWICE, varied)
    )
    used = TWICE.connections.alive if what == "weights" else TWICE.nodes.alive
    steps = np.asarray(after - before)
    assert (steps[:, ~used] == 0).all()
    moved = steps[:, used] != 0
    for column in moved.T:
        assert_share(column, 0.75)
    assert_share(moved[:, 0] & moved[:, 1], 0.75**2)
    assert np.std(steps[:, used][moved]) == pytest.approx(0.1, rel=0.03)


def test_numbers_stay_within_ten():
    far = network([("identity", -9.99)], [(INPUT, 0, 9.99)])
    weight = COMPILED["perturb_weights"](keys(11), far).connections.weight[:, 0]
    bias = COMPILED["perturb_biases"](keys(12), far).nodes.bias[:, 0]
    assert weight.max() == 10
    assert bias.min() == -10


def test_replaced_numbers_are_first_values():
    vary = jax.jit(jax.vmap(lambda key: cppn.perturb_weights(key, LINE, 0.25, 0.1, 0.5)))
    weight = np.asarray(vary(keys(13)).connections.weight[:, 0])
    assert_share(weight == 2, 0.25)
    first = np.abs(weight) < 1.25
    assert_share(first, 0.5)
    assert np.std(weight[first]) == pytest.approx(0.25, rel=0.05)


def test_activations_of_hidden_nodes_change_only_if_asked():
    change = jax.jit(jax.vmap(cppn.change_activations, (0, None, None)))
    assert (change(keys(14), TWICE, 0.0).nodes.activation == TWICE.nodes.activation).all()
    found = change(keys(15), TWICE, 0.5).nodes.activation
    assert (found[:, [0, 3]] == 0).all()
    assert_share(found[:, 1] != TWICE.nodes.activation[1], 0.5 * 4 / 5)


def test_low_terrain_is_raised_and_high_terrain_lowered():
    batch = [network([("identity", 3.0)], [(INPUT, 0, w)]) for w in (0.0, 0.01, -0.01, 0.1, -1.0, 4.0, -4.0)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batch)
    guarded, hilly = jax.jit(cppn.guarded)(jax.random.key(16), batch)
    assert hilly.tolist() == [False] + [True] * 6
    spread = np.ptp(np.asarray(profile(guarded)), axis=1)
    assert ((spread[1:3] >= 0.25) & (spread[1:3] <= 0.75)).all()
    np.testing.assert_array_equal(guarded.scale[3:5], 1)
    assert ((spread[5:] >= 12) & (spread[5:] <= 16)).all()


def test_a_profile_is_level_up_to_the_first_cell_behind_the_pad():
    found = profile(LINE)
    assert found.shape == (200,)
    assert (found[:22] == 0).all()
    np.testing.assert_allclose(found[22:], 2 * np.pi / 100 * np.arange(1, 179), rtol=1e-4)


def test_no_network_makes_endless_ground():
    wild = network(
        [("identity", 10.0), ("square", 10.0), ("square", 10.0), ("square", 10.0)],
        [(INPUT, 0, 10.0, False), (INPUT, 1, 10.0), (3, 0, 10.0), (1, 2, 10.0), (2, 3, 10.0)],
    )
    batch = jax.tree.map(lambda leaf: leaf[None], wild)
    guarded, _ = jax.jit(cppn.guarded)(jax.random.key(17), batch)
    found = profile(guarded)
    assert np.isfinite(found).all()
    assert np.ptp(found) < 16.1


def test_every_terrain_of_a_hundred_generations_is_finite_and_between_low_and_high(lines):
    found = np.asarray(profile(lines))
    assert found.shape == (100, 8, 200)
    spread = np.ptp(found, axis=-1)
    assert spread.min() > 0.249
    assert spread.max() < 16.01
    assert mutated._cache_size() == 1  # the second generation needs no new program


def test_connections_stay_in_the_places_of_their_node_and_make_no_circle(lines):
    alive, source, target = lines.connections.alive, lines.connections.source, lines.connections.target
    place = np.arange(alive.shape[-1])
    owner = (place + 1) // 2
    assert (np.where(place % 2, target, np.where(place, source, 0)) == owner)[alive].all()
    for line in range(8):
        edges = {(int(a), int(b)) for a, b in zip(source[-1, line], target[-1, line], strict=True)}
        edges &= {(a, b) for a, b, _, _ in links(one(one(lines, -1), line))}
        while edges:
            ends = {b for _, b in edges}
            left = {(a, b) for a, b in edges if a in ends}
            assert left < edges
            edges = left


def test_every_child_differs_from_its_parent(lines):
    different = np.zeros((99, 8), bool)
    for leaf in jax.tree.leaves(lines[:2]):
        different |= (leaf[1:] != leaf[:-1]).any(axis=-1)
    assert different.all()
    assert lines.nodes.alive[-1].sum() > 8


def test_scales_do_not_pile_up():
    steep = network([("identity", 0.0)], [(INPUT, 0, 3.0)], 32, scale=0.001)
    children = mutated(keys(18, 8), batch_of(steep), AUTHORS)
    kept = children.nodes.alive.sum(axis=1) == 1
    assert kept.any()
    assert (children.scale[kept] > 0.5).all()


def test_a_parent_that_has_only_flat_children_comes_back():
    still = network([("identity", 0.0)], [(INPUT, 0, 0.0)], 32, scale=0.5)
    rates = Rates(add=0.0, delete=0.0, perturb=0.0)
    assert same(mutated(keys(19, 8), batch_of(still), rates), batch_of(still))


def test_a_key_makes_one_child():
    a, b, c = (one(mutated(keys(seed, 8), batch_of(network(*ROW, 32)), AUTHORS)) for seed in (20, 20, 21))
    assert same(a, b)
    assert not same(a, c)


def test_the_example_draws_a_hundred_generations(tmp_path):
    runpy.run_path(str(Path(__file__).parents[2] / "examples/terrains.py"))["main"](tmp_path / "terrains.png")
    assert (tmp_path / "terrains.png").read_bytes().startswith(b"\x89PNG")
