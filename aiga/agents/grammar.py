"""A meta agent without a model: a grammar of agents, which proposes, varies and mends programs.

A program is a sequence of parts, each with a number: what is said before, how drafts are made, how they change, how one
is chosen.  The parts stand in a comment of the program, which is how the grammar reads what it varies.
"""

import json
import math
import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from aiga.agents.seeds import Proposal

Parts = tuple[tuple[str, int], ...]


@runtime_checkable
class Known(Protocol):
    """An agent that was evaluated before."""

    @property
    def name(self) -> str: ...

    @property
    def code(self) -> str: ...

    @property
    def fitness(self) -> float: ...


class Facts(NamedTuple):
    """What the grammar goes by."""

    archive: tuple[Known, ...]
    """Empty: propose at random."""
    calls: int
    """Texts that an agent may ask for."""
    proposal: Proposal | None = None
    """What is to be reflected on, or mended."""


MOST = {
    "principle": 1,
    "plan": 1,
    "draft": 6,
    "direct": 6,
    "panel": 5,
    "different": 5,
    "debate": 2,
    "check": 2,
    "refine": 2,
    "vote": 1,
    "judge": 1,
}
"""The parts, and the largest number of each."""
LONGEST = 7
"""Parts of a program."""
CONSIDERED, CROSSED, RIDGE, DOUBT = 16, 0.3, 2.0, 0.02
"""Variations that a proposal is chosen from, the share of crosses, and the trust in what the archive says."""


def propose(rng: random.Random, facts: Facts) -> Proposal:
    """Of several variations of good agents of the archive, the most promising; without an archive, parts at random."""
    if not facts.archive:
        return program(tuple(_part(rng) for _ in range(rng.randint(1, LONGEST))), "A composition at random.")
    promise = worth(facts.archive)
    drafts = [_varied(rng, facts.archive) for _ in range(CONSIDERED)]
    allowed = [draft for draft in drafts if cost(draft[0]) <= facts.calls] or drafts
    parts, thought, parents = max(allowed, key=lambda draft: promise(draft[0]) + rng.gauss(0, DOUBT))
    return program(parts, thought, *parents)


def _varied(rng: random.Random, archive: Sequence[Known]) -> tuple[Parts, str, tuple[str, ...]]:
    """A good agent with some changes, or two crossed: parts, a thought, and the parents' names."""
    mother, father = (_good(rng, archive) for _ in range(2))
    if mother.name != father.name and rng.random() < CROSSED:
        crossed = cross(rng, read(mother.code), read(father.code))
        return crossed, f"Begin as {mother.name} and end as {father.name}.", (mother.name, father.name)
    return vary(rng, read(mother.code)), f"{mother.name} is good; change a part of it.", (mother.name,)


def worth(archive: Sequence[Known]) -> Callable[[Parts], float]:
    """What the archive says each part is worth: fitness, regressed on how often a part is in a program (ridge)."""
    counts = np.array([_counts(read(known.code)) for known in archive])
    fitness = np.array([known.fitness for known in archive])
    centre = counts.mean(axis=0)
    square = (counts - centre).T @ (counts - centre) + RIDGE * np.eye(len(MOST))
    weights = np.linalg.solve(square, (counts - centre).T @ (fitness - fitness.mean()))
    return lambda parts: float((_counts(parts) - centre) @ weights)


def _counts(parts: Parts) -> np.ndarray:
    return np.array([math.log1p(sum(number for name, number in parts if name == part)) for part in MOST])


def reflect(rng: random.Random, facts: Facts) -> Proposal:
    """The same agent; another one if the archive has it already, and a smaller one if it would ask for too much."""
    if facts.proposal is None:
        raise ValueError("there is no proposal to reflect on")
    before = parts = read(facts.proposal.code)
    have = {read(known.code) for known in facts.archive}
    for _ in range(20):
        if parts not in have and cost(parts) <= facts.calls:
            break
        parts = vary(rng, parts) if parts in have else smaller(rng, parts)
    if parts == before:
        return facts.proposal
    return program(parts, facts.proposal.thought, *filter(None, facts.proposal.based_on.split(";")))


def mend(rng: random.Random, facts: Facts) -> Proposal:
    """The agent with a part less."""
    if facts.proposal is None:
        raise ValueError("there is no proposal to mend")
    parts = smaller(rng, read(facts.proposal.code))
    return program(parts, facts.proposal.thought, *filter(None, facts.proposal.based_on.split(";")))


def vary(rng: random.Random, parts: Parts) -> Parts:
    """One to three changes: a part more, a part less, another number, another part."""
    changed = list(parts)
    for _ in range(rng.randint(1, 3)):
        at, how = rng.randrange(len(changed)), rng.random()
        if how < 0.4 and len(changed) < LONGEST:
            changed.insert(rng.randint(0, len(changed)), _part(rng))
        elif how < 0.55 and len(changed) > 1:
            del changed[at]
        elif how < 0.8:
            name = changed[at][0]
            changed[at] = (name, rng.randint(1, MOST[name]))
        else:
            changed[at] = _part(rng)
    return tuple(changed)


