"""Lifts turn strategies and phases into systems."""

import asyncio

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core import trees
from aiga.core.errors import UsageError
from aiga.core.lifts import Generational, Journal, Scanned, Stage, Stages, SteadyState, maybe
from aiga.core.protocols import Candidates, Evaluation, Strategy, System
from aiga.runs.events import Born


class Walk:
    """A strategy whose state is the sum of what it was told; it asks `n` candidates near the state."""

    def __init__(self, n=3):
        self.n = n

    def init(self, key):
        return jnp.zeros(())

    def ask(self, key, state):
        return Candidates(state + jax.random.normal(key, (self.n, 1)), jnp.full((self.n, 1, 2), -1))

    def tell(self, key, state, candidates, evaluation):
        born = Born(trees.identities(0, self.n), candidates.parents, "walk", jnp.ones(self.n), evaluation.fitness)
        total = state + evaluation.fitness.sum()
        return total, {"walk/total": total, "walk/best": evaluation.fitness.max(), "born": born}


def score(key, genomes):
    return Evaluation(genomes[:, 0], genomes[:, :0])


def test_lifts_are_systems_and_strategies_are_strategies():
    assert isinstance(Walk(), Strategy)
    assert isinstance(Generational(Walk(), score), System)
    assert isinstance(SteadyState(Walk(1), score), System)


def test_a_scanned_step_equals_the_steps_it_fuses():
    plain = Generational(Walk(), score)
    fused = Scanned(plain, 5, reducers={"walk/best": jnp.max})
    state, bests, totals = plain.init(jax.random.key(0)), [], []
    for key in jax.random.split(jax.random.key(1), 5):
        state, info = plain.step(key, state)
        bests.append(info["walk/best"])
        totals.append(info["walk/total"])
    together, info = fused.step(jax.random.key(1), fused.init(jax.random.key(0)))
    assert jnp.allclose(together, state)
    assert info["walk/best"] == max(bests), "the reducer given for this key"
    assert info["walk/total"] == totals[-1], "the last value by default"


def test_a_scanned_step_keeps_every_row_of_an_event():
    fused = Scanned(Generational(Walk(n=3), score), 5)
    _, info = fused.step(jax.random.key(1), fused.init(jax.random.key(0)))
    assert info["born"].id.shape == (15, 2)
    assert info["born"].operator == "walk"


def test_no_steps_are_not_fused():
    with pytest.raises(UsageError, match="0 steps cannot be fused"):
        Scanned(Generational(Walk(), score), 0)


def delayed(seconds):
    async def evaluate(key, genomes):
        await asyncio.sleep(seconds(float(genomes[0, 0])))
        return Evaluation(jnp.asarray(genomes[:, 0]) + jax.random.normal(key, (1,)), jnp.zeros((1, 0)))

    return evaluate


def drive(system, steps, state=None, start=0):
    async def go():
        nonlocal state
        if state is None:
            state = system.init(jax.random.key(0))
        infos = []
        for step in range(start, start + steps):
            state, info = await maybe(system.step(jax.random.fold_in(jax.random.key(1), step), state))
            infos.append(info)
        return state, infos

    return asyncio.run(go())


def test_steady_state_tells_in_the_order_of_submission_when_evaluations_tie():
    seen = []

    async def evaluate(key, genomes):
        seen.append(float(genomes[0, 0]))
        return Evaluation(jnp.asarray(genomes[:, 0]), jnp.zeros((1, 0)))

    state, infos = drive(SteadyState(Walk(1), evaluate, workers=4), 6)
    told = [float(info["walk/best"]) for info in infos]
    assert np.allclose(told, seen[:6])
    assert int(state.submitted) == 9, "six told, three still in flight"


