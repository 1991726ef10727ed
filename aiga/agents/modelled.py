"""Simulated agents: a domain and a workshop without a model and without a sandbox, for whole runs in seconds.

Assumptions, all ours, none of them a measurement:

1. An agent is a file of settings (`agents/settings.py`), which give it five abilities, and of faults.  Of the 93 single
   changes of the first agent three to five help at once.  What each part gains or costs is drawn for every world.
2. A task asks for the abilities in shares of its own, around those of its domain, and has a difficulty (normal, mean
   0.33 in `coding` and 0.55 elsewhere, deviation 0.25).  An agent solves it with probability sigmoid(6 (its abilities
   in these shares - difficulty)), drawn anew for every agent and evaluation.
3. A modification is one agent's change of each file of a program.  The modifier's skill is its abilities in the shares
   of `coding`; in those of `rewriting` where who modifies has a file of its own.
   With probability 0.325 + 0.475 skill (with two files: 0.2 + 0.8 skill) the changed agent can still edit.  Else it
   handed in nothing, or left a syntax error, a missing file, or no editor.
4. With probability 0.7 + 0.3 skill the change is apt: it raises an ability that the task of the order asks for and
   the agent lacks; if no single change does, it is any change to what that ability depends on.  Else it is any change
   at all, of which two in three are new faults.  With probability 0.6 (1 - skill) (with two files: 1 - skill) any
   second change comes along.
5. One file, `agent.py`, is both who works and who modifies; or `task_agent.py` works and `meta_agent.py` modifies.
   With one file, skill in tasks and skill in modifying are aligned as far as the domain's shares are those of `coding`;
   with two, not at all: what makes a task agent better makes its meta agent no better.
"""

import functools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Literal

from aiga.agents import settings
from aiga.agents.descent import fingerprint
from aiga.agents.domain import Attempt, Files, Order, Outcome, Splits
from aiga.agents.settings import ABILITIES, Settings
from aiga.core.errors import UsageError
from aiga.core.texts import hexadecimal
from aiga.data.puzzles import Sealed, Sizes
from aiga.sandbox import diffs

AGENT, WORKER, META = "agent.py", "task_agent.py", "meta_agent.py"
SHARES: Mapping[str, Mapping[str, float]] = {
    "coding": {"reading": 0.2, "finding": 0.2, "writing": 0.2, "checking": 0.2, "choosing": 0.2},
    "reviewing": {"reading": 0.4, "finding": 0.0, "writing": 0.0, "checking": 0.3, "choosing": 0.3},
    "controlling": {"reading": 0.2, "finding": 0.0, "writing": 0.0, "checking": 0.5, "choosing": 0.3},
    "rewriting": {"reading": 0.0, "finding": 0.5, "writing": 0.5, "checking": 0.0, "choosing": 0.0},
}
"""What the tasks of each domain ask for; and the rewriting of others, where that is a skill of its own."""
USUAL = Sizes(60, 100, 200)
DIFFICULTY: Mapping[str, float] = {"coding": 0.33, "reviewing": 0.55, "controlling": 0.55}
STEEPNESS, SPREAD = 6.0, 0.25
KEPT: Mapping[int, tuple[float, float]] = {1: (0.325, 0.8), 2: (0.2, 1.0)}
"""Probability, by files of a program, that a changed agent can still edit, for a skill of 0 and of 1."""
APT = (0.7, 1.0)
"""Probability that a change is apt, likewise."""
CLUMSY: Mapping[int, float] = {1: 0.6, 2: 1.0}
"""Probability, by files of a program, that another change comes along, for a skill of 0; for a skill of 1 none does."""


