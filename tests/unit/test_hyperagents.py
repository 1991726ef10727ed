import asyncio
import random
from pathlib import Path

import jax
import numpy as np
import pytest

import aiga
from aiga.agents import worlds
from aiga.agents.reviews import LABEL
from aiga.agents.roots import hyper
from aiga.agents.turns import Asked
from aiga.agents.workshop import MODIFY
from aiga.core.errors import UsageError
from aiga.core.texts import Memory, hexadecimal
from aiga.fm.messages import Reply, ToolCall
from aiga.fm.offline import Offline
from aiga.runs.events import Born, Failed, Rejected, Transferred
from aiga.systems.hyperagents import Grown, Hyperagents, make

CRASHES = """
import agent

def modify(task):
    if "archive.json" in task["instruction"]:
        raise RuntimeError("no more")
    return agent.solve(task)
"""
LOST = "def choose(task):\n    return len(task['archive'])\n"
ACCEPTS = "def solve(task):\n    return {'response': task['responses'][0]}\n"


def lived(system: Hyperagents, steps: int, seed: int = 0) -> tuple[Grown, list[dict]]:
    """Some steps of a system."""

    async def live() -> tuple[Grown, list[dict]]:
        key = jax.random.key(seed)
        state, infos = system.init(jax.random.fold_in(key, 0)), []
        for step in range(steps):
            state, info = await system.step(jax.random.fold_in(key, step + 1), state)
            infos.append(dict(info))
        return state, infos

    return asyncio.run(live())


def writer(**files: str):
    """A model that writes files, all at once, and is done."""

    def answer(rng: random.Random, asked: Asked) -> Reply:
        if asked.number:
            return Reply("done")
        arguments = [{"action": "create", "path": f"{name}.py", "text": text} for name, text in files.items()]
        return Reply("", calls=tuple(ToolCall(f"{n}", "edit", told) for n, told in enumerate(arguments)), finish="tool")

    return answer


def reviewing(model, generations: int, **options) -> Hyperagents:
    """A system whose programs judge two papers of each split, with a model that follows a script."""
    sizes = {"search": 2, "select": 2, "report": 2, "first": 2}
    fm = Offline({MODIFY: model, LABEL: lambda rng, asked: "a long talk"})
    return make("reviews", generations=generations, fm=fm, **sizes, **options)


def test_a_program_is_rewritten_by_its_own_meta_agent_and_one_whose_meta_agent_crashes_is_no_parent_again():
    """The second child's parent is the first one, whose meta agent crashes; the third's is the first program again."""
    system = reviewing(writer(meta_agent=CRASHES, task_agent=ACCEPTS), 3, control="no_archive")
    state, infos = lived(system, 4)
    assert state.archive.fitness[:2].tolist() == [0.0, 0.5], "a long talk is no decision, and one paper was accepted"
    assert infos[0]["born"].operator == "first"
    assert isinstance(infos[2]["failed"], Failed)
    assert "RuntimeError: no more" in infos[2]["failed"].reason
    assert isinstance(infos[2]["rejected"], Rejected)
    assert infos[2]["rejected"].reason.startswith("no change: crash")
    assert state.failed.tolist() == [False, True, False, False]
    assert np.asarray(state.archive.parents)[:3, 0].tolist() == [[-1, -1], [0, 0], [0, 0]]
    assert infos[3]["hyperagents/failed"] == 1


def test_what_a_program_cannot_choose_is_chosen_by_the_usual_rule_and_that_is_recorded():
    system = reviewing(writer(parents=LOST, task_agent=ACCEPTS), 2, own_choice=True)
    _, infos = lived(system, 3)
    assert "failed/choice" not in infos[1], "the first program's choice counted"
    assert infos[1]["born"].operator == "meta agent"
    assert infos[2]["failed/choice"].reason == "2 is no place in an archive of 2"
    assert "born" in infos[2] or "rejected" in infos[2], "the generation took place"


def test_a_child_without_a_function_to_choose_with_is_not_sound_where_programs_choose():
    _, infos = lived(reviewing(writer(parents="x = 1\n"), 1, own_choice=True), 2)
    assert infos[1]["rejected"].reason == "not sound: parents has no function choose"


def test_the_report_is_opened_at_the_end_for_the_chosen_program_and_the_first():
    state, infos = lived(reviewing(writer(task_agent=ACCEPTS), 1), 3)
    assert int(state.chosen) == 1
    assert [infos[2][f"report/{name}"] for name in ("score", "first", "gain")] == [0.5, 0.0, 0.5]
    assert not any(key.startswith("report") for info in infos[:2] for key in info)
    assert lived(reviewing(writer(task_agent=ACCEPTS), 1), 4)[1][3]["run/finished"] == 1