def test_steady_state_does_not_wait_for_the_slowest():
    slow_first = iter([0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    state, _ = drive(SteadyState(Walk(1), delayed(lambda x: next(slow_first)), workers=2), 5)
    assert 0 in state.ids, "the first submitted is still in flight after five others were told"


def test_a_resumed_steady_state_evaluates_the_same_candidates(tmp_path):
    whole, _ = drive(SteadyState(Walk(1), delayed(lambda x: 0.0), workers=3), 8)
    half, _ = drive(SteadyState(Walk(1), delayed(lambda x: 0.0), workers=3), 4)
    trees.save(tmp_path / "state.npz", half)
    fresh = SteadyState(Walk(1), delayed(lambda x: 0.0), workers=3)
    half, _ = trees.load(tmp_path / "state.npz", fresh.init(jax.random.key(7)))
    resumed, _ = drive(fresh, 4, half, start=4)
    assert jnp.array_equal(resumed.strategy, whole.strategy)
    assert np.array_equal(resumed.candidates.genomes, whole.candidates.genomes)


class Order(dict):
    """A journal in memory."""

    def put(self, step, candidate):
        self[step] = candidate


def by_id(ranks):
    """Evaluations that end in an order of their own: candidate `i` lets `ranks[i % len]` turns of the loop go by."""
    count = iter(range(10**6))

    async def evaluate(key, genomes):
        for _ in range(ranks[next(count) % len(ranks)]):
            await asyncio.sleep(0)
        return Evaluation(jnp.asarray(genomes[:, 0]) + jax.random.normal(key, (1,)), jnp.zeros((1, 0)))

    return evaluate


def equal(tree, other):
    return jax.tree.all(jax.tree.map(lambda x, y: bool(jnp.array_equal(key_data(x), key_data(y))), tree, other))


def key_data(leaf):
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def test_steady_state_writes_down_who_was_told_at_which_step():
    journal = Order()
    state, _ = drive(SteadyState(Walk(1), by_id([90, 2, 30, 2]), workers=3, journal=journal), 4)
    assert isinstance(journal, Journal)
    assert list(journal) == [0, 1, 2, 3]
    assert sorted({*journal.values(), *(int(i) for i in state.ids if i >= 0)}) == list(range(6))
    assert 0 not in journal.values(), "the slowest is still in flight"
    assert int(state.told) == 4


def test_a_resumed_run_with_a_journal_equals_the_first_whatever_the_clock_says(tmp_path):
    journal = Order()
    ranks = [90, 2, 30, 2, 17, 60, 5]
    first = SteadyState(Walk(1), by_id(ranks), workers=3, journal=journal)
    early, _ = drive(first, 3)
    trees.save(tmp_path / "early.npz", early)
    whole, infos = drive(SteadyState(Walk(1), by_id(ranks), workers=3, journal=journal), 10)
    order = dict(journal)
    for other in ([0], [1, 80, 1, 40], ranks[::-1]):
        fresh = SteadyState(Walk(1), by_id(other), workers=3, journal=journal)
        loaded, _ = trees.load(tmp_path / "early.npz", fresh.init(jax.random.key(7)))
        resumed, again = drive(fresh, 7, loaded, start=3)
        assert equal(resumed, whole)
        assert [float(i["walk/total"]) for i in again] == [float(i["walk/total"]) for i in infos[3:]]
        assert journal == order, "nothing is written down twice"
    free, _ = drive(SteadyState(Walk(1), by_id(ranks[::-1]), workers=3), 10)
    assert not equal(free, whole), "without a journal another timing is another run"


def test_steps_beyond_the_journal_are_in_the_order_of_the_clock():
    journal = Order({0: 2, 1: 0})
    state, _ = drive(SteadyState(Walk(1), by_id([0, 40, 20, 80, 200, 200]), workers=4, journal=journal), 3)
    assert list(journal.values()) == [2, 0, 1]
    assert int(state.told) == 3


def test_the_journal_of_another_run_is_refused():
    with pytest.raises(AssertionError, match="another run"):
        drive(SteadyState(Walk(1), by_id([0]), workers=2, journal=Order({0: 7})), 1)


def test_an_exception_of_an_evaluation_reaches_the_caller():
    async def evaluate(key, genomes):
        raise RuntimeError("the world broke")

    with pytest.raises(RuntimeError, match="the world broke"):
        drive(SteadyState(Walk(1), evaluate, workers=1), 1)


class Count:
    """A system that counts its steps."""

    def init(self, key):
        return jnp.zeros((), int)

    def step(self, key, state):
        return state + 1, {"count/value": state + 1}


def test_stages_run_in_order_inherit_and_end_the_run():
    stages = Stages(
        [
            Stage("first", Count(), finished=lambda s: bool(s == 2)),
            Stage(
                "second", Count(), finished=lambda s: bool(s == 22), inherit=lambda own, previous: own + 10 * previous
            ),
        ]
    )
    _, infos = drive(stages, 4)
    assert [info["stage/name"] for info in infos] == ["first", "first", "second", "second"]
    assert [int(info["count/value"]) for info in infos] == [1, 2, 21, 22]
    assert "run/finished" in infos[3]
    assert "run/finished" not in infos[2]


def test_stages_are_saved_and_loaded_in_any_stage(tmp_path):
    stages = Stages([Stage("first", Count(), finished=lambda s: bool(s == 2)), Stage("second", Count())])
    state, _ = drive(stages, 3)
    trees.save(tmp_path / "state.npz", state)
    loaded, _ = trees.load(tmp_path / "state.npz", stages.init(jax.random.key(5)))
    assert int(loaded.current) == 1
    assert [int(s) for s in loaded.states] == [2, 1]
