"""A simulated worker: what a model might answer, as a probability.  It is a model of nothing but its own assumptions.

It knows the right answer of a task and says it with a probability that is a sigmoid of

    level of skill  -  difficulty  +  what the prompt asks for  +  luck of the task  +  luck of the wording

and else a wrong one, often the same.  So thinking helps, and a principle or a plan if it is a good one; samples of one
wording fail together, those of several less so; who is shown an answer keeps it, and checks it only if asked to.
"""

import math
import random
import re

from aiga.agents.program import Asked
from aiga.data.puzzles import Task, score

SKILL, SLOPE = 1.0, 0.9
"""Of a middling task answered at once; lost with each level of difficulty."""
STEPS, ROLE, INSIGHT, MISLED = 0.8, 0.3, 0.7, -0.8
"""Thinking step by step, a fitting role, a good principle or plan, a bad one."""
TASK, WORDING = 0.8, 1.0
"""Standard deviations of luck: what all calls about a task share, and what those with the same wording share."""
SOUND = 0.7
"""How often a principle or a plan is a good one."""
ANCHORED, CHECKING = 0.8, 0.4
"""How often the one answer that is shown is kept: without, and with, being asked to check it."""
CHECKED = 0.6
"""How much easier it is to see that an answer is right or wrong than to find it."""
SHARE = 3.0
"""What the share of right answers among those that are shown is worth to who weighs them."""
TRAP = 0.5
"""How often a wrong answer is the task's own usual one."""
GOOD, BAD = "Go one change at a time and keep what was left.", "Add up all numbers that are named."
FITTING = {"number": "mathematician", "grid": "pattern", "choice": "scientist", "span": "scientist"}
ANSWER = re.compile(r"Answer:[ ]*([^\n`]+)$", re.MULTILINE)


def answer(rng: random.Random, asked: Asked) -> str:
    """What the worker says to a prompt: an `aiga.fm.offline.Proposer`."""
    task: Task = asked.about
    if task.question not in asked.prompt:
        return f"I do not know the question.\nAnswer: {_wrong(rng, task)}"
    if "do not solve" in asked.prompt.lower():
        return _remark(rng, task, asked.prompt)
    right = rng.random() < _sigmoid(_odds(rng, task, asked))
    kept = _kept(rng, task, asked)
    text = kept or (task.answers[0] if right else _wrong(rng, task))
    return f"I went through it.\nAnswer: {text}"


def _odds(rng: random.Random, task: Task, asked: Asked) -> float:
    """How likely a right answer is, as log odds."""
    prompt, shown = asked.prompt.lower(), _shown(task, asked.prompt)
    odds = SKILL - SLOPE * (task.difficulty - 1)
    odds += STEPS * ("step by step" in prompt) + ROLE * (FITTING[task.kind] in asked.system)
    odds += INSIGHT * (GOOD in asked.prompt) + MISLED * (BAD in asked.prompt)
    another = len(shown) if "different way" in prompt else 0
    odds += TASK * _luck(task) + WORDING * _luck(task, asked.system, another)
    if "check" in prompt:
        odds += CHECKED
    if len(shown) > 1 and not another:
        share = sum(score(task, text) > 0 for text in shown) / len(shown)
        odds += SHARE * (share - 0.5) if share else -SHARE
    temperature = 0.7 if asked.temperature is None else asked.temperature
    return odds / (0.4 + 0.6 * temperature)


def _kept(rng: random.Random, task: Task, asked: Asked) -> str:
    """The answer that is kept because it stands there, if any."""
    prompt, shown = asked.prompt.lower(), _shown(task, asked.prompt)
    if len(shown) != 1 or "different way" in prompt:
        return ""
    return shown[0] if rng.random() < (CHECKING if "check" in prompt else ANCHORED) else ""


def _remark(rng: random.Random, task: Task, prompt: str) -> str:
    """A principle, a plan, a criticism or a choice of role."""
    if "reply with one of" in prompt.lower():
        return FITTING[task.kind]
    if "Criticise" in prompt:
        return "FINE" if rng.random() < 0.4 else "A step is not justified."
    return GOOD if rng.random() < SOUND else BAD


def _shown(task: Task, prompt: str) -> list[str]:
    """The answers to this task that stand in a prompt."""
    known = {*task.answers, *task.wrong}
    return [text.strip() for text in ANSWER.findall(prompt) if text.strip() in known]


def _wrong(rng: random.Random, task: Task) -> str:
    if not task.wrong:
        return "unknown"
    return task.wrong[0] if rng.random() < TRAP else rng.choice(task.wrong)


def _luck(task: Task, *what: object) -> float:
    """A standard normal number, the same for the same task and things."""
    return random.Random(f"{task.question} {what}").gauss(0, 1)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))
