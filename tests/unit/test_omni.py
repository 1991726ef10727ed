import asyncio
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.envs.errands import crafting
from aiga.fm.client import connect
from aiga.judges.interestingness import OPEN, UNKNOWN
from aiga.runs import loop, report
from aiga.runs.events import Failed
from aiga.selection.learning_progress import Progress
from aiga.systems.omni import ANSWERS, Interest, export, figures, make
from tests.fm_server import Server, cut, empty, fail, fields, filtered, length, malformed, said


def steps(system, n=1):
    async def run():
        state, info = system.init(jax.random.key(0)), {}
        for step in range(n):
            state, info = await system.step(jax.random.key(step + 1), state)
        return state, info

    return asyncio.run(run())


def succeeding(*tasks):
    success = np.zeros(1080, np.float32)
    success[list(tasks)] = 0.5
    return success


def consult(system, interest, success):
    return asyncio.run(system.consult(jax.random.key(7), interest, success))


@pytest.fixture(scope="module")
def system():
    return make(every=3)


@pytest.fixture(scope="module")
def fresh(system):
    return system.init(jax.random.key(0)).interest


def test_the_weight_of_a_boring_task_is_a_thousandth(system):
    progress = Progress(jnp.zeros(1080), jnp.ones(1080), jnp.ones(1080))
    boring = np.zeros(480, bool)
    boring[100] = True
    probabilities = np.asarray(system.teacher.orders(progress, boring))
    assert probabilities[100] / probabilities[0] == pytest.approx(0.001)
    assert probabilities[-1] == pytest.approx(probabilities[0])
    assert probabilities.sum() == pytest.approx(1)


def test_the_model_is_asked_when_other_tasks_succeed_and_else_every_few_steps(system, fresh):
    interest, info = consult(system, fresh, succeeding(0))
    assert info["omni/questions"] == 1
    assert interest.succeeding[0]
    assert interest.boring.sum() == info["omni/boring"] == 7
    assert (info["omni/interesting"], info["omni/right"], int(interest.age)) == (1, 1.0, 0)
    for age in (1, 2):
        interest, info = consult(system, interest, succeeding(0))
        assert (info["omni/questions"], int(interest.age)) == (0, age)
    assert int(consult(system, interest, succeeding(0))[0].age) == 0
    interest, info = consult(system, interest, succeeding(0, 1))
    assert (info["omni/questions"], int(interest.age)) == (1, 0)


def test_a_task_classified_wrongly_is_counted(system, fresh):
    """An item that never succeeded, made boring by its repetition."""
    _, info = consult(system, fresh, succeeding(60))
    assert info["omni/right"] == pytest.approx(6 / 8)  # neither the repetition nor the item


def test_a_failed_question_is_an_event_and_its_tasks_stay_open(fresh):
    """Eight lists of at most sixty tasks: one is answered."""
    replies = iter([fields(boring=[1]), cut(), empty(), fail(500), malformed(), filtered(), length(), fail(503)])
    with Server(lambda request: next(replies)) as server:
        system = make(fm=connect(server.model(), backoff=0.001, retries=0))
        interest, info = consult(system, fresh, succeeding(0))
    events = [event for event in info.values() if isinstance(event, Failed)]
    assert info["omni/failures"] == len(events) == 7
    assert {event.what for event in events} == {"omni/boring"}
    assert len({event.reason.partition(":")[0] for event in events}) >= 4
    assert interest.boring.sum() == 1
    assert 480 - 60 <= (interest.known[0] == UNKNOWN).sum() <= 480 - 59
    assert interest.by[0] == 0


def test_omni_runs_end_to_end_with_a_model_behind_an_address():
    """A model that finds repetitions boring, answers nonsense about engines, and is busy every fifth time."""
    asked = []

    def script(request):
        asked.append(said(request))
        given = asked[-1].partition("do this: ")[2].split("\n")[0]
        if len(asked) % 5 == 0:
            return fail(429, after=0.001)
        if "lump" in given:
            return fields(boring=[-3])
        lines = [line.partition(". ") for line in asked[-1].split("\n") if line[:1].isdigit()]
        return fields(boring=[int(n) for n, _, task in lines if task.split()[1:3] == given.split()[1:3]])

    with Server(script) as server:
        state, info = steps(make(fm=connect(server.model(), backoff=0.001)), 2)
    assert 0 < info["omni/questions"] <= len(asked)
    assert info["omni/failures"] > 0
    assert (state.interest.by != OPEN).any()
    assert all("in a workshop" in text for text in asked)


