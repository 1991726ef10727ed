import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.core.protocols import Candidates, Evaluation
from aiga.envs.hard_easy import HardEasy
from aiga.runs import loop, report
from aiga.systems.cmoea import Bins, Evolution, Single, figures, make

SMALL = {"children": 8, "population": 8, "bin_size": 2, "fuse": 2}
CONTROLS = ["nsga2", "nsga2_combined", "combined", "lexicase", "epsilon_lexicase"]


def told(keeper, scores, times=1):
    """The state after candidates of one pair of tasks, of which the genome is a number and the scores are given."""
    world = HardEasy(1)
    evolution = Evolution(world, keeper(world), len(scores), 0.1, 15.0)
    state = evolution.init(jax.random.key(0))
    scores = jnp.array(scores, float)
    for i in range(times):
        genomes = jnp.zeros((len(scores), 1, 2)).at[:, 0, 0].set(jnp.arange(len(scores)))
        candidates = Candidates(genomes, jnp.full((len(scores), 1, 2), -1))
        evaluation = Evaluation(scores.mean(axis=1), scores, scores)
        state, info = evolution.tell(jax.random.key(i), state, candidates, evaluation)
    return state, info


def kept_by(selection, scores, population):
    state, info = told(lambda world: Single(world, selection, population), scores)
    assert np.array_equal(np.flatnonzero(info["born"].kept), np.sort(state.kept.identity[:, 1]))
    return sorted(np.asarray(state.kept.genomes[:, 0, 0]).astype(int).tolist())


def test_each_control_keeps_whom_its_rule_keeps():
    """The middle two are good at both tasks together, the outer two are each the best of one, the last is nothing."""
    scores = [[9, 0], [6, 5], [5, 6], [0, 9], [1, 1]]
    assert kept_by("nsga2", scores, 2) == [0, 3]
    assert kept_by("combined", scores, 2) == [1, 2]
    assert kept_by("lexicase", scores, 2) in ([0, 3], [0, 1], [2, 3])
    assert kept_by("nsga2_combined", scores, 4) == [0, 1, 2, 3]
    near = [[9, 0], [8, 9], [0, 9], [0, 0], [1, 1]]  # deviations 1 and 0 (medians 1, 1; distances 8 7 1 1 0, 1 8 8 1 0)
    assert kept_by("epsilon_lexicase", near, 1)[0] in (1, 2)


@pytest.mark.parametrize("selection", CONTROLS)
def test_a_control_keeps_nobody_who_failed_a_task(selection):
    _, info = told(lambda world: Single(world, selection, 3), [[np.nan, 9], [1, 1], [2, np.nan]])
    assert info["born"].kept.tolist() == [0, 2, 0]
    assert int(info["archive/size"]) == 1
    assert float(info["tasks/best"]) == 1


def test_the_best_at_all_tasks_together_is_remembered_and_the_solved_are_counted():
    _, info = told(lambda world: Bins(world, 0, 1, False, 0.0), [[1.0, 0.5], [0.5, 0.5], [np.nan, 1]])
    assert float(info["tasks/best"]) == 0.75
    assert int(info["tasks/solved"]) == 1
    _, info = told(lambda world: Bins(world, 0, 1, False, 0.0), [[np.nan, 1.0]])
    assert np.isnan(info["tasks/best"])
    assert int(info["archive/size"]) == 0


@pytest.mark.parametrize("selection", ["cmoea", *CONTROLS])
def test_parents_of_later_generations_are_individuals_that_were_kept(selection):
    system = make(selection=selection, tasks=2, **SMALL)
    _, info = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    born = info["born"]
    assert born.id.tolist() == [[step, i] for step in range(2) for i in range(8)]
    assert (np.asarray(born.parents[:8]) == -1).all()
    kept = {tuple(row) for row in np.asarray(born.id)[np.asarray(born.kept) > 0].tolist()}
    assert {tuple(row) for row in np.asarray(born.parents[8:, 0]).tolist()} <= kept


def test_mazes_are_tasks_and_their_bins_are_drawn():
    system = make(world="maze", tasks=3, bins=7, cells=4, splits=1, ticks=20, hidden=3, diversity=True, **SMALL)
    state, info = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    scores = np.asarray(state.kept.scores)[np.asarray(state.kept.occupied)]
    assert scores.shape[1] == 3
    assert (scores > 0).all()
    assert (scores <= 1).all()
    assert state.kept.subsets.shape == (7, 3)
    assert float(info["tasks/best"]) == pytest.approx(scores.mean(axis=1).max(), rel=1e-6)


def test_the_legged_robot_has_six_tasks():
    system = make(world="legged", ticks=2, hidden=2, children=2, bin_size=1, fuse=1)
    state = system.init(jax.random.key(0))
    for step in range(2):
        state, info = system.step(jax.random.key(step), state)
    scores = np.asarray(state.kept.scores)[np.asarray(state.kept.occupied)]
    assert scores.shape[1] == 6
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scores[:, 5].max() > 0  # an ant that has not moved is near to crouching
    assert int(info["archive/size"]) <= 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": 5}, "pairs"),
        ({"world": "legged", "tasks": 4}, "6 commands"),
        ({"tasks": 14}, "14 tasks"),
        ({"world": "maze", "hidden": 0}, "--hidden is 0: give a number above zero"),
        ({"bin_size": 0}, "--bin-size is 0"),
        ({"rate": 0.0}, "the rate above 0"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        make(**options).init(jax.random.key(0))


def test_the_report_shows_the_bins(tmp_path):
    run = loop.run("cmoea", steps=1, out=tmp_path / "run", tasks=4, **SMALL)
    [figure] = figures(run)
    assert len(figure.content.data[0].y) == 15
    assert "Bins" in report.write(run.directory).read_text()
    assert figures(loop.run("cmoea", steps=1, out=tmp_path / "other", selection="nsga2", tasks=4, **SMALL)) == []
