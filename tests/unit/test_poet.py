import asyncio
import inspect
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array, Float, Int

from aiga.core import trees
from aiga.core.errors import UsageError
from aiga.core.protocols import Transition
from aiga.core.trees import Layout, take
from aiga.inspect.pairs import happened
from aiga.learners.courses import Courses, of_obstacles
from aiga.learners.pairs import distances, joined, ranks, scored, settled
from aiga.learners.walkers import Beginner, Walk, Walkers, layout
from aiga.runs.events import Born, Extinct, Transferred
from aiga.runs.local_pool import LocalPool
from aiga.runs.pools import Serial
from aiga.strategies.noise import NoiseTable
from aiga.strategies.openai_es import OpenAIES
from aiga.systems.poet import PAPER, PAPER_ENHANCED, POET, POETState, make, make_enhanced

SIZES = (1, 1)
"""A policy is a weight and a bias; only the bias counts, for what is seen is zero."""


def a_key():
    return jax.random.key(0)


class Moment(NamedTuple):
    time: Int[Array, ""]


class Aim(eqx.Module):
    """One step: ten points less ten times the distance from the action to the target, which is the world."""

    def reset(self, key, params):
        return Moment(jnp.zeros((), jnp.int32)), jnp.zeros(1)

    def step(self, key, state, action: Float[Array, " 1"], params: Float[Array, ""]) -> Transition:
        reward = 10 - 10 * jnp.abs(action[0] - params)
        ended = jnp.ones((), bool)
        return Transition(Moment(state.time + 1), jnp.zeros(1), reward, ended, ended)


def nowhere(key):
    return {"target": jnp.zeros(())}


def moved(key, genome):
    return {"target": genome["target"] + jax.random.uniform(key, minval=0.1, maxval=0.2)}


def target(key, genome):
    return genome["target"]


def described(genome):
    return genome["target"][None]


def distance(genome):
    return jnp.abs(genome["target"])


AIM = Courses(Aim(), 1, 1, nowhere, moved, target, described, distance)
WALK = Walk(Aim(), SIZES, 1)
RULES = {
    "criterion": (2.0, 9.9), "reproduce": 8.0, "solved": 9.5, "capacity": 3, "mutate_every": 2, "children": 4,
    "admitted": 1, "novelty_by": "genome", "transfer_every": 2, "transfers": "best",
}  # fmt: skip


def poet(pairs: int = 4, rate: float = 0.02, limit: int = 0, control: str = "none", pool=None, **rules) -> POET:
    size = layout(SIZES).size
    strategy = OpenAIES(
        NoiseTable.make(4096), Layout.of(jnp.zeros(size)), Beginner(size), pairs, 0.1, rate, 0.0,
        divide=True, sigma_decay=0.5, sigma_floor=0.01,
    )  # fmt: skip
    newborn = replace(strategy, optimiser="sgd", sigma_decay=1.0)
    return POET(
        AIM, WALK, pool or Serial(), strategy, newborn, 16, 2, **{**RULES, **rules}, limit=limit, control=control
    )


def aiming(system: POET, state: POETState, *aims: tuple[float, float]) -> POETState:
    """A state of pairs, each given by the target of its world and the action of its agent; scores are right."""
    pairs = take(state.active, slice(1))
    rows = []
    for number, (goal, action) in enumerate(aims):
        mean = jnp.array([0, np.arctanh(action)], jnp.float32)
        pair = settled(
            pairs, 0, system.strategy.begin(mean, (0, 2 * number + 1)), 10 - 10 * abs(goal - action), take(pairs, 0)
        )
        place = np.full(1, goal, np.float32)
        rows.append(
            pair._replace(
                genome={"target": place},
                course=place,
                vector=place[:, None],
                difficulty=np.abs(place),
                world=np.array([(0, 2 * number)]),
                recent=np.append(pairs.recent[:, 1:], pair.score[:, None], axis=1),
            )
        )
    active = rows[0]
    for row in rows[1:]:
        active = joined(active, row)
    return state._replace(active=active, iteration=np.array(4))


