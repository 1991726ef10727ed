import asyncio
import json
import math
from random import Random

import jax
import numpy as np
import pytest
from fm_server import Server, choice, fail, fields, said, text

from aiga.agents import families, planted
from aiga.agents.families import Broken
from aiga.agents.planted import Evidence, Profile
from aiga.core.errors import UsageError
from aiga.data import recipes, steps
from aiga.data.recipes import Recipe
from aiga.fm.client import connect
from aiga.judges import discoveries
from aiga.sandbox import ladder
from aiga.sandbox.protocol import Limits
from aiga.systems.acd import FOUNDERS, make

SHORT = Limits(seconds=1.0)
GOOD = """
def get_tasks():
    return {"1": {"word": "abc"}, "2": {"word": "xyz"}}

def get_instructions(task):
    return "Write " + task["word"] + " backwards."

def score(task, submission):
    return 1.0 if submission == task["word"][::-1] else 0.0
"""


def run(system, count, seed=0):
    """The state and the infos of so many steps."""
    key = jax.random.key(seed)

    async def stepped():
        state, infos = system.init(jax.random.fold_in(key, 0)), []
        for step in range(count):
            state, info = await system.step(jax.random.fold_in(key, step + 1), state)
            infos.append(dict(info))
        return state, infos

    return asyncio.run(stepped())


def findings(system, state):
    return system._known(state)


def test_what_a_recipe_asks_can_be_read_and_its_program_accepts_the_solution_alone():
    random = Random(1)
    for _ in range(6):
        recipe = recipes.varied(random, recipes.typical(random))
        program = recipes.program(recipe, random, tasks=2)
        assert recipes.recipe_of(program) == recipe

        async def solved(program=program):
            tasks = await families.tasks(ladder.best(), program)
            right = [steps.shown(steps.read(task.instructions).solution()) for task in tasks]
            wrong = [planted._mistaken(Random(0), answer) for answer in right]
            answered = [
                (task, answer) for answers in (right, wrong) for task, answer in zip(tasks, answers, strict=True)
            ]
            return tasks, await families.scores(ladder.best(), program, answered)

        tasks, scores = asyncio.run(solved())
        read = steps.read(tasks[0].instructions)
        assert (read.kind, steps.size_of(read), read.steps) == recipe
        assert scores == (1.0, 1.0, 0.0, 0.0)


def test_every_step_is_worded_so_that_it_is_read_as_itself():
    for name, step in steps.STEPS.items():
        assert steps._step(step.wording.format(k=7)) == (name, 7 if "{k}" in step.wording else 0)


@pytest.mark.parametrize(
    ("recipe", "fits"),
    [
        (Recipe("word", 3, ("reverse", "letters", "add")), True),
        (Recipe("word", 3, ("reverse", "add")), False),
        (Recipe("word", 3, ("reverse", "double", "reverse")), False),
        (Recipe("word", 21, ("reverse",)), False),
        (Recipe("word", 3, ()), False),
    ],
)
def test_a_recipe_is_valid_if_steps_fit_differ_and_are_not_too_large(recipe, fits):
    assert recipes.valid(recipe) == fits


def test_a_childs_recipe_is_valid_and_not_its_parents():
    random, parent = Random(0), FOUNDERS[0]
    for _ in range(200):
        child = recipes.varied(random, parent)
        assert recipes.valid(child)
        assert child != parent
        parent = child


PROFILE = Profile(limits={"reverse": 5}, pairs=frozenset({("double", "rotate")}), depths={"list": 2}, slips=0.0)


@pytest.mark.parametrize(
    ("recipe", "success", "says"),
    [
        (Recipe("word", 7, ("reverse",)), False, {("limit of reverse", "beyond")}),
        (Recipe("word", 8, ("reverse",)), False, set()),  # too far away to tell where the limit is
        (Recipe("word", 4, ("reverse",)), True, {("limit of reverse", "within")}),
        (Recipe("word", 3, ("reverse",)), True, set()),
        (Recipe("word", 3, ("double", "rotate")), False, {("rotate after double fails", "within")}),
        (Recipe("word", 7, ("reverse", "double", "rotate")), False, set()),  # two causes
        (Recipe("list", 3, ("sort", "backwards")), True, {("limit of steps from a list", "within")}),
        (Recipe("list", 3, ("sort", "backwards", "odds")), False, {("limit of steps from a list", "beyond")}),
        (Recipe("word", 15, ("shift",)), True, {("shift of large values works", "within")}),
        (Recipe("word", 14, ("shift",)), True, set()),
        (Recipe("word", 15, ("shift",)), False, set()),  # a slip
        (Recipe("word", 7, ("reverse",)), True, set()),  # another
    ],
)
def test_an_outcome_says_only_what_is_certain(recipe, success, says):
    assert PROFILE.evidence(recipe, success) == {Evidence(*one) for one in says}


