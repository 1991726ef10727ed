"""Go-Explore in a small world, and a short while in the real one."""

import asyncio
from dataclasses import replace

import jax
import numpy as np
import pytest
from grid_world import GridWorld, Liar, Square, quarter

from aiga.core import trees
from aiga.core.errors import UsageError
from aiga.envs.pixels import Pixels
from aiga.envs.restorable import Explore, World, replay
from aiga.learners.examination import Examined
from aiga.runs.local_pool import LocalPool
from aiga.runs.pools import Lost, Serial
from aiga.systems import go_explore
from aiga.systems.go_explore import PAPER, Dynamic, GoExplore, make

HOW = Explore(Square(), quarter, steps=12, repeat=2.0)


def system(**options) -> GoExplore:
    return GoExplore(World(GridWorld), HOW, **({"batch": 10} | options))


def run(system, steps, state=None, first=0, seed=0):
    async def go(state):
        info = {}
        for step in range(first, first + steps):
            state, info = await system.step(jax.random.fold_in(jax.random.key(seed), step + 1), state)
        return state, info

    return asyncio.run(go(system.init(jax.random.key(seed)) if state is None else state))


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_every_elite_replays_to_its_score_its_length_and_its_cell():
    archive = run(system(), 30)[0].archive
    assert archive.size > 100
    for row in range(int(archive.size)):
        expected = (archive.score[row], archive.length[row], archive.keys[row].tobytes())
        assert replay(World(GridWorld), Square(), archive.actions(row)) == expected
        env = GridWorld()
        env.restore(archive.snapshot(row))
        assert Square()(env) == archive.keys[row].tobytes()


def test_it_finds_the_coins_and_the_rooms_that_the_control_does_not():
    _, info = run(system(), 40)
    _, control = run(system(returns=False), 40)
    assert (info["score/best"], info["go_explore/rooms"]) == (18.0, 4)
    assert control["score/best"] < 18
    assert control["archive/cells"] < info["archive/cells"]


def test_any_number_of_workers_gives_the_same_run():
    alone, _ = run(system(pool=Serial()), 6)
    for workers in (1, 2):
        with LocalPool(workers) as pool:
            together, _ = run(system(pool=pool), 6)
        same(alone, together)


def test_telling_workers_what_is_known_changes_nothing(monkeypatch):
    told, _ = run(system(), 8)
    for known in (0, 7):
        monkeypatch.setattr(go_explore, "KNOWN", known)
        untold, _ = run(system(), 8)
        same(told, untold)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole, _ = run(system(), 8)
    half, _ = run(system(), 4)
    trees.save(tmp_path / "state.npz", half)
    loaded, _ = trees.load(tmp_path / "state.npz", system().init(jax.random.key(0)))
    same(run(system(), 4, loaded, first=4)[0], whole)


def test_a_step_leaves_its_state_as_it_was():
    state, _ = run(system(), 3)
    before = jax.tree.map(np.copy, state)
    one, _ = run(system(), 1, state, first=3)
    same(state, before)
    same(run(system(), 1, state, first=3)[0], one)


def test_a_record_that_cannot_be_replayed_stops_the_run():
    with pytest.raises(RuntimeError, match="from the reset gives"):
        run(GoExplore(World(Liar), HOW, batch=10), 40)


def test_a_lost_worker_stops_the_run():
    class Losing(Serial):
        def submit(self, fn, *args):
            return super().submit(Lost, "explore_many", 4, -9)

    with pytest.raises(RuntimeError, match="Lost"):
        run(system(pool=Losing()), 1)


def test_births_name_parents_that_were_born_before():
    state, known = system().init(jax.random.key(0)), {(0, 0), (-1, -1)}
    for step in range(10):
        state, info = run(system(), 1, state, first=step)
        born = info["born"]
        assert set(map(tuple, born.parents[:, 0].tolist())) <= known
        known |= set(map(tuple, born.id.tolist()))
        assert (born.kept > 0).all()


def test_seeds_differ():
    assert run(system(), 3, seed=1)[1]["go_explore/frames"] != run(system(), 3, seed=2)[1]["go_explore/frames"]


@pytest.mark.parametrize("cells", ["pixels", "domain"])
def test_montezuma_is_explored_and_verified(cells):
    game = make(cells=cells, batch=20).stages[0].system
    state, info = run(game, 2)
    archive = state.archive
    assert info["archive/cells"] > 8
    assert info["go_explore/rooms"] >= 1
    assert info["go_explore/frames"] == 4 * int(state.actions)
    row = int(np.argmax(archive.length[: archive.size]))
    expected = (archive.score[row], archive.length[row], archive.keys[row].tobytes())
    assert replay(game.world, game.how.cell, archive.actions(row)) == expected
    assert archive.snapshots.length[: archive.size].max() < 1000


DYNAMIC = Dynamic(frames=40, sample=0.2, first=200, every=1000, iterations=30)
SEEING = Explore(Pixels(2, 2, 2), quarter, GridWorld.frame, 12, 2.0, sample=0.2)