def actions(state: POETState) -> np.ndarray:
    return np.tanh(np.asarray(state.active.cloud.mean)[:, 1])


def transferred(system: POET, state: POETState):
    after = asyncio.run(system.transfer(a_key(), state, walkers()))
    return after, happened(state.active, after.active, "transfer")


def walkers() -> Walkers:
    return Walkers(WALK, 16, Serial(), [])


def steps(system: POET, state: POETState, first: int, last: int):
    async def go():
        now, infos = state, []
        for step in range(first, last):
            now, info = await system.step(jax.random.key(step), now)
            infos.append(info)
        return now, infos

    return asyncio.run(go())


def leaves(state) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def test_the_minimal_criterion_admits_scores_between_its_bounds():
    scores = np.array([1.9, 2.0, 9.9, 9.95, -np.inf])
    assert poet().meets(scores).tolist() == [False, True, True, False, False]


def test_novelty_is_the_mean_distance_to_the_five_nearest_or_to_all_if_there_are_fewer():
    others = np.array([[1.0], [2.0], [3.0], [4.0], [5.0], [100.0]])
    assert distances(np.zeros((1, 1)), others, 5).tolist() == [3.0]
    assert distances(np.array([[0.0], [4.0]]), others[:2], 5).tolist() == [1.5, 2.5]


def test_pata_ec_ranks_all_agents_in_a_world_within_the_criterion():
    scores = np.clip(np.array([[-80.0, 30.0, 20.0], [400.0, 350.0, 100.0]]), 25, 340)
    assert np.allclose(ranks(scores), [[-0.25, 0.5, -0.25], [0.25, 0.25, -0.5]])


def test_a_world_is_novel_by_pata_ec_if_agents_rank_otherwise_in_it():
    system = poet(novelty_by="pata_ec", criterion=(-30.0, 10.0))
    state = aiming(system, system.init(a_key()), (0.0, 0.0), (0.1, 0.5))
    children = aiming(system, state, (0.05, 0.0), (0.9, 0.0)).active
    novelty = asyncio.run(system.novelty(a_key(), state, children, walkers()))
    # Both known worlds and the first child prefer the agent that acts 0; the second child prefers the other.
    assert np.allclose(novelty, [0, np.sqrt(2)])


def test_an_agent_that_is_better_elsewhere_moves_there_and_its_optimiser_begins_anew():
    system = poet(rate=1e-9)
    state = aiming(system, system.init(a_key()), (0.0, 0.6), (0.6, 0.0))
    used = eqx.tree_at(
        lambda s: s.active.cloud.optimiser, state, jax.tree.map(lambda x: x + 1, state.active.cloud.optimiser)
    )
    after, events = transferred(system, used)
    assert np.allclose(actions(after), [0.0, 0.6], atol=1e-4)
    assert np.allclose(after.active.score, 10, atol=1e-3)
    assert after.active.cloud.optimiser[0].count.tolist() == [0, 0]
    assert after.transfers.tolist() == [2, 2]
    moves = [event for event in events.values() if isinstance(event, Transferred)]
    assert [(move.source, move.target) for move in moves] == [((0, 2), (0, 0)), ((0, 0), (0, 2))]
    assert events["transfer/agents"].parents.tolist() == [[[0, 3]], [[0, 1]]]


def test_nobody_moves_where_the_agent_that_is_there_is_as_good():
    system = poet(rate=1e-9)
    state = aiming(system, system.init(a_key()), (0.0, 0.2), (0.4, 0.2))
    after, events = transferred(system, state)
    assert events == {}
    assert after.transfers.tolist() == [2, 0]


def test_by_the_threshold_a_guest_has_to_beat_the_best_of_the_last_five_scores():
    for remembered, moves in ((9.0, 0), (6.0, 1)):
        system = poet(rate=1e-9, transfers="threshold")
        state = aiming(
            system, system.init(a_key()), (0.0, 0.5), (0.2, 0.2)
        )  # the second agent scores 8 in the first world
        recent = np.array([[np.nan, remembered, 5, 5, 5], [np.nan, 10, 10, 10, 10]], np.float32)
        state = state._replace(active=state.active._replace(recent=recent))
        after, events = transferred(system, state)
        assert sum(isinstance(event, Transferred) for event in events.values()) == moves
        assert np.allclose(actions(after)[0], 0.2 if moves else 0.5, atol=1e-4)


