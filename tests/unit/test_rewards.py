"""Rewards that agents design: read as arithmetic only, trained with outside of the sandbox, scored by our measure."""

import asyncio
import json
import re

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiga.agents.domain import Domain
from aiga.agents.expressions import DEEPEST, FUNCTIONS, LARGEST, LONGEST, Expression, Unreadable, parsed
from aiga.agents.responses import Asking
from aiga.agents.rewards import BEST, LABEL, Rewards, score
from aiga.core.errors import UsageError
from aiga.core.texts import Recent
from aiga.envs.swing import OBJECTIVES, OBSERVABLES, Learned, Wanted
from aiga.fm.offline import Offline
from aiga.learners.rewarded import Training
from aiga.sandbox import ladder

NUMBERS = {"x": jnp.array([1.0, -2.0]), "y": jnp.array([3.0, 0.5])}
CLASSIC = "-(angle**2 + 0.1*speed**2 + 0.001*torque**2)"
TINY = Training(updates=2, policies=2)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("x", [1, -2]),
        ("-x**2 + 1e1", [9, 6]),
        ("(x + y) / 2", [2, -0.75]),
        ("abs(x) - .5", [0.5, 1.5]),
        ("where(x > 0, y, -1.)", [3, -1]),
        ("0 < x <= 1", [1, 0]),
        ("(x == 1) * 2 + (y != 3)", [2, 1]),
        ("minimum(x, y) + maximum(x, 0)", [2, -2]),
        ("sqrt(x)", [1, np.nan]),
        ("x\n  + 9**9**9", [np.inf, np.inf]),
        ("tanh(0) + exp(0) + cos(0) + sin(0)", 2),
    ],
)
def test_arithmetic_is_read(text, values):
    np.testing.assert_allclose(parsed(text, NUMBERS)(NUMBERS), values, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__import__('os').system('true')", "only arithmetic"),
        ("x.__class__", "only arithmetic"),
        ("[y for y in x]", "only arithmetic"),
        ("x[0]", "only arithmetic"),
        ("open(x)", "there is no `open`"),
        ("lambda x", "there is no `lambda`"),
        ("x if y else 1", "there is no `if`"),
        ("True", "there is no `True`"),
        ("1j * x", "only arithmetic"),
        ("0x10", "only arithmetic"),
        ("1if 1else 2", "only arithmetic"),
        ("x := 1", "only arithmetic"),
        ("x // y", "`x // y` is not allowed"),
        ("x, y", r"`\(x, y\)` is not allowed"),
        ("where", "needs its arguments"),
        ("abs(x, y)", "given 2 arguments and takes 1"),
        ("abs(abs)", "needs its arguments"),
        ("abs(*x)", "not allowed"),
        ("x(1)", "not allowed"),
        ("", "no expression"),
        ("x +", "no expression"),
        ("1e999", "above 1e"),
        ("9" * 1000, "above 1e"),
        ("(" * 300 + "x" + ")" * 300, "no expression"),
        ("-" * 1900 + "x", f"more than {DEEPEST} deep"),
        ("+".join(["x"] * (DEEPEST + 1)), f"more than {DEEPEST} deep"),
        ("(" + "+".join(["x*x*x"] * 60) + ")", f"; {LARGEST} are allowed"),
        ("x" * (LONGEST + 1), f"{LONGEST} are allowed"),
        ("\uff58", "only arithmetic"),
        ("x\0", "only arithmetic"),
    ],
)
def test_what_is_no_arithmetic_is_refused_in_a_sentence(text, said):
    with pytest.raises(Unreadable, match=said):
        parsed(text, NUMBERS)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.sampled_from([*"xy(),.+-*/<>=!:[]'1907e_ ", "**", "abs", "where", "if", "or", "lambda"]), max_size=30)
)
def test_any_text_is_an_expression_or_a_sentence(parts):
    try:
        reward = parsed("".join(parts), NUMBERS)
    except Unreadable:
        return
    assert parsed(reward.text, NUMBERS).text == reward.text
    assert np.broadcast_to(reward(NUMBERS), 2).dtype == np.float32


def test_one_expression_has_one_text():
    assert parsed("x+( y )", NUMBERS).text == parsed("x  +y", NUMBERS).text


def responding(*lines):
    return {"task_agent.py": "\n".join(["def solve(task):", *(f"    {line}" for line in lines)]).encode()}


def rewards(found=None, **options):
    """A domain whose training gives what is told, and what it was trained with."""
    trained = []

    def train(reward: Expression, task: Wanted, seed: int) -> Learned:
        trained.append((reward.text, task, seed))
        return found or Learned((BEST, 0.0), {"speed": 1.5})

    return Rewards(Asking(Offline({}), ladder.best(), LABEL), train, **options), trained


def evaluated(domain, agent, tasks, seed=0):
    return asyncio.run(domain.evaluate(agent, tasks, seed=seed))