class Modelled:
    """A world of simulated agents: its domain, and its workshop."""

    def __init__(
        self,
        needs: Literal["coding", "reviewing", "controlling"] = "coding",
        *,
        files: Literal[1, 2] = 1,
        seed: int = 0,
        sizes: Sizes = USUAL,
    ) -> None:
        self.needs, self.files = needs, files
        self.rules = settings.drawn(seed)
        self._tasks = _tasks(needs, sum(sizes), seed)
        names = tuple(self._tasks)
        chosen = sizes.search + sizes.select
        self._splits = Splits(names[: sizes.search], names[sizes.search : chosen], Sealed(names[chosen:]))

    @property
    def name(self) -> str:
        return f"modelled {self.needs}"

    @property
    def splits(self) -> Splits:
        return self._splits

    def root(self) -> Files:
        """The first agent."""
        names = {1: (AGENT,), 2: (WORKER, META)}[self.files]
        return {name: settings.written(settings.FIRST, f"A simulated agent: {name}.") for name in names}

    def statement(self, task: str) -> str:
        difficulty, shares = self._tasks[task]
        asked = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
        return f"A simulated task of difficulty {difficulty:.2f} that asks for {asked}."

    async def evaluate(self, agent: Files, tasks: Sequence[str], *, seed: int) -> list[Outcome]:
        """Each task solved or not, by a draw that agent, task and seed fix."""
        try:
            able = self.abilities(agent, WORKER)
        except UsageError as error:
            return [Outcome(task, 0.0, log=str(error), failure="crash") for task in tasks]
        identity = hexadecimal(fingerprint(agent))
        return [self._outcome(task, able, random.Random(f"{identity} {task} {seed}")) for task in tasks]

    def _outcome(self, task: str, able: Mapping[str, float], chance: random.Random) -> Outcome:
        solved = chance.random() < self.probability(task, able)
        shown = ", ".join(f"{name} {value:.2f}" for name, value in able.items())
        return Outcome(
            task, float(solved), "a simulated diff", f"Abilities: {shown}.", "solved" if solved else "failed"
        )

    def probability(self, task: str, able: Mapping[str, float]) -> float:
        """Of solving a task."""
        difficulty, shares = self._tasks[task]
        return 1 / (1 + math.exp(-STEEPNESS * (_weighed(able, shares) - difficulty)))

    def abilities(self, agent: Files, name: str) -> dict[str, float]:
        """Those of an agent's file; of `agent.py` where there is but one."""
        return settings.abilities(_read(agent, name), self.rules)

    def expected(self, agent: Files, tasks: Sequence[str]) -> float:
        """An agent's probability of solving a task, the mean over several: its score without luck."""
        able = self.abilities(agent, WORKER)
        return sum(self.probability(task, able) for task in tasks) / len(tasks)

    def skill(self, agent: Files) -> float:
        """How well an agent modifies, from 0 to 1."""
        shares = SHARES["coding" if AGENT in agent else "rewriting"]
        return min(max(_weighed(self.abilities(agent, META), shares), 0.0), 1.0)

    async def modify(self, agent: Files, target: Files, order: Order, *, seed: int) -> Attempt:
        """A change of each file of `target`, by a draw that agents, order and seed fix; the abler, the apter."""
        given = [hexadecimal(fingerprint(files)) for files in (agent, target)]
        task = order.facts.task if isinstance(order.facts, Outcome) else ""
        chance = random.Random(f"modify {given} {task} {seed}")
        try:
            skill = self.skill(agent)
        except UsageError as error:
            return Attempt(failure="crash", why=str(error))
        names = [name for name in (AGENT, WORKER, META) if name in target]
        name = chance.choice(names)
        if chance.random() < _between(KEPT[self.files], skill):
            changed = {**target} | {name: self._changed(target[name], name, task, skill, chance) for name in names}
        else:
            changed = _broken(target, name, chance)
        changes = diffs.diff(target, changed)
        return Attempt(
            changes, None, f"A simulated modification with a skill of {skill:.2f}.", "" if changes else "empty"
        )

    def _changed(self, content: bytes, name: str, task: str, skill: float, chance: random.Random) -> bytes:
        """A file after one change, or two."""
        before = settings.read(content)
        if chance.random() < _between(APT, skill):
            shares = SHARES["rewriting"] if name == META else self._tasks[task][1] if task else SHARES[self.needs]
            after = self._apt(before, shares, chance)
        else:
            after = chance.choice(settings.edits(before))[1]
        if chance.random() < CLUMSY[self.files] * (1 - skill):
            after = chance.choice(settings.edits(after))[1]
        return settings.written(after, f"A simulated agent: {name}.")

    def _apt(self, before: Settings, shares: Mapping[str, float], chance: random.Random) -> Settings:
        """A change that raises an ability that is asked for and lacking; if there is none, one that concerns it."""
        able = settings.abilities(before, self.rules)
        lacking = [shares[ability] * (1 - able[ability]) for ability in ABILITIES]
        ability = chance.choices(ABILITIES, lacking)[0]
        possible = settings.edits(before)
        rules = [rule for rule in self.rules if rule.ability == ability]
        better = [after for _, after in possible if settings.abilities(after, rules)[ability] > able[ability] + 1e-9]
        return chance.choice(better or [after for part, after in possible if part in settings.concerned(ability)])

    async def sound(self, agent: Files, *, seed: int) -> str:
        """Whether its files can be read, and none has lost its editor."""
        del seed
        try:
            found = [_read(agent, name) for name in (WORKER, META)]
        except UsageError as error:
            return str(error)
        able = all(settings.EDITOR in part["TOOLS"] for part in found)
        return "" if able else "it has no tool to edit with"


def _read(agent: Files, name: str) -> Settings:
    name = name if {WORKER, META} & set(agent) else AGENT
    if name not in agent:
        raise UsageError(f"{name} is missing")
    return settings.read(agent[name])


def _broken(target: Files, name: str, chance: random.Random) -> dict[str, bytes]:
    """Files after a modification that failed: unchanged, with a syntax error, without a file, or without an editor."""
    others = {other: content for other, content in target.items() if other != name}
    text = target[name].decode()
    left = [text, text.replace("WINDOW = ", "WINDOW == = ", 1), None, text.replace(f", '{settings.EDITOR}'", "", 1)]
    content = chance.choice(left)
    return others if content is None else {**others, name: content.encode()}


@functools.lru_cache(16)
def _tasks(needs: str, number: int, seed: int) -> Mapping[str, tuple[float, Mapping[str, float]]]:
    """Difficulty and shares of each task, by name."""
    found = {}
    for index in range(number):
        chance = random.Random(f"task {needs} {seed} {index}")
        raw = {name: share * chance.uniform(0.2, 1.8) for name, share in SHARES[needs].items()}
        shares = {name: value / sum(raw.values()) for name, value in raw.items()}
        found[f"{needs}-{index}"] = (chance.gauss(DIFFICULTY[needs], SPREAD), shares)
    return found


def _weighed(able: Mapping[str, float], shares: Mapping[str, float]) -> float:
    return sum(able[name] * share for name, share in shares.items())


def _between(ends: tuple[float, float], part: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * part