def test_by_the_threshold_only_a_proposal_moves():
    """A guest as it is would do, but its proposal, a step of ES that is far too large, would not."""
    state = aiming(poet(), poet().init(a_key()), (0.0, 0.9), (0.3, 0.3))
    for transfer, moves in (("best", 1), ("threshold", 0)):
        system = poet(rate=50.0, transfers=transfer)
        _, events = transferred(system, state)
        assert sum(isinstance(event, Transferred) for event in events.values()) == moves


def test_the_oldest_pair_is_retired_when_there_are_too_many_and_a_child_begins_with_the_best_agent():
    system = poet(rate=1e-9, capacity=2, criterion=(2.0, 10.0))
    state = aiming(system, system.init(a_key()), (0.0, 0.02), (0.5, 0.5))
    after = asyncio.run(system.mutate_worlds(a_key(), state, walkers()))
    events = happened(state.active, after.active, "invention")
    assert after.active.world.tolist() == [[0, 2], [4, 0]]
    assert after.retired.world.tolist() == [[0, 0]]
    assert after.retired.retired.tolist() == [4]
    assert events["extinct/0"] == Extinct((0, 0))
    child = take(after.active, 1)
    errors = np.abs(np.array([0.02, 0.5]) - child.course)
    assert np.isclose(np.tanh(child.cloud.mean[1]), [0.02, 0.5][errors.argmin()], atol=1e-3)
    assert events["invention/worlds"].parents.tolist() == [child.parent[None].tolist()]
    assert events["invention/0"].source == [(0, 0), (0, 2)][errors.argmin()]


def test_only_worlds_whose_agents_do_well_have_children_and_only_within_the_criterion():
    system = poet(reproduce=9.0)
    state = aiming(system, system.init(a_key()), (0.0, 0.2), (0.5, 0.5))
    children = asyncio.run(system.bred(a_key(), state, walkers()))
    assert len(children.score) == 4
    assert (children.parent == [0, 2]).all()
    assert ((children.score >= 2) & (children.score <= 9.9)).all()
    assert len(asyncio.run(poet(criterion=(-9.0, -8.0)).bred(a_key(), state, walkers())).score) == 0
    assert len(asyncio.run(poet(reproduce=10.1).bred(a_key(), state, walkers())).score) == 0


def test_annecs_counts_solved_worlds_that_were_too_easy_for_no_agent_so_far():
    system = poet(rate=1e-9)
    state = aiming(system, system.init(a_key()), (0.0, 0.05))
    for former, fresh in ((0.0, True), (0.15, False)):  # retired agents: one that cannot, one that can
        retired = aiming(system, state, (0.9, former)).active
        child = aiming(system, state, (0.15, 0.05)).active
        found = asyncio.run(system.met(a_key(), state._replace(retired=retired), child, 0, walkers()))
        after = state._replace(active=joined(state.active, found))
        assert after.active.fresh.tolist() == [False, fresh]  # the first world was not admitted
        assert system.report(after)["poet/annecs"] == 0, "nobody has solved it"
        solved = after._replace(active=after.active._replace(solved=np.array([-1, 7])))
        assert system.report(solved)["poet/annecs"] == int(fresh)


def test_worlds_branch_are_solved_and_recorded():
    system = poet(pairs=16, rate=0.03)
    state, infos = steps(system, system.init(a_key()), 0, 40)
    last = infos[-1]
    assert last["poet/active"] == 3
    assert last["poet/worlds"] > 6
    assert last["poet/annecs"] > 1
    assert last["poet/transfers"] > 0
    born = [event for info in infos for event in info.values() if isinstance(event, Born)]
    worlds = {tuple(i) for event in born if event.operator == "world" for i in event.id.tolist()}
    agents = {tuple(i) for event in born if event.operator == "agent" for i in event.id.tolist()}
    assert worlds == {tuple(world) for world in joined(state.retired, state.active).world.tolist()}
    assert not worlds & agents
    parents = {tuple(i) for event in born for i in event.parents.reshape(-1, 2).tolist()} - {(-1, -1)}
    assert parents <= worlds | agents
    assert last["poet/episodes"] == sum(np.diff([0, *[info["poet/episodes"] for info in infos]]))


