import asyncio

import jax
import numpy as np
import pytest

from aiga.agents import descent, diagnosis
from aiga.agents.descent import Stage
from aiga.agents.diagnosis import Diagnosis, Entry, entry, shortened
from aiga.agents.domain import Outcome
from aiga.agents.modelled import Modelled
from aiga.core.errors import UsageError
from aiga.core.texts import Recent
from aiga.data.puzzles import Sizes
from aiga.fm.messages import ModelFailed
from aiga.fm.offline import Offline
from aiga.runs import loop, report
from aiga.safety.approval import Decision
from aiga.sandbox import ladder
from aiga.systems.dgm import PARENTS, make
from tests.fm_server import Server
from tests.rewriting import Model

SMALL = {"generations": 6, "children": 3, "stages": (5, 20), "select": 20, "report": 20}


def steps(system, n=None, seed=0):
    """The state and infos after `n` steps, or at the end."""

    async def go():
        key = jax.random.key(seed)
        state, infos = system.init(jax.random.fold_in(key, 0)), []
        while len(infos) != n and "run/finished" not in (infos[-1] if infos else {}):
            state, info = await system.step(jax.random.fold_in(key, len(infos) + 1), state)
            infos.append(info)
        return state, infos

    return asyncio.run(go())


def test_a_run_evaluates_the_first_agent_then_generations_then_chooses_and_reports(tmp_path):
    run = loop.run("dgm", seed=100, out=tmp_path / "run", **SMALL)
    latest, lineage, rejected = run.latest(), run.lineage(), list(run.events("rejected"))
    assert (run.status, latest["run/steps"]) == ("finished", 8)
    assert len(lineage["id"]) + len(rejected) == 1 + 6 * 3
    assert all(event["reason"] and event["parent"] for event in rejected)
    allowed = {tuple(event["id"]) for event in run.events("approved")}
    born = {divmod(int(identity), 1 << 32) for identity in lineage["id"][1:]}
    assert born == allowed
    assert lineage["operator"].tolist() == ["first", *["task"] * len(born)]
    made = run.blob(lineage["blob"][1]).decode()
    assert made.startswith("diff --git a/agent.py b/agent.py")
    assert latest["dgm/able"] == pytest.approx(len(allowed) / 18)
    assert latest["report/gain"] == pytest.approx(latest["report/score"] - latest["report/first"])
    titles = report.write(run.directory).read_text()
    for title in ("The archive as a tree", "Children that were not kept", "Scores by stage of the evaluation"):
        assert title in titles


def test_a_finished_search_stands_still():
    system = make(**SMALL | {"generations": 0})
    state, infos = steps(system)
    assert (len(infos), int(state.chosen), infos[-1]["report/gain"]) == (2, 0, 0.0)
    again, info = asyncio.run(system.step(jax.random.key(9), state))
    assert again is state
    assert info == {"run/finished": 1}


def test_every_agent_of_the_archive_is_its_chain_of_diffs_and_its_score_the_mean_of_its_outcomes():
    system = make(**SMALL)
    state, _ = steps(system, 7, seed=101)
    archive, root = jax.device_get(state.archive), system.world(state).root
    assert int(archive.size) > 3
    for row in range(int(archive.size)):
        files = descent.agent(archive, row, root, system.texts)
        outcomes = descent.read(system.texts.get(archive.genomes["outcomes"][row]))
        assert set(files) == {"agent.py"}
        assert archive.fitness[row] == pytest.approx(np.mean([outcome.score for outcome in outcomes]))
        assert archive.descriptor[row, 0] == len(outcomes) == (5 if archive.descriptor[row, 1] == 1 else 20)
        assert {outcome.task for outcome in outcomes} <= set(system.world(state).domain.splits.search)