def test_a_limit_is_found_by_both_its_sides_and_a_family_counts_once():
    beyond, within = (Recipe("word", 6, ("reverse",)), False), (Recipe("word", 5, ("reverse",)), True)
    trivial = (Recipe("number", 2, ("add",)), True)
    assert planted.found(PROFILE, [beyond, beyond]).what == frozenset()
    found = planted.found(PROFILE, [beyond, within, within, trivial])
    assert found.what == {"limit of reverse"}
    assert found.recall == 1 / len(PROFILE.planted)
    assert found.precision == 2 / 4
    assert planted.found(PROFILE, []).f1 == 0.0


def test_a_planted_subject_goes_by_the_text_and_fails_where_it_must():
    able = "Start with the word abcde.\nStep 1: write it backwards.\nSay what results, and nothing else."
    unable = able.replace("abcde", "abcdef")
    assert PROFILE.answer(Random(0), able) == "Answer: edcba"
    assert PROFILE.answer(Random(0), unable) not in ("Answer: fedcba", "Answer: ")
    assert "understand" in PROFILE.answer(Random(0), "Who was the first king of Rome?")


def test_a_subject_drawn_at_random_is_the_same_for_the_same_seed():
    assert planted.drawn(Random(3)) == planted.drawn(Random(3)) != planted.drawn(Random(4))