def test_the_statement_tells_what_may_be_used_and_what_is_wanted():
    domain, _ = rewards()
    assert isinstance(domain, Domain)
    search, report = domain.statement("search-2"), domain.statement("report-1")
    assert all(f"- {name}: " in search for name in OBSERVABLES)
    assert all(name in search for name in FUNCTIONS)
    assert OBJECTIVES["stand"].text in search
    assert "1.4 N m" in search
    assert OBJECTIVES["lean"].text in report
    with pytest.raises(UsageError, match="another choice"):
        [domain.splits.report.open(choice) for choice in ("one", "other")]


def test_an_expression_is_trained_with_and_scored():
    domain, trained = rewards()
    agent = responding("return {'response': 'height-0.1 * abs(speed)'}")
    outcomes = evaluated(domain, agent, ["search-1", "search-2", "select-1"])
    assert [outcome.score for outcome in outcomes] == [0.5] * 3
    assert "0.75, 0.00" in outcomes[0].verdict
    assert outcomes[2].verdict == ""
    assert [text for text, _, _ in trained] == ["height - 0.1 * abs(speed)"] * 3
    assert [task.torque for _, task, _ in trained] == [2.0, 1.4, 1.7]
    assert len({seed for _, _, seed in trained}) == 3


def test_nothing_is_trained_twice_whoever_asks():
    finished = Recent()
    domain, trained = rewards(finished=finished)
    agents = [responding("return {'response': 'height'}"), responding("return {'response': ' (height) '}")]

    async def both():
        return await asyncio.gather(*(domain.evaluate(agent, ["search-1"], seed=1) for agent in agents))

    first, second = asyncio.run(both())
    assert first[0].score == second[0].score == 0.5
    later, untrained = rewards(finished=finished)
    assert evaluated(later, agents[0], ["search-1"], seed=2)[0].score == 0.5
    assert (len(trained), len(untrained)) == (1, 0)


@pytest.mark.parametrize(
    ("lines", "failure", "said"),
    [
        (["return {'response': 'reward(x)'}"], "format", "there is no `reward`"),
        (["return {'response': 7}"], "format", "must be a text"),
        (["return 'height'"], "format", 'return {"response": ...}'),
        (["raise ValueError('no')"], "crash", "ValueError: no"),
    ],
)
def test_what_is_no_reward_is_a_failure_with_a_reason(lines, failure, said):
    domain, trained = rewards()
    (outcome,) = evaluated(domain, responding(*lines), ["search-1"])
    assert (outcome.score, outcome.failure, trained) == (0.0, failure, [])
    assert said in outcome.verdict


def test_a_training_without_a_result_is_a_failure_with_its_reason():
    domain, _ = rewards(Learned(trouble="the reward is nan"))
    (outcome,) = evaluated(domain, responding("return {'response': 'sqrt(-1)'}"), ["search-1"])
    assert (outcome.score, outcome.failure) == (0.0, "format")
    assert "nan" in outcome.verdict


def test_an_agent_cannot_name_its_score():
    """What it returns besides the response, and what it writes, is nothing to us."""
    domain, _ = rewards()
    agent = responding(
        "open('score.json', 'w').write('1.0')", "return {'response': 'height', 'score': 1.0, 'shares': [1.0]}"
    )
    assert evaluated(domain, agent, ["search-1"])[0].score == 0.5


def test_scores_end_at_one():
    assert score(Learned((0.8, 0.8))) == 1.0


@pytest.mark.parametrize(
    ("text", "said"), [("1 / (angle * 0)", "inf"), ("sqrt(-1.1 - height)", "nan"), ("1e7 * (1 + time)", r"1\.05e\+07")]
)
def test_a_reward_that_is_no_number_or_explodes_is_told_with_its_place(text, said):
    learned = TINY(parsed(text, OBSERVABLES), Wanted("stand", 2.0), 0)
    assert learned.shares == ()
    assert re.search(f"the reward is -?{said} where angle .* time", learned.trouble)


def test_a_sensible_reward_is_better_than_a_bad_one_and_the_same_again():
    task, training = Wanted("stand", 2.0), Training(updates=60, policies=2)
    good, bad = (training(parsed(text, OBSERVABLES), task, 1) for text in (CLASSIC, "-abs(speed)"))
    assert score(good) > 0.4 > 0.05 > score(bad)
    assert set(good.means) == set(OBSERVABLES)
    assert json.loads(json.dumps(good._asdict()))["trouble"] == ""
    tiny = [TINY(parsed(CLASSIC, OBSERVABLES), task, 1) for _ in range(2)]
    assert tiny[0] == tiny[1]


def test_a_constant_reward_is_one():
    assert TINY(lambda observed: jnp.float32(1), Wanted("lean", 1.6), 0).trouble == ""