def test_controls_differ_in_who_has_children_and_in_who_modifies(monkeypatch):
    modified = []
    modify = Modelled.modify

    async def watched(self, agent, target, order, *, seed):
        modified.append(agent == self.root())
        return await modify(self, agent, target, order, seed=seed)

    monkeypatch.setattr(Modelled, "modify", watched)
    for control in PARENTS:
        modified.clear()
        state, _ = steps(make(control=control, **SMALL), 7, seed=102)
        archive = jax.device_get(state.archive)
        births = archive.identity[: int(archive.size)]
        parents = [tuple(parent) for parent in archive.parents[1 : int(archive.size), 0].tolist()]
        assert len(births) > 2
        assert control not in ("none", "no_self_improve") or all(modified) == (control == "no_self_improve")
        if control == "no_archive":
            latest = [tuple(max(p for p in births.tolist() if p[0] < birth)) for birth in births[1:, 0].tolist()]
            assert parents == latest


def test_later_stages_ask_for_the_second_best_of_the_archive():
    system = make(stages=(10, 60, 200), gate=0.4)
    assert system.ladder(200) == [Stage(10), Stage(60), Stage(200)]
    assert system.ladder(200, [0.5, 0.7, 0.6]) == [Stage(10, 0.4), Stage(60, 0.6), Stage(200, 0.6)]
    assert system.ladder(200, [0.1]) == [Stage(10, 0.4), Stage(60, 0.4), Stage(200, 0.4)]
    assert system.ladder(30, [0.1]) == [Stage(10, 0.4), Stage(30, 0.4)], "as far as there are tasks"


def test_the_report_split_is_opened_for_the_chosen_agent_alone():
    system = make(**SMALL)
    _, infos = steps(system, seed=100)
    assert not any(key.startswith(("report/", "select/")) for info in infos[:-1] for key in info)
    assert {"report/score", "report/first", "select/best"} <= infos[-1].keys()


def test_a_child_that_is_denied_is_not_evaluated_and_the_record_says_who_denied_it():
    class Strict:
        name = "strict"

        async def decide(self, proposed):
            return Decision(False, "strict", f"{proposed.name}: no")

    state, infos = steps(make(approval=Strict(), **SMALL), 7, seed=100)
    assert int(state.archive.size) == 1
    denied = [value for info in infos for key, value in info.items() if key.startswith("gate/")]
    assert denied
    assert all((event.by, event.reason) == ("strict", f"child {event.id[0]}.{event.id[1]}: no") for event in denied)


def test_a_child_without_a_diagnosis_is_rejected_and_the_run_goes_on():
    def fails(*_):
        raise ModelFailed("empty", "no reply")

    system = make(**SMALL)
    object.__setattr__(system, "fm", Offline({"dgm/diagnose": fails}))
    state, infos = steps(system, 3)
    assert int(state.archive.size) == 1
    assert infos[1]["rejected/0"].reason == "no diagnosis: empty: no reply"


OUTCOMES = [Outcome("a", 1.0), Outcome("b", 0.0), Outcome("c", 0.0, failure="empty"), *[Outcome("d", 1.0)] * 7]


def test_a_modification_starts_from_a_random_task_that_is_unsolved():
    found = [entry(OUTCOMES, False, seed) for seed in range(50)]
    assert {(start.kind, start.outcome.task) for start in found} == {("task", "b"), ("task", "c")}
    assert entry(OUTCOMES[:1], False, 0) == Entry("task", OUTCOMES[0]), "or from any, if all are solved"


def test_on_swe_bench_a_quarter_looks_at_empty_patches_then_at_chance_then_at_full_windows():
    """One empty in ten: 1/4 empty patches, 3/4 x 1/4 stochasticity, else a task; a full window takes its quarter."""

    def shares(outcomes):
        kinds = [entry(outcomes, True, seed).kind for seed in range(2000)]
        return {kind: kinds.count(kind) / 2000 for kind in set(kinds)}

    assert shares(OUTCOMES) == pytest.approx({"empty patches": 0.25, "stochasticity": 0.1875, "task": 0.5625}, abs=0.04)
    assert shares([*OUTCOMES, OUTCOMES[0]]) == pytest.approx({"stochasticity": 0.25, "task": 0.75}, abs=0.04)
    full = [*OUTCOMES[:2], Outcome("c", 0.0, failure="context")]
    expected = {"stochasticity": 0.25, "context length": 0.1875, "task": 0.5625}
    assert shares(full) == pytest.approx(expected, abs=0.04)


