import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core import trees
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation
from aiga.nn.atari import large
from aiga.strategies.genetic import Genetic
from aiga.strategies.noise import NoiseTable
from aiga.strategies.seed_chains import (
    Chain,
    Chains,
    Decoder,
    Extension,
    Start,
    compression,
    on_host,
    places,
    with_room,
)

TABLE, NUMBERS = 2**16, 50
NAN = float("nan")
SCALE = np.linspace(0, 1, NUMBERS, dtype=np.float32)
NOISE = np.asarray(NoiseTable.make(TABLE).values)


def chain(start, *mutations):
    """A chain from its start and pairs of place and power."""
    return Chain(
        start,
        np.array([place for place, _ in mutations], "<u4").tobytes(),
        np.array([power for _, power in mutations], "<f4").tobytes(),
    )


def decoder(remember=4, noise=NOISE, scale=SCALE):
    return Decoder(noise, scale, remember)


def alike(a, b):
    """The same bits."""
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_weights_are_a_scaled_slice_and_then_powers_times_slices():
    noise = np.arange(8, dtype=np.float32)
    found = decoder(noise=noise, scale=np.array([1, 10, 0], np.float32)).weights(chain(2, (0, 1.0), (5, 0.5)))
    assert np.array_equal(found, [2 + 0 + 2.5, 30 + 1 + 3.0, 0 + 2 + 3.5])


def test_the_sum_is_taken_in_order():
    noise = np.array([1e8, 1.0, -1e8], np.float32)
    scale = np.ones(1, np.float32)
    assert decoder(noise=noise, scale=scale).weights(chain(0, (1, 1.0), (2, 1.0))) == 0
    assert decoder(noise=noise, scale=scale).weights(chain(0, (2, 1.0), (1, 1.0))) == 1


def descent(generations, population=16, parents=4):
    """The chains of each generation of a family whose parents are chosen at random."""
    rng = np.random.default_rng(0)
    family = [chain(int(start)) for start in rng.integers(places(TABLE, NUMBERS), size=population)]
    for _ in range(generations):
        yield family
        chosen = [family[i] for i in rng.choice(population, parents, replace=False)]
        additions = zip(
            rng.integers(parents, size=population), rng.integers(TABLE - NUMBERS, size=population), strict=True
        )
        family = [chain(chosen[i].start, *chosen[i].mutations(), (int(place), 0.002)) for i, place in additions]


def columns(family, room=64):
    """Chains of equal length as arrays."""
    at, powers = (
        np.stack([np.frombuffer(getattr(one, name), dtype) for one in family])
        for name, dtype in (("places", "<u4"), ("powers", "<f4"))
    )
    pad = ((0, 0), (0, room - at.shape[1]))
    start, length = (jnp.array(x) for x in zip(*((one.start, len(one)) for one in family), strict=True))
    return Chains(start, jnp.asarray(np.pad(at.astype(np.int32), pad)), jnp.asarray(np.pad(powers, pad)), length)


def test_decoding_from_the_chain_alone_gives_the_bits_that_were_evaluated(tmp_path):
    cached, generation, evaluated = decoder(remember=8), [], []
    for generation in descent(40):
        evaluated = [cached.weights(one) for one in generation]
    assert {len(one) for one in generation} == {39}
    trees.save(tmp_path / "chains.npz", columns(generation))
    loaded, _ = trees.load(tmp_path / "chains.npz", columns(generation[:1]))
    assert on_host(loaded) == generation
    for one, weights in zip(on_host(loaded), evaluated, strict=True):
        assert weights.dtype == np.float32
        assert alike(decoder(remember=1).weights(one), weights)
        assert alike(decoder().weights(Chain.unpacked(one.packed())), weights)


def test_another_process_decodes_the_same_bits():
    ours = chain(17, *[(1000 + 7 * i, 0.002 if i % 3 else 0.5) for i in range(30)])
    program = (
        "import sys, numpy as np\n"
        "from aiga.strategies.noise import NoiseTable\n"
        "from aiga.strategies.seed_chains import Chain, Decoder\n"
        f"scale = np.linspace(0, 1, {NUMBERS}, dtype=np.float32)\n"
        f"decoder = Decoder(np.asarray(NoiseTable.make({TABLE}).values), scale, 4)\n"
        "print(decoder.weights(Chain.unpacked(bytes.fromhex(sys.argv[1]))).tobytes().hex())"
    )
    done = subprocess.run([sys.executable, "-c", program, ours.packed().hex()], capture_output=True, check=True)
    assert bytes.fromhex(done.stdout.decode()) == decoder().weights(ours).tobytes()


