"""What a simulated agent is made of, and what each part is worth: the assumptions of `agents/modelled.py` as tables.

An agent's file is a list of assignments, read as literals and never executed.  Parts of it make up five abilities.
Most changes hurt or do nothing; some help only beside another, and hurt until the other is there.  Faults only hurt.
"""

import ast
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiga.core.errors import UsageError

EDITOR = "editor"
"""The tool without which an agent can no longer edit."""
TOOLS = ("shell", EDITOR, "viewer", "search", "outline", "tests", "linter", "browser", "calculator")
VALUES: Mapping[str, tuple[Any, ...]] = {
    "VIEW": ("file", "lines"),
    "EDIT": ("file", "text"),
    "WINDOW": (2000, 4000, 8000, 16000, 32000, 64000),
    "SUMMARISE": (False, True),
    "VERIFY": (False, True),
    "RETRIES": (0, 1, 2, 4, 8),
    "ATTEMPTS": (1, 2, 4, 8),
    "CHOICE": ("first", "judged", "tested"),
    "HISTORY": (False, True),
    "PLAN": (False, True),
    "TEMPERATURE": (0.0, 0.2, 0.7, 1.2),
    "TONE": ("plain", "polite", "stern"),
}
Settings = Mapping[str, Any]
FIRST: Settings = {
    "TOOLS": ["shell", EDITOR],
    "VIEW": "file",
    "EDIT": "file",
    "WINDOW": 8000,
    "SUMMARISE": False,
    "VERIFY": False,
    "RETRIES": 0,
    "ATTEMPTS": 1,
    "CHOICE": "first",
    "HISTORY": False,
    "PLAN": False,
    "TEMPERATURE": 0.2,
    "TONE": "plain",
    "FAULTS": [],
}
FAULTS = 60
"""How many kinds of faults a program can have.  An agent lists those that it has."""


class Rule(NamedTuple):
    """What some parts together do to an ability."""

    ability: str
    gain: float
    having: tuple[str, ...] = ()
    """Parts that are all there: tools, `NAME`, `NAME=value`, or `NAME>=value`."""
    lacking: tuple[str, ...] = ()
    """Parts of which none is there."""


ABILITIES: tuple[str, ...] = ("reading", "finding", "writing", "checking", "choosing")
RULES = (
    Rule("reading", 0.6, ("VIEW=lines", "viewer")),
    Rule("reading", -0.3, ("VIEW=lines",), ("viewer",)),
    Rule("reading", -0.1, ("viewer",), ("VIEW=lines",)),
    Rule("reading", 0.4, ("WINDOW>=16000",)),
    Rule("reading", 0.8, ("WINDOW>=32000", "SUMMARISE")),
    Rule("reading", -0.4, ("WINDOW>=32000",), ("SUMMARISE",)),
    Rule("reading", -0.3, ("SUMMARISE",), ("WINDOW>=32000",)),
    Rule("reading", -0.6, (), ("WINDOW>=8000",)),
    Rule("reading", -0.6, (), ("WINDOW>=4000",)),
    Rule("finding", 0.5, ("search",)),
    Rule("finding", 0.5, ("outline", "search")),
    Rule("finding", -0.3, ("outline",), ("search",)),
    Rule("finding", 0.6, ("PLAN", "outline")),
    Rule("finding", -0.3, ("PLAN",), ("outline",)),
    Rule("finding", -0.2, ("browser",)),
    Rule("finding", -0.1, ("calculator",)),
    Rule("writing", 0.8, ("EDIT=text", "VIEW=lines")),
    Rule("writing", -0.3, ("EDIT=text",), ("VIEW=lines",)),
    Rule("writing", 0.5, ("linter", "EDIT=text")),
    Rule("writing", -0.2, ("linter",), ("EDIT=text",)),
    Rule("writing", -0.6, ("TEMPERATURE>=1.2",)),
    Rule("writing", -0.2, (), ("TEMPERATURE>=0.2",)),
    Rule("writing", -0.2, ("TONE=stern",)),
    Rule("checking", 0.4, ("tests",)),
    Rule("checking", 0.5, ("VERIFY", "tests")),
    Rule("checking", -0.3, ("VERIFY",), ("tests",)),
    Rule("checking", 0.5, ("RETRIES>=1", "VERIFY")),
    Rule("checking", -0.3, ("RETRIES>=1",), ("VERIFY",)),
    Rule("checking", 0.3, ("HISTORY", "RETRIES>=2")),
    Rule("checking", -0.2, ("HISTORY",), ("RETRIES>=2",)),
    Rule("checking", -0.5, ("RETRIES>=8",)),
    Rule("checking", -1.0, (), ("shell",)),
    Rule("choosing", -0.4, ("ATTEMPTS>=2", "CHOICE=first")),
    Rule("choosing", -0.3, ("CHOICE=judged",), ("ATTEMPTS>=2",)),
    Rule("choosing", -0.3, ("CHOICE=tested",), ("ATTEMPTS>=2",)),
    Rule("choosing", 0.5, ("CHOICE=judged", "ATTEMPTS>=2")),
    Rule("choosing", 1.0, ("CHOICE=tested", "ATTEMPTS>=2", "tests")),
    Rule("choosing", -0.3, ("CHOICE=tested",), ("tests",)),
    Rule("choosing", 0.5, ("TEMPERATURE>=0.7", "ATTEMPTS>=4"), ("CHOICE=first",)),
    Rule("choosing", -0.2, ("TEMPERATURE>=0.7",), ("ATTEMPTS>=2",)),
    Rule("choosing", -0.5, ("ATTEMPTS>=8",)),
)