def test_without_transfer_there_is_none():
    system = poet(pairs=16, rate=0.03, transfers="none")
    _, infos = steps(system, system.init(a_key()), 0, 12)
    assert infos[-1]["poet/transfers_tried"] == 0
    assert infos[-1]["poet/active"] > 1
    parents = {}
    for event in (event for info in infos for event in info.values() if getattr(event, "operator", "") == "world"):
        parents |= {
            tuple(world.tolist()): tuple(parent.tolist())
            for world, [parent] in zip(event.id, event.parents, strict=True)
        }
    moves = [event for info in infos for event in info.values() if isinstance(event, Transferred)]
    assert moves
    assert all(parents[move.target] == move.source for move in moves), "a new world begins with its parent's agent"


def test_the_best_agent_of_a_world_is_kept_when_it_gets_worse():
    system = poet()
    pairs = aiming(system, system.init(a_key()), (0.0, 0.05)).active
    good = scored(pairs, np.array([70.0]), 3, 65.0)
    worse = scored(good._replace(cloud=good.cloud._replace(mean=good.cloud.mean + 1)), np.array([40.0]), 4, 65.0)
    assert worse.best.tolist() == [70.0]
    assert (worse.champion == pairs.cloud.mean).all()
    assert worse.solved.tolist() == [3]


def test_enhanced_poet_has_the_options_of_poet_and_other_defaults_of_three():
    own, enhanced = (inspect.signature(one).parameters for one in (make, make_enhanced))
    assert list(own) == list(enhanced)
    assert {n for n in own if own[n].default != enhanced[n].default} == {"world", "novelty", "transfer"}


def test_a_run_continues_from_any_iteration_as_if_it_had_not_been_interrupted(tmp_path):
    system = poet(pairs=16, rate=0.03)
    expected, _ = steps(system, system.init(a_key()), 0, 12)
    for at in (3, 8):
        halfway, _ = steps(system, system.init(a_key()), 0, at)
        trees.save(tmp_path / "checkpoint.npz", halfway)
        restored, _ = trees.load(tmp_path / "checkpoint.npz", poet(pairs=16, rate=0.03).init(a_key()))
        resumed, _ = steps(system, restored, at, 12)
        assert len(expected.active.score) > 1
        for a, b in zip(leaves(expected), leaves(resumed), strict=True):
            assert a.dtype == b.dtype
            assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def test_scores_do_not_depend_on_the_number_of_workers():
    policies = np.linspace(-1, 1, 40, dtype=np.float32)[:, None] * np.array([0, 1], np.float32)
    courses = np.linspace(0, 1, 40, dtype=np.float32)
    alone = asyncio.run(walkers().score(a_key(), policies, courses))
    with LocalPool(2) as pool:
        together = asyncio.run(Walkers(WALK, 16, pool, []).score(a_key(), policies, courses))
    assert np.array_equal(alone, together)
    assert np.allclose(alone, 10 - 10 * np.abs(np.tanh(policies[:, 1]) - courses), atol=1e-4)


@pytest.mark.parametrize(("count", "sizes"), [(64, [64]), (80, [64, 16]), (81, [64, 64])])
def test_the_rest_of_a_round_is_a_batch_a_quarter_as_large_if_it_fits(count, sizes):
    class Counting(Serial):
        def submit(self, fn, walk, seed, policies, courses):
            seen.append(len(policies))
            return super().submit(fn, walk, seed, policies, courses)

    seen, policies = [], np.zeros((count, 2), np.float32)
    courses = np.linspace(0, 1, count, dtype=np.float32)
    score = asyncio.run(Walkers(WALK, 64, Counting(), []).score(a_key(), policies, courses))
    assert seen == sizes
    assert np.allclose(score, 10 - 10 * courses, atol=1e-4)