def test_the_genomes_are_diffs_that_lead_to_the_files():
    texts = Memory()
    system = make(generations=12, texts=texts)
    state, infos = lived(system, 13)
    archive = jax.device_get(state.archive)
    births = [info["born"] for info in infos if "born" in info]
    assert all(isinstance(born, Born) for born in births)
    assert [born.blob[0] for born in births] == [
        hexadecimal(name) for name in archive.genomes["changes"][: len(births)]
    ]
    world = worlds.modelled(system.domains, system.sizes, int(state.world))
    assert system.files(archive, 0) == world.root
    assert len(births) + sum("rejected" in info for info in infos) == 13
    changed = system.files(archive, int(archive.size) - 1)
    assert changed.keys() == world.root.keys()
    assert changed != world.root


def test_the_controls_say_whose_meta_agent_rewrites():
    state, _ = lived(make(generations=12), 13)
    archive = jax.device_get(state.archive)
    child = make().files(archive, int(archive.size) - 1)
    assert make().modifier(archive, child) is child
    assert make(control="fixed_meta").modifier(archive, child) == make().files(archive, 0)
    assert make(control="dgm").modifier(archive, child)["meta_agent.py"] == child["task_agent.py"]


def test_a_program_is_carried_to_another_domain_with_its_meta_agent_and_without_its_task_agent():
    system = make("controlling", start="reviewing", before=30, generations=1)
    state, infos = lived(system, 1)
    assert isinstance(infos[0]["transferred"], Transferred)
    assert infos[0]["born"].operator == "transfer"
    first = system.files(jax.device_get(state.archive), 0)
    root = worlds.modelled(system.domains, system.sizes, int(state.world)).root
    assert first["task_agent.py"] == root["task_agent.py"]
    whole, _ = lived(make("controlling", start="reviewing", before=30, generations=1, reset=False), 1)
    kept = system.files(jax.device_get(whole.archive), 0)
    assert kept["meta_agent.py"] == first["meta_agent.py"]


def test_a_run_can_start_from_the_directory_of_another(tmp_path):
    before = aiga.run("hyperagents", seed=3, generations=25, out=tmp_path / "before")
    after = aiga.run(
        "hyperagents", seed=4, generations=1, domains="controlling", start=str(before.directory), out=tmp_path / "after"
    )
    (carried,) = after.events("transferred")
    assert int(after.state.world) == int(before.state.world), "a simulated world's rules are those of the run before"
    names = before.lineage()["id"].tolist()
    assert (carried["source"][0] << 32) + carried["source"][1] in names
    assert after.options["start"] == str(before.directory)


def test_a_run_of_another_system_is_no_start(tmp_path):
    other = aiga.run(str(Path(__file__).parents[1] / "toys" / "petitioner.py"), steps=1, out=tmp_path / "other")
    with pytest.raises(UsageError, match="give the directory of one of hyperagents"):
        lived(make(start=str(other.directory)), 1)


def test_several_domains_count_alike():
    state, infos = lived(make("reviewing+controlling", generations=1), 3)
    system = make("reviewing+controlling", generations=1)
    world = worlds.modelled(system.domains, system.sizes, int(state.world))
    assert [domain.name for domain in world.domains] == ["modelled reviewing", "modelled controlling"]
    assert float(state.archive.descriptor[0, 0]) == 120
    assert infos[2]["select/first"] == pytest.approx(float(state.archive.fitness[0]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"domains": "cooking"}, "give one of reviewing"),
        ({"domains": "reviewing+reviews"}, "mixes simulated"),
        ({"domains": "reviews+polyglot-lite"}, "give it alone"),
        ({"own_choice": True}, "--own-choice is of no use"),
        ({"fm": Offline({})}, "--fm is of no use"),
        ({"domains": "reviews", "control": "dgm"}, "--control dgm is of no use"),
        ({"domains": "reviews", "start": "coding"}, "--start coding is of no use"),
        ({"first": 0}, "--first is a number from 1"),
        ({"search": -3}, "all others are from 0: give"),
        ({"gate": float("nan")}, "--gate one from 0 to 1"),
        ({"path": "papers.jsonl"}, "--path is of no use with --domains reviewing"),
        ({"domains": "rewards", "path": "papers.jsonl"}, "rewards, which reads no papers"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        make(**options)


def test_a_domain_that_asks_a_model_needs_one():
    with pytest.raises(UsageError, match="give one with --fm"):
        lived(make("reviews"), 1)


def test_polyglot_lite_has_splits_of_its_own_and_a_task_agent_with_tools():
    fm = Offline({})
    means, wishes = make("polyglot-lite", fm=fm).means, worlds.Wishes(train=lambda reward, task, seed: None)
    world = worlds.real(("polyglot-lite",), worlds.Sizes(0, 0, 0), 0, means, wishes)
    assert world.root == hyper(coding=True) != hyper()
    with pytest.raises(UsageError, match="splits of polyglot-lite are given"):
        worlds.real(("polyglot-lite",), worlds.Sizes(2, 0, 0), 0, means, wishes)