BROKEN = {
    "error: SyntaxError": "def get_tasks(:",
    "error: NameError": GOOD.replace('{"1"', '{undefined: 1, "1"'),
    "timeout": GOOD.replace("    return {", "    while True: pass\n    return {"),
    "error: ": "import socket\nsocket.create_connection(('1.1.1.1', 80), 2)\n" + GOOD,
    "malformed: get_tasks must return a dict": GOOD.replace('{"1": {"word": "abc"}, "2": {"word": "xyz"}}', "[1, 2]"),
    "malformed: get_tasks must return a dict of 1": GOOD.replace('{"1": {"word": "abc"}, "2": {"word": "xyz"}}', "{}"),
    "malformed: get_instructions": GOOD.replace('"Write " + task["word"] + " backwards."', "7"),
    'malformed: score must return a number from 0 to 1, but returned ["yes"': GOOD.replace("1.0 if", "'yes' or 1.0 if"),
    "malformed: score must return a number from 0 to 1, but returned [7": GOOD.replace("1.0 if", "7 or 1.0 if"),
    "malformed: score takes": GOOD.replace("1.0 if", "1.0 if len(submission) > 5 or"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_family_is_a_value_that_says_what_to_mend(kind):
    async def tried():
        tasks = await families.tasks(ladder.best(), BROKEN[kind], SHORT)
        if isinstance(tasks, Broken):
            return tasks
        return await families.scores(ladder.best(), BROKEN[kind], [(task, "cba") for task in tasks], SHORT)

    outcome = asyncio.run(tried())
    assert isinstance(outcome, Broken)
    name, _, words = kind.partition(": ")
    assert outcome.kind == name
    assert words in outcome.reason


def test_children_descend_from_successes_and_both_archives_are_kept():
    system = make(batch=4, answers=2)
    state, infos = run(system, 3)
    known = findings(system, state)
    assert int(state.archive.size) == len(known) > len(FOUNDERS)
    success = np.asarray(state.archive.genomes.success)[: len(known)]
    assert success.tolist() == [finding.success for finding in known]
    assert not success.all()
    rows = np.asarray(state.archive.rows(state.archive.parents[:, 0]))[len(FOUNDERS) : len(known)]
    assert success[rows].all()
    assert infos[-1]["subject/answers"] == 3 * 4 * 4 * 2
    assert all(finding.success == (finding.rate >= 0.6) for finding in known)
    names = [json.loads(system.texts.get(name))["name"] for name in np.asarray(state.archive.genomes.finding)[:3]]
    assert names == [recipes.name(recipe) for recipe in FOUNDERS]


def test_a_family_like_one_already_there_is_dropped_unless_nobody_judges():
    async def probability(neighbours):
        system = make()
        return await discoveries.new(system.scientist, finding, neighbours, seed=0)

    state, _ = run(system := make(batch=1, answers=1), 1)
    finding, *others = findings(system, state)
    assert asyncio.run(probability([finding])) < 0.5
    assert asyncio.run(probability([finding._replace(success=False)])) > 0.5
    assert asyncio.run(probability(others)) > 0.5


@pytest.mark.parametrize("proposals", ["independent", "random"])
def test_without_the_archive_nobody_has_a_parent(proposals):
    _, (info,) = run(make(batch=3, answers=1, proposals=proposals), 1)
    assert (np.asarray(info["born"].parents) == -1).all()


def test_the_judge_of_surprise_says_yes_to_everything_until_it_is_calibrated():
    state, _ = run(system := make(batch=1, answers=1), 1)
    assert float(state.surprise.accepted) == 1.0
    assert float(state.surprise.balanced) == 1.0
    easy = findings(system, state)[0]
    assert asyncio.run(discoveries.surprise(system.scientist, easy, seed=0)) < float(state.surprise.threshold)
    failed = easy._replace(success=False)
    assert asyncio.run(discoveries.surprise(system.scientist, failed, seed=0)) >= float(state.surprise.threshold)
    assert math.isnan(asyncio.run(discoveries.surprise(system.scientist, None, seed=0)))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"subject": "model"}, "--subject model needs a model"),
        ({"batch": 0}, "give numbers above zero"),
        ({"threshold": 1.5}, "a --threshold of at most 1"),
        ({"cluster": 1}, "--cluster from 2"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        make(**options)


JUDGED = GOOD.replace(
    'return 1.0 if submission == task["word"][::-1] else 0.0',
    'return float(judge(get_instructions(task), submission, "It is the word backwards."))',
)
SCRIPTED = {
    "good": GOOD,
    "judged": JUDGED,
    "endless": BROKEN["timeout"],
    "network": BROKEN["error: "],
    "mended": BROKEN["error: SyntaxError"],
    "never": BROKEN["error: NameError"],
}


def script():
    """A model that proposes the scripted families, one after the other; solves tasks; judges; labels."""
    order = iter(SCRIPTED)

    def reply(request):
        told = said(request)
        if "You are a scientist" in told:
            return proposal(told)
        if "backwards." in told and "Think step by step" in told:
            word = told.rpartition("Write ")[2].partition(" ")[0]
            return text(f"I turn it round.\nAnswer: {word[::-1]}")
        if "meet this criterion" in told:
            return choice(yes=math.log(0.9), no=math.log(0.1)) if "cba" in told or "zyx" in told else choice(no=-0.01)
        if "interestingly" in told:
            return choice(yes=math.log(0.8), no=math.log(0.2))
        assert "surprising" in told
        return choice(yes=math.log(0.7), no=math.log(0.3)) if "very easy" in told else choice(yes=-0.01)

    def proposal(told):
        again = [name for name in SCRIPTED if f'"name": "{name}"' in told]
        name = again[0] if again else next(order, None)
        if name is None:
            return fail(400)
        program = GOOD if again and name == "mended" else SCRIPTED[name]
        about = {"description": f"Reverse words, {name}.", "capability": "reversing", "difficulty": 1, "done": True}
        return fields(name=name, program=program, **about)

    return reply


def test_with_a_model_families_of_every_kind_run_and_broken_ones_are_mended_or_reported(monkeypatch):
    with Server(script()) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        fm = connect("openai:test-model", retries=0)
        system = make(fm=fm, batch=len(SCRIPTED), families=len(SCRIPTED), answers=1, rounds=2, seconds=1.0)
        state, (info,) = run(system, 1)
    kept = {finding.name: finding for finding in findings(system, state)[len(FOUNDERS) :]}
    assert set(kept) == {"good", "judged", "mended"}
    assert all(finding.success for finding in kept.values())
    assert kept["mended"].program == GOOD
    reasons = sorted(value.reason for key, value in info.items() if key.startswith("failed_"))
    assert [reason.partition(":")[0] for reason in reasons] == ["error", "error", "timeout"]
    assert int(info["families/broken"]) == 3
    assert int(info["subject/answers"]) == 3 * 2
    assert "found/recall" not in info, "nobody knows what a model can do"
    assert info["run/finished"] == 1