def test_clouds_shrink_as_they_learn_and_are_wide_again_after_a_transfer():
    system = poet(transfers="none")
    state, _ = steps(system, system.init(a_key()), 0, 2)
    cloud = take(state.active.cloud, 0)
    assert np.isclose(system.strategy.deviation(cloud), 0.1 * 0.5**2)
    after = settled(state.active, 0, system.strategy.begin(jnp.asarray(cloud.mean), (2, 9)), 1.0, take(state.active, 0))
    assert np.isclose(system.strategy.deviation(take(after.cloud, 0)), 0.1)


@pytest.mark.parametrize("control", ["none", "scratch", "curriculum"])
def test_at_the_limit_the_hardest_world_that_was_solved_is_tried_by_the_control(control):
    system = poet(pairs=16, rate=0.03, limit=1500, control=control)
    state, infos = steps(system, system.init(a_key()), 0, 1)
    for step in range(1, 100):
        state, more = steps(system, state, step, step + 1)
        infos += more
        if "run/finished" in infos[-1]:
            break
    everyone = joined(state.retired, state.active)
    assert infos[-1]["target/difficulty"] == everyone.difficulty[everyone.solved >= 0].max()
    assert infos[-1]["target/return"] > 5
    assert state.steps >= 1500
    if control != "none":
        assert state.trial.steps >= state.steps
    if control == "curriculum":
        stages = [int(info["target/stage"]) for info in infos if "target/stage" in info]
        assert stages == sorted(stages)
        assert stages[-1] > 1


def test_the_difficulty_of_a_flat_course_is_zero_and_adds_up_over_what_is_in_the_way():
    genome = make().courses.first(a_key())
    assert of_obstacles(genome) == 0
    assert np.isclose(of_obstacles(genome._replace(roughness=jnp.array(5.0), pit=jnp.array([1.0, 4.0]))), 1.0)


def test_courses_of_both_kinds_are_grounds_of_the_same_shape():
    grass, curve = make().init(a_key()).active, make_enhanced().init(a_key()).active
    assert [leaf.shape for leaf in jax.tree.leaves(grass.course)] == [
        leaf.shape for leaf in jax.tree.leaves(curve.course)
    ]
    assert grass.cloud.mean.shape == (1, 24 * 40 + 40 + 40 * 40 + 40 + 40 * 4 + 4)


def test_the_papers_settings_are_those_of_the_authors_code():
    paper = make(**{**PAPER, "table": 2**19})
    assert (paper.strategy.pairs, paper.episodes, paper.walk.horizon) == (256, 5, 2000)
    assert (paper.transfers, paper.novelty_by, paper.capacity) == ("best", "genome", 25)
    assert float(optax.exponential_decay(0.01, 1, 0.9999, end_value=0.001)(0)) == float(paper.strategy.learning_rate(0))
    enhanced = make_enhanced(**{**PAPER_ENHANCED, "table": 2**19})
    assert (enhanced.transfers, enhanced.novelty_by, enhanced.capacity) == ("threshold", "pata_ec", 40)
    assert (enhanced.mutate_every, paper.mutate_every) == (150, 200)


def test_options_that_cannot_work_are_refused():
    with pytest.raises(UsageError, match="begin at 1"):
        make(capacity=0)
    for wrong, said in (
        ({"criterion": (5.0, 1.0)}, "the lower first"),
        ({"kinds": ("nonsense",)}, "some of roughness, pit, stump, stairs"),
        ({"kinds": ()}, "some of roughness"),
        ({"admitted": 7}, "room for 6"),
        ({"control": "scratch"}, "after which the control begins"),
        ({"learning_rate": (-1.0, 1.0, 0.0)}, "`learning_rate` is"),
        ({"l2": -1.0}, "0 or more"),
        ({"table": 100}, "tens of times"),
    ):
        with pytest.raises(UsageError, match=said):
            make(**wrong)
    with pytest.raises(UsageError, match="curriculum needs worlds between"):
        make_enhanced(control="curriculum", limit=1)
