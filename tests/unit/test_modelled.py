import asyncio
from collections import Counter

import pytest

from aiga.agents import settings
from aiga.agents.descent import fitted
from aiga.agents.domain import Domain, Order, Outcome, Workshop
from aiga.agents.modelled import AGENT, META, WORKER, Modelled
from aiga.agents.settings import ABILITIES, FIRST, abilities, edits, parts, read, written
from aiga.core.errors import UsageError
from aiga.data.puzzles import Sizes

SMALL = Sizes(20, 20, 20)
ABLE = {
    "TOOLS": ["shell", "editor", "viewer", "search", "outline", "tests", "linter"],
    "VIEW": "lines",
    "EDIT": "text",
    "WINDOW": 64000,
    "SUMMARISE": True,
    "VERIFY": True,
    "RETRIES": 4,
    "ATTEMPTS": 4,
    "CHOICE": "tested",
    "HISTORY": True,
    "PLAN": True,
}
"""Nearly the best there is."""
BETTER = Order("better")


def agent(name=AGENT, **given):
    return {name: written({**FIRST, **given}, "An agent.")}


def children(world, modifier, target, number=120, order=BETTER):
    made = (asyncio.run(world.modify(modifier, target, order, seed=seed)) for seed in range(number))
    return [fitted(target, attempt) for attempt in made]


def able(world, child):
    return not child.reason and not asyncio.run(world.sound(child.files, seed=0))


def test_a_world_is_a_domain_and_a_workshop():
    assert isinstance(Modelled(), Domain)
    assert isinstance(Modelled(), Workshop)
    splits = Modelled(sizes=SMALL).splits
    assert len({*splits.search, *splits.select, *splits.report.open("one")}) == 60


def test_an_agent_is_read_and_never_executed():
    assert read(written(FIRST, "The first.")) == FIRST
    for text in (b'""""""\nimport os', b'""""""\nTOOLS = [open("x")]', b'""""""\nTOOLS = [', b'""""""\nTOOLS = []'):
        with pytest.raises(UsageError):
            read(text)


def test_the_rules_speak_of_parts_that_there_are():
    every = set(settings.TOOLS)
    for name, values in settings.VALUES.items():
        every |= {part for value in values for part in parts({**FIRST, name: value})}
    named = {part for rule in settings.RULES for part in (*rule.having, *rule.lacking)}
    assert named <= every
    assert {rule.ability for rule in settings.RULES} == set(ABILITIES)


def test_abilities_are_sums_of_rules_with_diminishing_returns():
    """1 - exp(-0.5) for a search; an outline beside it adds as much to the sum, and costs 0.3 without it."""
    assert abilities(FIRST, settings.RULES) == dict.fromkeys(ABILITIES, 0.0)
    tools = FIRST["TOOLS"]
    assert abilities({**FIRST, "TOOLS": [*tools, "search"]}, settings.RULES)["finding"] == pytest.approx(
        0.39347, abs=1e-5
    )
    both = abilities({**FIRST, "TOOLS": [*tools, "search", "outline"]}, settings.RULES)
    assert both["finding"] == pytest.approx(0.63212, abs=1e-5)
    assert abilities({**FIRST, "TOOLS": [*tools, "outline"]}, settings.RULES)["finding"] == pytest.approx(-0.3)


def test_most_single_changes_of_the_first_agent_hurt():
    world = Modelled(seed=100, sizes=SMALL)
    before = world.expected(world.root(), world.splits.search)
    after = [world.expected(agent(**changed), world.splits.search) for _, changed in edits(FIRST)]
    better, worse = (sum((score > before + 1e-6) == sign for score in after) for sign in (True, False))
    assert (len(after), better) == (93, 3)
    assert worse == 90