def test_a_diagnosis_is_shown_the_program_the_task_the_log_the_diff_and_the_verdict():
    heard = []

    class Listener(Offline):
        async def generate(self, messages, **options):
            heard.extend(message.text for message in messages)
            return await super().generate(messages, **options)

    fm, world = Listener({"dgm/diagnose": diagnosis.unaided}), Modelled()
    start = Entry("empty patches", Outcome("coding-0", 0.0, "DIFF", "LOG", "VERDICT"))
    found = asyncio.run(diagnosis.diagnose(fm, world, world.root(), start, seed=0))
    for shown in ("TEMPERATURE = 0.2", world.statement("coding-0"), "DIFF", "LOG", "VERDICT", "hands in nothing"):
        assert shown in "".join(heard)
    assert isinstance(found, Diagnosis)
    assert "The task coding-0 was not solved." in found.instruction()


def test_a_long_log_loses_its_middle():
    assert shortened("abcdefghij", 4) == "ab\n[... 6 characters ...]\nij"
    assert shortened("abcd", 4) == "abcd"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"domain": "swe-bench"}, "--domain swe-bench reads a folder: give its place with --path"),
        ({"path": "x"}, "--path is of no use with --domain modelled"),
        ({"fm": Offline({})}, "--domain modelled simulates its models: leave --fm out"),
        ({"children": 0}, "--children is 0: give a larger"),
        ({"generations": -1}, "--generations is -1: give a larger"),
        ({"stages": (10, 10)}, "each larger than the one before"),
        ({"stages": ()}, "give numbers of tasks"),
        ({"gate": 7.0}, "--gate is 7.0: give a mean score"),
        ({"gate": float("nan")}, "--gate is nan: give a mean score"),
    ],
)
def test_options_that_cannot_be_are_refused(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        make(**options)


def test_a_run_that_is_refused_in_its_first_step_leaves_no_trace(tmp_path):
    with pytest.raises(UsageError, match="give one with --fm"):
        loop.run("dgm", steps=1, out=tmp_path / "run", domain="polyglot-lite")
    assert not (tmp_path / "run").exists()


def test_tasks_that_have_changed_since_a_run_began_are_refused():
    finished = Recent()
    for seed in (0, 0):
        descent.unchanged(Modelled(seed=seed, sizes=Sizes(2, 2, 2)), finished)
    with pytest.raises(UsageError, match="not those that this run began with"):
        descent.unchanged(Modelled(seed=0, sizes=Sizes(3, 2, 2)), finished)


def test_a_model_that_gives_nothing_usable_ends_the_run():
    descent.heard([Outcome("a", 0.0, failure="model"), Outcome("b", 0.0)])
    with pytest.raises(UsageError, match="aiga fm check"):
        descent.heard([Outcome("a", 0.0, failure="model")])


def test_real_agents_need_a_model():
    with pytest.raises(UsageError, match="agents of --domain polyglot-lite ask a model: give one with --fm"):
        steps(make(domain="polyglot-lite"), 1)


def test_a_model_behind_an_address_rewrites_a_real_agent_from_diagnosis_to_report(tmp_path):
    """One child, four tasks; the model makes agents plan, which solves more."""
    try:
        ladder.best()
    except UsageError as missing:
        pytest.skip(str(missing))
    options = {"generations": 1, "children": 1, "stages": (4,), "finalists": 1, "domain": "polyglot-lite"}
    with Server(Model(("better",))) as server:
        run = loop.run("dgm", seed=0, out=tmp_path / "run", fm=server.model(), **options)
    latest, lineage = run.latest(), run.lineage()
    assert (run.status, len(lineage["id"])) == ("finished", 2)
    assert "Plan first." in run.blob(lineage["blob"][1]).decode()
    assert lineage["fitness"][1] > lineage["fitness"][0]
    assert latest["report/gain"] > 0
    assert latest["cost/tokens"] > 0
