"""How a program did on each of its domains, and what its meta agent is shown of that.

    a few tasks of `search`  ->  if anything came of them in every domain: the rest of `search`, and `select`

What guides the search is the score on `select`: the verdicts on `search` are shown to those who rewrite, who could
write the answers down.  Of `select` they see what was handed in and a mean, of `report` nothing.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from aiga.agents.diagnosis import shortened
from aiga.agents.domain import Domain, Files, Order, Outcome
from aiga.agents.growth import ancestry, entire
from aiga.archives.lineage import Lineage
from aiga.core.texts import Texts

INSTRUCTION = """\
Change anything that you want in the program in this folder, so that it, and what is later made of it, does better.

It is number {number} of the programs in ../material/archive.json, which lists all so far with their scores; beside that
file, each has a folder with its changes and its evaluations. After this change, {left} more will be made."""
LOG, HANDED_IN = 3000, 1500
"""Characters that are shown of each task."""


class Measured(NamedTuple):
    """How a program did on one domain."""

    domain: str
    search: list[Outcome]
    select: list[Outcome]
    """Empty: it was not evaluated in full."""
    share: float
    """Of the tasks of `search`, those that it was given."""

    @property
    def score(self) -> float:
        """On `select`; of who was not evaluated in full, the mean on `search` times the share."""
        return mean(self.select) if self.select else mean(self.search) * self.share


class Known(NamedTuple):
    """What is known of a program of the archive."""

    parent: int
    """Its number; -1: nobody."""
    score: float
    children: int
    failed: bool
    """Whether its meta agent failed."""
    changes: str
    measured: Sequence[Measured]


def mean(outcomes: Sequence[Outcome]) -> float:
    """The mean score."""
    return float(np.mean([outcome.score for outcome in outcomes]))


def total(measured: Sequence[Measured]) -> float:
    """The score of a program: the mean over its domains."""
    return float(np.mean([one.score for one in measured]))


class Stages(NamedTuple):
    """How a program did stage by stage, over all domains."""

    tasks: float
    """Of `search`, that it was given."""
    first: float
    """Mean score on the first of them."""
    search: float
    """And on all; NaN: it was not given all."""


def staged(measured: Sequence[Measured], first: int) -> Stages:
    """How a program did on the `first` tasks, and on all."""
    began = np.mean([mean(one.search[:first]) for one in measured])
    ended = np.mean([mean(one.search) if one.select else np.nan for one in measured])
    return Stages(sum(len(one.search) for one in measured), float(began), float(ended))


def cost(measured: Sequence[Measured]) -> tuple[float, float]:
    """Dollars and tokens of an evaluation."""
    outcomes = [outcome for one in measured for outcome in (*one.search, *one.select)]
    return float(sum(outcome.usd for outcome in outcomes)), float(sum(outcome.tokens for outcome in outcomes))


def best(archive: Lineage) -> int:
    """The row of the best program that was evaluated in full, the earliest of equals; its descriptor is `Stages`."""
    return int(np.argmax(np.where(entire(archive), np.asarray(archive.fitness)[: int(archive.size)], -np.inf)))


async def measured(domains: Sequence[Domain], files: Files, first: int, least: float, *, seed: int) -> list[Measured]:
    """How a program does on some domains.

    Args:
        domains: All of them.
        files: The program.
        first: Tasks of each domain that everyone is given.
        least: What must be reached on these, and exceeded if it is 0, in every domain, to be given all others.
        seed: Of the evaluation.
    """
    begun = await asyncio.gather(*(one.evaluate(files, one.splits.search[:first], seed=seed) for one in domains))
    if any(mean(outcomes) < least or not mean(outcomes) for outcomes in begun):
        return [
            Measured(one.name, outcomes, [], len(outcomes) / len(one.splits.search))
            for one, outcomes in zip(domains, begun, strict=True)
        ]
    return await completed(domains, files, begun, seed=seed)


async def completed(
    domains: Sequence[Domain], files: Files, begun: Sequence[Sequence[Outcome]], *, seed: int
) -> list[Measured]:
    """How a program does on all tasks, with those of `search` that it was given already."""

    async def one(domain: Domain, outcomes: Sequence[Outcome]) -> Measured:
        rest, select = await asyncio.gather(
            domain.evaluate(files, domain.splits.search[len(outcomes) :], seed=seed),
            domain.evaluate(files, domain.splits.select, seed=seed),
        )
        return Measured(domain.name, [*outcomes, *rest], select, 1.0)

    return list(await asyncio.gather(*map(one, domains, begun)))


def known(archive: Lineage, failed: Sequence[bool], texts: Texts) -> list[Known]:
    """What is known of everyone in an archive, whose genomes are `changes` and `evaluations`."""
    parents, genomes = ancestry(archive), archive.genomes
    return [
        Known(
            parent,
            float(archive.fitness[row]),
            int(archive.children[row]),
            bool(failed[row]),
            texts.get(genomes["changes"][row]),
            read(texts.get(genomes["evaluations"][row])),
        )
        for row, parent in enumerate(parents)
    ]


def order(archive: Sequence[Known], number: int, left: int) -> Order:
    """What the meta agent of a program is told, before `left` more changes are made; of a simulated one, `archive` is
    empty.
    """
    return Order(INSTRUCTION.format(number=number, left=left), material(archive, left) if archive else {})


def material(archive: Sequence[Known], left: int) -> Files:
    """What a meta agent may read: of every program its score, its changes and its evaluations, without labels."""
    rows = [_row(number, program) for number, program in enumerate(archive)]
    files = {"archive.json": _json({"changes_left": left, "programs": rows})}
    for number, program in enumerate(archive):
        if program.parent >= 0:
            files[f"{number}/changes.diff"] = program.changes.encode()
        for one in program.measured:
            files[f"{number}/{one.domain}.search.json"] = _json([told(outcome) for outcome in one.search])
            files[f"{number}/{one.domain}.select.json"] = _json([pruned(outcome) for outcome in one.select])
    return files


def _row(number: int, program: Known) -> dict[str, Any]:
    scores = {
        one.domain: {"search": mean(one.search), "select": mean(one.select) if one.select else None}
        for one in program.measured
    }
    about = {"number": number, "parent": program.parent, "score": program.score, "children": program.children}
    return {**about, "meta_agent_failed": program.failed, "mean_scores": scores}


def told(outcome: Outcome) -> dict[str, Any]:
    """A task of `search`."""
    said = {"failure": outcome.failure, "score": outcome.score, "verdict": outcome.verdict}
    return {**pruned(outcome), **said, "log": shortened(outcome.log, LOG)}


def pruned(outcome: Outcome) -> dict[str, Any]:
    """A task without its label: neither verdict nor score, from which the label could be told; and no log.

    No failure either: who solves a task has none, so an agent that fails at the end of each would be told its scores.
    """
    return {"task": outcome.task, "handed_in": shortened(outcome.handed_in, HANDED_IN)}


def written(found: Sequence[Measured]) -> str:
    """Evaluations as JSON."""
    parts = [one._asdict() | {part: _plain(getattr(one, part)) for part in ("search", "select")} for one in found]
    return json.dumps(parts)


def read(text: str) -> list[Measured]:
    """Evaluations from JSON."""
    parts: list[dict[str, Any]] = json.loads(text)
    return [
        Measured(part["domain"], _outcomes(part["search"]), _outcomes(part["select"]), part["share"]) for part in parts
    ]


def _plain(outcomes: Sequence[Outcome]) -> list[Mapping[str, Any]]:
    return [outcome._asdict() for outcome in outcomes]


def _outcomes(values: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    return [Outcome(**value) for value in values]


def _json(value: Any) -> bytes:
    return f"{json.dumps(value, indent=1, ensure_ascii=False)}\n".encode()