def test_a_learner_learns_what_is_interesting_and_practises_it(system):
    state, info = steps(system, 30)
    assert int(info["omni/learned"]) > 10
    assert float(info["omni/practised"]) > 0.9
    assert float(info["omni/right"]) > 0.9
    assert float(info["success/repeat"]) < 0.1 < float(info["success/item_1"])
    groups = [float(value) for name, value in info.items() if name.startswith("probability/")]
    assert sum(groups) == pytest.approx(1)
    assert isinstance(state.interest, Interest)


@pytest.mark.parametrize("interesting", ["oracle", "none"])
def test_an_oracle_and_nobody_are_never_asked(interesting):
    _, info = steps(make(interesting=interesting), 1)
    assert info["omni/questions"] == info["omni/boring"] == 0


def test_an_oracle_knows_from_the_start():
    system = make(interesting="oracle")
    state = system.init(jax.random.key(0))
    even = system.teacher.orders(state.progress._replace(fast=state.progress.fast + 1), state.interest.boring)
    assert np.unique(np.asarray(even[60:480] / even[0])) == pytest.approx([0.001])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"theta": 0.5}, "between 0 and"),
        ({"tries": 0}, "above zero"),
        ({"every": 0}, "above zero"),
        ({"dull": 2.0}, "from 0 to 1"),
        ({"mistakes": -0.1}, "from 0 to 1"),
        ({"interesting": "answers"}, "needs --answers FILE"),
        ({"world": "craftax", "setting": "synonyms", "interesting": "answers"}, "needs --answers FILE"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        make(**options)


def test_the_answers_that_come_with_craftax_call_the_repetitions_of_an_achievement_boring():
    tasks, answers = crafting(), json.loads(ANSWERS.read_text())
    assert sorted(answers) == sorted(np.array(tasks.texts)[tasks.interesting])
    boring = {(given, task) for given, others in answers.items() for task in others}
    right = {(tasks.texts[tasks.kinds.index(tasks.items[i])], tasks.texts[i]) for i in range(15, 105)}
    assert boring == right


def test_craftax_has_the_tasks_of_its_setting_and_a_policy_with_a_memory():
    """Traced, not compiled."""
    options = {"setting": "compound", "impossible": 3, "memory": 4, "minibatches": 1}
    system = make(world="craftax", worlds=2, length=4, hidden=4, interesting="answers", **options)
    learner, _ = eqx.filter_eval_shape(system.learner.begin, jax.random.key(0))
    numbers = jax.ShapeDtypeStruct((210 + 3,), float)
    after, attempts, score, _ = eqx.filter_eval_shape(
        system.learner.practise, jax.random.key(1), learner, numbers, numbers
    )
    assert jax.tree.structure(after) == jax.tree.structure(learner)
    assert attempts.tried.shape == score.shape == numbers.shape


def test_a_policy_learns_in_a_playroom(tmp_path):
    """Two steps of a small one; and what the rule said of it can be given in its place."""
    small = {"worlds": 4, "length": 8, "hidden": 8, "minibatches": 2, "timeout": 8, "horizon": 16}
    run = loop.run("omni", steps=2, out=tmp_path / "run", world="playroom", **small)
    assert {"success/go_to_ball", "probability/colour", "learner/steps", "episode/length"} <= run.latest().keys()
    assert run.latest()["learner/steps"] == 64
    export(run, tmp_path / "answers.json")
    said = json.loads((tmp_path / "answers.json").read_text())
    assert said
    assert all(others == [] or given.split()[-1] in " ".join(others) for given, others in said.items())
    make(world="playroom", interesting="answers", answers=str(tmp_path / "answers.json"))


def test_the_report_shows_what_was_learned_practised_and_made_boring(tmp_path):
    run = loop.run("omni", steps=3, out=tmp_path / "run")
    learned, stream, opinions, success = figures(run)
    assert learned.content.data[0].y.tolist() == run.metric("omni/learned").values.tolist()
    assert np.sum([trace.y for trace in stream.content.data], axis=0) == pytest.approx([1, 1, 1])
    by = run.state.interest.by
    assert np.sum(opinions.content.data[0].z) == ((by != OPEN) & (by != np.arange(480))).sum()
    assert np.shape(success.content.data[0].z) == (13, 3)
    assert "Who made whom boring" in report.write(run.directory).read_text()