def test_dynamic_cells_follow_what_was_seen_and_every_elite_still_replays():
    system = GoExplore(World(GridWorld), SEEING, batch=10, dynamic=DYNAMIC)
    state, info = run(system, 30)
    view = (info["cells/width"], info["cells/height"], info["cells/depth"])
    assert state.archive.keys.shape[1] == view[0] * view[1] > 4
    for row in range(int(state.archive.size)):
        expected = (state.archive.score[row], state.archive.length[row], state.archive.keys[row].tobytes())
        assert replay(World(GridWorld), Pixels(*view), state.archive.actions(row)) == expected


def test_dynamic_cells_resume_and_do_not_depend_on_workers(tmp_path):
    def fresh(pool=None):
        return GoExplore(World(GridWorld), SEEING, batch=10, dynamic=DYNAMIC, pool=pool)

    whole, _ = run(fresh(), 8)
    half, _ = run(fresh(), 4)
    assert half.view.any()
    trees.save(tmp_path / "state.npz", half)
    loaded, _ = trees.load(tmp_path / "state.npz", fresh().init(jax.random.key(0)))
    with LocalPool(2) as pool:
        same(run(fresh(pool), 4, loaded, first=4)[0], whole)


def test_domain_cells_are_refused_for_games_whose_memory_is_not_known():
    with pytest.raises(UsageError, match="montezuma_revenge, pitfall"):
        make("breakout", "domain")


def test_dynamic_cells_are_looked_for_when_the_actions_have_doubled_and_at_intervals():
    dynamic = Dynamic(first=10, every=100)
    looks = [n for n in range(1, 301) if dynamic.looks(n) != dynamic.looks(n - 1)]
    assert looks == [10, 20, 40, 80, 100, 160, 200, 300]


def test_a_run_does_not_depend_on_what_its_process_played_before():
    """An emulator that has been used resets to other bytes than a fresh one."""
    system = make(batch=2, explore_steps=5).stages[0].system
    first = system.init(jax.random.key(0))
    asyncio.run(system.step(jax.random.key(1), first))
    again = system.init(jax.random.key(0))
    assert np.array_equal(first.archive.origin, again.archive.origin)


KEY = [
    (14, 10), (10, 3), (1, 1), (5, 5), (11, 5), (3, 1), (13, 20), (12, 10), (0, 8), (11, 2), (8, 4), (4, 3), (12, 7),
    (15, 7), (17, 7), (10, 9), (4, 2), (17, 1),
]  # fmt: skip
"""Actions, and how often each is repeated, that fetch the first key of Montezuma's Revenge."""
DEMO = np.repeat(*np.array(KEY, np.uint8).T)


def test_a_system_without_robustification_has_one_phase_and_with_it_three():
    names = {choice: [stage.name for stage in make(robustify=choice).stages] for choice in ("no", "blind", "policy")}
    assert names == {
        "no": ["explore"], "blind": ["explore", "examine"], "policy": ["explore", "robustify", "examine"]
    }  # fmt: skip


def test_exploration_ends_at_the_target_and_hands_over_its_shortest_best_trajectory():
    explore, learn, examine = make(cells="domain", batch=2, robustify="policy").stages
    state = explore.system.init(jax.random.key(0))
    assert not explore.finished(state)
    state = state._replace(best=np.array(100.0))
    assert explore.finished(state)
    archive = state.archive._replace(score=state.archive.score + 100)
    begun = learn.inherit(learn.system.init(jax.random.key(1)), state._replace(archive=archive))
    assert begun.actions.tolist() == archive.actions(0).tolist()
    learnt = begun._replace(actions=DEMO)
    examined = examine.inherit(examine.system.init(jax.random.key(2)), learnt)
    assert examined.policy is learnt.learner.policy
    assert examined.actions is DEMO


def test_the_first_key_is_practised_from_just_before_it_and_examined():
    _, learn, examine = make(cells="domain", robustify="policy", practice=64).stages
    small = replace(learn.system, worlds=4, length=8)
    state, info = run(small, 2, small.init(jax.random.key(0))._replace(actions=DEMO))
    assert info["backward/start"] == 101
    assert info["backward/steps"] == 64
    assert learn.finished(state)
    _, info = run(replace(examine.system, episodes=4), 1, Examined(state.learner.policy, DEMO, np.zeros((), int)))
    assert 0 <= info["robustified/success"] <= 1
    assert info["robustified/demonstration"] == 105


def test_the_demonstration_repeated_blindly_is_the_control():
    examine = make(cells="domain", robustify="blind").stages[1]
    state = examine.system.init(jax.random.key(0))._replace(actions=DEMO)
    state, info = run(replace(examine.system, episodes=8), 1, state)
    assert 0 < info["robustified/success"] < 1
    assert info["robustified/score"] == 100 * info["robustified/success"]
    assert examine.finished(state)


def test_a_target_that_is_nothing_is_refused():
    with pytest.raises(UsageError, match="--target is 0: give a score above zero"):
        make(robustify="policy", target=0.0)


def test_the_papers_preset_learns_from_pictures_with_a_memory():
    learn = make(**PAPER).stages[1].system
    small = replace(learn, worlds=2, length=4, ppo=replace(learn.ppo, epochs=1, minibatches=2))
    state, info = run(small, 2, small.init(jax.random.key(0))._replace(actions=DEMO[:8]))
    assert state.worlds.observation.shape == (2, 4, 84, 84)
    assert state.worlds.carry.shape == (2, 512)
    assert info["backward/steps"] == 16
    assert np.isfinite(info["loss/policy"])