def drawn(seed: int) -> tuple[Rule, ...]:
    """The rules of one world: every gain and loss is half to one and a half times that of the table; and its faults."""
    chance = random.Random(f"rules {seed}")
    faults = [Rule(chance.choice(ABILITIES), -0.8, (f"fault {number}",)) for number in range(FAULTS)]
    return tuple(rule._replace(gain=rule.gain * chance.uniform(0.5, 1.5)) for rule in (*RULES, *faults))


def parts(settings: Settings) -> frozenset[str]:
    """What an agent has, in the words of the rules."""
    found = {*settings["TOOLS"], *(f"fault {number}" for number in settings["FAULTS"])}
    for name, values in VALUES.items():
        value = settings[name]
        if isinstance(value, bool):
            found |= {name} if value else set()
        elif isinstance(value, str):
            found.add(f"{name}={value}")
        else:
            found |= {f"{name}>={least}" for least in values if value >= least}
    return frozenset(found)


def abilities(settings: Settings, rules: Sequence[Rule]) -> dict[str, float]:
    """Each ability, 0 for an agent like the first; gains have diminishing returns and add up to less than 1."""
    has, totals = parts(settings), dict.fromkeys(ABILITIES, 0.0)
    for rule in rules:
        if has.issuperset(rule.having) and has.isdisjoint(rule.lacking):
            totals[rule.ability] += rule.gain
    return {name: 1 - math.exp(-total) if total > 0 else max(total, -1.0) for name, total in totals.items()}


def concerned(ability: str) -> frozenset[str]:
    """The tools and settings that an ability depends on."""
    named = (part for rule in RULES if rule.ability == ability for part in (*rule.having, *rule.lacking))
    return frozenset(part.partition("=")[0].rstrip(">") for part in named)


def edits(settings: Settings) -> list[tuple[str, dict[str, Any]]]:
    """All single changes of an agent, but for the loss of its editor: the tool or setting, and the agent after it."""
    found = []
    for tool in TOOLS:
        if tool != EDITOR:
            has = settings["TOOLS"]
            tools = [other for other in has if other != tool] if tool in has else [*has, tool]
            found.append((tool, {**settings, "TOOLS": tools}))
    for name, values in VALUES.items():
        found += [(name, {**settings, name: value}) for value in values if value != settings[name]]
    for fault in range(FAULTS):
        has = settings["FAULTS"]
        faults = [other for other in has if other != fault] if fault in has else [*has, fault]
        found.append(("FAULTS", {**settings, "FAULTS": faults}))
    return found


def written(settings: Settings, heading: str) -> bytes:
    """An agent as its file."""
    lines = [f"{name} = {value!r}" for name, value in settings.items()]
    return "\n".join([f'"""{heading}"""', "", *lines, ""]).encode()


def read(content: bytes) -> dict[str, Any]:
    """An agent from its file; UsageError where it is none."""
    try:
        found = dict(_assigned(statement) for statement in ast.parse(content).body[1:])
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"it does not compile: {error}") from error
    if missing := [name for name in FIRST if name not in found]:
        raise UsageError(f"{', '.join(missing)} is not set")
    return found


def _assigned(statement: ast.stmt) -> tuple[str, Any]:
    """The name and the value of `NAME = literal`."""
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, ast.literal_eval(statement.value)
    raise ValueError("only values are set in a simulated agent")