def test_a_child_of_a_remembered_parent_costs_one_sum():
    reads = []

    class Counting(Decoder):
        def _slice(self, place):
            reads.append(place)
            return super()._slice(place)

    parent = chain(1, (2, 1.0), (3, 1.0))
    counting = Counting(NOISE, SCALE, 2)
    counting.weights(chain(1, (2, 1.0), (3, 1.0), (4, 1.0)))
    assert reads == [1, 2, 3, 4]
    counting.weights(chain(1, (2, 1.0), (3, 1.0), (5, 1.0)))
    assert reads[4:] == [5]
    counting.weights(chain(1, (2, 1.0), (3, 1.0), (5, 1.0), (6, 1.0)))
    assert reads[5:] == [5, 6], "the child became a parent: its own last mutation, and the grandchild's"
    assert parent == chain(1, (2, 1.0), (3, 1.0), (4, 1.0)).parent


def test_the_least_recent_parent_is_forgotten():
    small = decoder(remember=2)
    for i in (1, 2, 1, 3):
        small.weights(chain(i, (0, 1.0)))
    assert list(small._parents) == [chain(1), chain(3)]


@pytest.mark.parametrize("mutations", [[], [(7, 0.5)], [(7, 0.5), (9, 0.5), (2**32 - 1, 0.25), (0, 0.5)]])
def test_a_packed_chain_is_unpacked_the_same(mutations):
    one = chain(3, *mutations)
    assert Chain.unpacked(one.packed()) == one
    assert [(place, float(power)) for place, power in one.mutations()] == mutations


def test_equal_powers_are_packed_once():
    assert len(chain(3).packed()) == 8
    assert len(chain(3, (1, 0.5), (2, 0.5), (3, 0.5)).packed()) == 8 + 8 + 3 * 4
    assert len(chain(3, (1, 0.5), (2, 0.25), (3, 0.5)).packed()) == 8 + 3 * 8 + 3 * 4


def test_the_papers_network_is_ten_thousand_times_larger_than_its_chain_of_400_generations():
    numbers = large(18).size
    assert numbers == 4_052_658
    ours = chain(0, *[(i, 0.002) for i in range(400)])
    assert 4 * numbers == 16_210_632
    assert len(ours.packed()) == 1616
    assert compression(numbers, ours) == pytest.approx(10_031, abs=1)


def test_chains_grow_by_doubling_and_a_full_one_raises():
    parents = Chains(jnp.array([5]), jnp.zeros((1, 1), jnp.int32), jnp.zeros((1, 1)), jnp.array([0]))
    assert with_room(parents) is parents
    child, place = Extension(100, 0.5)(jax.random.key(0), parents)
    assert on_host(child) == [chain(5, (int(place[0]), 0.5))]
    with pytest.raises(Exception, match="a chain is full"):
        Extension(100, 0.5)(jax.random.key(1), child)
    roomy = with_room(child)
    assert roomy.places.shape == (1, 2)
    grandchild, after = Extension(100, 0.25)(jax.random.key(1), roomy)
    assert on_host(grandchild) == [chain(5, (int(place[0]), 0.5), (int(after[0]), 0.25))]


def test_chains_without_room_or_without_rows_may_ask_for_room():
    parents = jax.vmap(Start(100, room=0))(jax.random.split(jax.random.key(0), 2))
    assert with_room(parents).places.shape == (2, 1)
    nobody = jax.tree.map(lambda x: x[:0], with_room(parents))
    assert with_room(nobody) is nobody
    assert on_host(Extension(100, 0.5)(jax.random.key(0), nobody)[0]) == []


def test_a_search_over_chains_passes_over_failures_and_begins_anew_while_all_fail():
    strategy = Genetic(Extension(100, 0.5), Start(100, room=2), population=4, parents=3)
    state, ask, tell = strategy.init(jax.random.key(0)), jax.jit(strategy.ask), jax.jit(strategy.tell)
    for fitness, length, kept in (([NAN] * 4, 0, []), ([NAN, 1.0, 1.0, NAN], 0, [(1, 1), (1, 2)])):
        candidates = ask(jax.random.key(1), state)
        assert [len(chain) for chain in on_host(candidates.genomes)] == [length] * 4
        state, _ = tell(jax.random.key(2), state, candidates, Evaluation(jnp.array(fitness), jnp.zeros((4, 0))))
        assert [tuple(i) for i in np.asarray(state.identity)[~np.isnan(state.fitness)].tolist()] == kept
    assert [len(chain) for chain in on_host(ask(jax.random.key(3), state).genomes)] == [1] * 4


def test_slices_end_within_the_table():
    assert places(10, 10) == 1
    assert places(10, 9) == 2
    with pytest.raises(UsageError, match="11 numbers, the noise table 10"):
        places(10, 11)
