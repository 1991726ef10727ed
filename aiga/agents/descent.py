"""Agents as descent: a chain of diffs from the first agent, each child judged before it joins.

a child <- its parent's files, changed
it must apply again to the parent, be allowed, be sound, and pass each stage of the evaluation to enter the next
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from aiga.agents.domain import Attempt, Domain, Files, Order, Outcome, Workshop
from aiga.agents.program import derived
from aiga.archives.lineage import Lineage
from aiga.core.errors import UsageError
from aiga.core.texts import Finished, Name, Texts, digest, hexadecimal
from aiga.safety.approval import Approval, Decision, Proposed
from aiga.sandbox import diffs

BINARY = "Binary file "


class Stage(NamedTuple):
    """Tasks of `search`, and what an agent must reach on them, and all before, to be given the next stage's."""

    tasks: int
    """Together with those of the stages before."""
    least: float = 0.0
    """A mean score."""


class Staged(NamedTuple):
    """How far an agent came."""

    outcomes: list[Outcome]
    stages: int
    """How many stages it was given."""
    share: float
    """Of all tasks of the last stage, those that it was given."""

    @property
    def score(self) -> float:
        """Mean over the tasks that it was given."""
        return float(np.mean([outcome.score for outcome in self.outcomes]))


class Child(NamedTuple):
    """What came of one modification."""

    changes: str
    files: Files
    attempt: Attempt
    decision: Decision | None = None
    """None: it never came to the gate."""
    staged: Staged | None = None
    """None: it was not evaluated."""
    reason: str = ""
    """Why it is not kept; empty: it is."""


def fingerprint(files: Files) -> Name:
    """What files are, in sixteen bytes."""
    return digest(json.dumps({name: hexadecimal(digest(content)) for name, content in sorted(files.items())}).encode())


def rebuilt(root: Files, chain: Sequence[str], expected: Name | None = None) -> Files:
    """An agent from the first one and the diffs since, in order; verified if its fingerprint is given."""
    files = dict(root)
    for changes in chain:
        files = diffs.apply(files, changes)
    if expected is not None and not np.array_equal(fingerprint(files), expected):
        raise UsageError("the diffs of an agent do not lead to its files: the record of this run was changed.")
    return files


def chain(archive: Lineage, row: int) -> list[int]:
    """The rows from the first agent to this one, along the first parent of each."""
    size = int(archive.size)
    born = {tuple(identity): at for at, identity in enumerate(np.asarray(archive.identity)[:size].tolist())}
    parents, rows = np.asarray(archive.parents)[:size, 0].tolist(), [row]
    while (parent := born.get(tuple(parents[rows[-1]]))) is not None:
        rows.append(parent)
    return rows[::-1]


def agent(archive: Lineage, row: int, root: Files, texts: Texts) -> Files:
    """The files of an agent of the archive, whose genomes are `changes` and `files`: a diff, and a fingerprint."""
    names = np.asarray(archive.genomes["changes"])
    changes = [texts.get(names[ancestor]) for ancestor in chain(archive, row)[1:]]
    return rebuilt(root, changes, np.asarray(archive.genomes["files"][row]))


async def raised(
    parent: Files,
    modifier: Files,
    order: Order,
    stages: Sequence[Stage],
    *,
    name: str,
    workshop: Workshop,
    domain: Domain,
    approval: Approval,
    seed: int,
) -> Child:
    """A child of `parent`, written by `modifier`, and how it did."""
    child = await proposed(parent, modifier, order, name=name, workshop=workshop, approval=approval, seed=seed)
    if child.reason:
        return child
    return child._replace(staged=await judged(domain, child.files, stages, seed=derived(seed, "evaluate")))


async def proposed(
    parent: Files, modifier: Files, order: Order, *, name: str, workshop: Workshop, approval: Approval, seed: int
) -> Child:
    """A child of `parent`, written by `modifier`, that may be evaluated; or why it may not."""
    attempt = await workshop.modify(modifier, parent, order, seed=derived(seed, "modify"))
    child = fitted(parent, attempt)
    if child.reason:
        return child
    if unsound := await workshop.sound(child.files, seed=derived(seed, "sound")):
        return child._replace(reason=f"not sound: {unsound}")
    decision = await approval.decide(Proposed(name, child.changes, order.instruction))
    if not decision.allowed:
        return child._replace(decision=decision, reason=f"denied by {decision.by}: {decision.reason}")
    return child._replace(decision=decision)


def fitted(parent: Files, attempt: Attempt) -> Child:
    """A child from what an attempt left, if there is one."""
    nothing = Child(attempt.changes, parent, attempt)
    if not attempt.changes:
        return nothing._replace(reason=f"no change: {attempt.failure or 'nothing was edited'} {attempt.why}".strip())
    if any(line.startswith(BINARY) for line in attempt.changes.split("\n")):
        return nothing._replace(reason="it changes a file that is no text")
    try:
        return nothing._replace(files=diffs.apply(parent, attempt.changes))
    except UsageError as error:
        return nothing._replace(reason=f"the diff does not apply: {error}")


async def judged(domain: Domain, files: Files, stages: Sequence[Stage], *, seed: int) -> Staged:
    """An agent's outcomes on `search`, stage by stage while it reaches what each asks for."""
    staged = Staged([], 0, 0.0)
    for stage in stages:
        tasks = domain.splits.search[len(staged.outcomes) : stage.tasks]
        outcomes = [*staged.outcomes, *await domain.evaluate(files, tasks, seed=seed)]
        staged = Staged(outcomes, staged.stages + 1, len(outcomes) / stages[-1].tasks)
        if staged.score < stage.least:
            break
    return staged


async def compared(domain: Domain, agents: Sequence[Files], tasks: Sequence[str], *, seed: int) -> list[float]:
    """The mean scores of several agents on the same tasks."""
    found = await asyncio.gather(*(domain.evaluate(files, tasks, seed=seed) for files in agents))
    return [float(np.mean([outcome.score for outcome in outcomes])) for outcomes in found]


def heard(outcomes: Sequence[Outcome]) -> None:
    """Refuse to go on if the first agent got nothing from its model, in any task."""
    if outcomes and all(outcome.failure == "model" for outcome in outcomes):
        raise UsageError("the first agent got no usable reply from the model, in any task: try `aiga fm check`.")


def unchanged(domain: Domain, finished: Finished) -> Domain:
    """The domain, if its tasks are those that the run began with: a user's file or folder may have changed since."""
    splits = domain.splits
    names = digest(json.dumps([splits.search, splits.select]).encode())
    before = finished.get(f"tasks of {domain.name}")
    if before is None:
        finished.put(f"tasks of {domain.name}", hexadecimal(names))
    elif before != hexadecimal(names):
        raise UsageError(
            f"the tasks of {domain.name} are not those that this run began with, and some would change from one split "
            "to another: restore the file or folder, or begin another run."
        )
    return domain


def written(outcomes: Sequence[Outcome]) -> str:
    """Outcomes as JSON."""
    return json.dumps([outcome._asdict() for outcome in outcomes])


def read(text: str) -> list[Outcome]:
    """Outcomes from JSON."""
    values: list[dict[str, Any]] = json.loads(text)
    return [Outcome(**value) for value in values]