def cross(rng: random.Random, mother: Parts, father: Parts) -> Parts:
    """The beginning of one and the end of another."""
    head, tail = mother[: rng.randint(1, len(mother))], father[rng.randrange(len(father)) :]
    return (*head, *tail)[:LONGEST]


def smaller(rng: random.Random, parts: Parts) -> Parts:
    """A part less, or, of a single part, a smaller number."""
    if len(parts) == 1:
        return ((parts[0][0], max(1, parts[0][1] - 1)),)
    at = rng.randrange(len(parts))
    return parts[:at] + parts[at + 1 :]


def cost(parts: Parts) -> int:
    """Texts that a program of these parts asks for."""
    total = drafts = 0
    for name, number in parts:
        if name in ("draft", "direct", "panel", "different"):
            total, drafts = total + number, drafts + number
        elif name in ("debate", "check", "refine"):
            total += drafts * number
        elif name in ("principle", "plan"):
            total += 1
        else:
            total, drafts = total + (name == "judge" and drafts > 1), min(drafts, 1)
    return total + (drafts == 0)


def read(code: str) -> Parts:
    """The parts of a program, from its comment; of another program, those of chain of thought."""
    found = re.search(r"^# parts: (.+)$", code, re.MULTILINE)
    return tuple((name, int(number)) for name, number in json.loads(found[1])) if found else (("draft", 1),)


def program(parts: Parts, thought: str, *parents: str) -> Proposal:
    """The program of some parts, with a name made of them."""
    name = " + ".join(f"{name} {number}" if MOST[name] > 1 else name for name, number in parts)
    body = "".join(BODY[part].format(n=number) for part, number in parts)
    code = HEAD.replace("PARTS", json.dumps(parts)) + body + TAIL
    return Proposal(thought, name, code, ";".join(dict.fromkeys(parents)))


def _part(rng: random.Random) -> tuple[str, int]:
    name = rng.choice(sorted(MOST))
    return name, rng.randint(1, MOST[name])


def _good(rng: random.Random, archive: Sequence[Known]) -> Known:
    """The best of three."""
    return max(rng.choices(archive, k=3), key=lambda known: known.fitness)


HEAD = """# parts: PARTS
from collections import Counter

from broker import ask

HOW = "Think step by step, then end with a line `Answer: ` and the answer."
ROLES = [
    "You are a mathematician who trusts nothing but a proof.",
    "You are a puzzle solver with an eye for patterns.",
    "You are a teacher who explains every step simply.",
    "You are an engineer who estimates first and computes then.",
    "You are a scientist who knows the literature.",
]


def say(prompt, k=1, system="", temperature=0.7):
    return ask({"prompt": prompt, "k": k, "system": system, "temperature": temperature})["texts"]


def final(text):
    return text.rpartition("Answer:")[2].strip()


def most(texts):
    answers = Counter(map(final, texts))
    return next(text for text in texts if answers[final(text)] == max(answers.values()))


def forward(task):
    question, texts = task["question"], []
"""
TAIL = """    if not texts:
        texts = say(question + "\\n" + HOW)
    return final(most(texts))
"""
BODY = {
    "principle": """    asked = "\\n\\nDo not solve it yet: which principle is behind it?"
    question += "\\n\\n" + say(question + asked)[0]
""",
    "plan": """    question += "\\n\\n" + say(question + "\\n\\nDo not solve it yet: plan how.")[0]
""",
    "draft": """    texts += say(question + "\\n" + HOW, k={n}, temperature=0.8)
""",
    "direct": """    texts += say(question + "\\nEnd with a line `Answer: ` and the answer, nothing else.", k={n})
""",
    "panel": """    for role in ROLES[:{n}]:
        texts += say(question + "\\n" + HOW, system=role)
""",
    "different": """    for attempt in range({n}):
        tried = "\\n\\nTried already:\\n" + "\\n".join(texts) + "\\n\\nSolve it in a different way. "
        texts += say(question + (tried if texts else "\\n") + HOW)
""",
    "debate": """    for attempt in range({n}):
        said = "\\n".join(texts)
        texts = [
            say(question + "\\n\\nOthers said:\\n" + said + "\\n\\nWeigh their arguments. " + HOW)[0] for _ in texts
        ]
""",
    "check": """    for attempt in range({n}):
        texts = [
            say(question + "\\n\\nA solution:\\n" + text + "\\n\\nCheck it by another way, and correct it. " + HOW)[0]
            for text in texts
        ]
""",
    "refine": """    for attempt in range({n}):
        texts = [
            say(question + "\\n\\nYour solution so far:\\n" + text + "\\n\\nImprove it. " + HOW)[0] for text in texts
        ]
""",
    "vote": """    texts = [most(texts)] if texts else []
""",
    "judge": """    if len(texts) > 1:
        seen = "\\n\\nSolutions:\\n" + "\\n".join(texts) + "\\n\\nDecide which is right. "
        texts = say(question + seen + HOW, temperature=0.1)
""",
}