def test_stepping_stones_hurt_until_their_complement_is_there():
    world = Modelled(seed=100, sizes=SMALL)
    score = [
        world.expected(agent(TOOLS=["shell", "editor", "tests"], **given), world.splits.search)
        for given in ({}, {"ATTEMPTS": 2}, {"CHOICE": "tested"}, {"ATTEMPTS": 2, "CHOICE": "tested"})
    ]
    assert max(score[1], score[2]) < score[0] < score[3]


def test_evaluation_is_a_draw_that_agent_task_and_seed_fix():
    world, tasks = Modelled(seed=3, sizes=SMALL), Modelled(seed=3, sizes=SMALL).splits.search
    first = asyncio.run(world.evaluate(world.root(), tasks, seed=1))
    assert asyncio.run(Modelled(seed=3, sizes=SMALL).evaluate(world.root(), tasks[::-1], seed=1)) == first[::-1]
    other = asyncio.run(world.evaluate(world.root(), tasks, seed=2))
    assert [outcome.score for outcome in other] != [outcome.score for outcome in first]
    scores = [
        outcome.score for seed in range(30) for outcome in asyncio.run(world.evaluate(agent(**ABLE), tasks, seed=seed))
    ]
    assert sum(scores) / len(scores) == pytest.approx(world.expected(agent(**ABLE), tasks), abs=0.06)


def test_an_agent_that_cannot_be_read_solves_nothing():
    [outcome] = asyncio.run(Modelled().evaluate({AGENT: b"TOOLS = ["}, ["coding-0"], seed=0))
    assert (outcome.score, outcome.failure) == (0.0, "crash")


def test_able_agents_modify_better_and_break_less():
    world, root = Modelled(seed=100, sizes=SMALL), Modelled(seed=100, sizes=SMALL).root()
    before, skilled = world.expected(root, world.splits.search), agent(**ABLE)
    assert world.skill(root) == 0.0
    assert 0.6 < world.skill(skilled) < 0.9
    found = {}
    for name, modifier in {"first": root, "able": skilled}.items():
        kept = [child for child in children(world, modifier, root) if able(world, child)]
        better = [child for child in kept if world.expected(child.files, world.splits.search) > before]
        found[name] = len(kept) / 120, len(better) / len(kept)
    assert found["first"][0] == pytest.approx(0.325, abs=0.1)
    assert found["able"][0] > 0.6
    assert found["first"][1] < 0.5 < found["able"][1]


def test_what_breaks_an_agent_is_told_apart():
    world = Modelled(seed=1, sizes=SMALL)
    reasons = Counter()
    for child in children(world, world.root(), world.root(), 60):
        reasons[child.reason or asyncio.run(world.sound(child.files, seed=0))] += 1
    assert {reason.partition(":")[0] for reason in reasons} == {
        "",
        "no change",
        "it does not compile",
        "agent.py is missing",
        "it has no tool to edit with",
    }


def test_a_modification_goes_by_the_task_of_its_order():
    """An apt change for a task of reviewing raises what reviewing asks for."""
    world = Modelled("reviewing", files=2, seed=100, sizes=SMALL)
    skilled = {META: agent(META, **ABLE)[META], WORKER: world.root()[WORKER]}
    order = Order("better", facts=Outcome(world.splits.search[0], 0.0))
    kept = [child for child in children(world, skilled, world.root(), 100, order) if able(world, child)]
    raised = Counter()
    for child in kept:
        for name, value in world.abilities(child.files, WORKER).items():
            raised[name] += value > 0
    assert raised["finding"] + raised["writing"] < raised["reading"] + raised["checking"] + raised["choosing"]


def test_two_files_have_skills_of_their_own():
    world = Modelled("reviewing", files=2, sizes=SMALL)
    root = world.root()
    assert set(root) == {WORKER, META}
    better = {**root, META: agent(META, **ABLE)[META]}
    assert world.skill(better) > 0.3
    assert world.expected(better, world.splits.search) == world.expected(root, world.splits.search)
    assert asyncio.run(world.sound({WORKER: root[WORKER]}, seed=0)) == "meta_agent.py is missing"
