"""Hyperagents: a task agent and the meta agent that rewrites both are one program.

Zhang et al. (2026), "Hyperagents", https://arxiv.org/abs/2603.19461, the method DGM-H:

    archive <- the first program, evaluated
    for each generation:
        parent <- drawn by sigmoid(10 (score - the mean of the three best scores)) / (1 + children)
        child  <- the parent's own meta agent changes whatever it likes in the parent's files
                  if that meta agent fails, the parent is never drawn again
        score  <- the child's task agent on a few tasks; on all, if anything came of these in every domain
        archive <- archive + the child, if its files compile and it can still edit

The way of improving is thus part of what is improved, and the program whose descendants gained most can be carried to
another domain.  A genome is a chain of diffs.  At the end one program is chosen on tasks of `select`, and it alone,
beside the first one, is evaluated on those of `report`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from aiga.agents import choice, descent, evaluations, growth, worlds
from aiga.agents.coders import Means
from aiga.agents.descent import Child
from aiga.agents.domain import Attempt, Files
from aiga.agents.evaluations import Measured
from aiga.agents.growth import Carried
from aiga.agents.program import derived
from aiga.agents.worlds import META, TASK, Wishes, World
from aiga.archives.lineage import Lineage
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation, Info, Key
from aiga.core.texts import Finished, Memory, Recent, Texts, hexadecimal
from aiga.core.trees import NOBODY
from aiga.data.puzzles import Sizes
from aiga.fm.messages import FM
from aiga.inspect import phylogeny
from aiga.learners.rewarded import Training
from aiga.runs.claims import Claim
from aiga.runs.events import Approved, Born, Denied, Failed, Rejected, Transferred
from aiga.runs.record import Run
from aiga.runs.report import Figure
from aiga.runs.store import packed
from aiga.safety.approval import Approval, Auto
from aiga.sandbox import diffs
from aiga.sandbox.protocol import Sandbox
from aiga.selection.parents import Choice, Known, Penalty, allowed, chosen, top

ABOUT = {"papers": (11,), "pillar": "architectures", "needs": ()}

DOMAINS = "reviewing"
PARENTS: Mapping[str, Choice] = {"no_archive": "latest", "greedy": "best", "random": "random"}
"""Who has children under these controls; else it is drawn by score and children."""
FAILURES = ("crash", "time", "context", "budget", "tampered")
"""Of a meta agent, those that its program is to blame for."""


class Grown(NamedTuple):
    """The state."""

    archive: Lineage
    """Genomes: names of texts, `changes` (a diff to the parent, or to nothing) and `evaluations`, and `files`, a
    fingerprint.  Fitness: the score.  Descriptor: tasks of `search` that were given, mean scores on the first of them
    and on all (NaN: not given)."""
    failed: Bool[Array, " rows"]
    """Whose meta agent failed."""
    world: Int[Array, ""]
    steps: Int[Array, ""]
    able: Int[Array, ""]
    """Children that compile and can still edit."""
    cost: Float[Array, "2"]
    """Dollars and tokens of programs at work, modifications included."""
    chosen: Int[Array, ""]
    """A row of the archive; -1 until the end."""


class Hyperagents(eqx.Module):
    """The first step evaluates the first program, each other is a generation, the last chooses."""

    domains: tuple[str, ...] = eqx.field(static=True)
    path: str = eqx.field(static=True)
    control: str = eqx.field(static=True)
    generations: int = eqx.field(static=True)
    penalty: Penalty = eqx.field(static=True)
    own_choice: bool = eqx.field(static=True)
    start: str = eqx.field(static=True)
    before: int = eqx.field(static=True)
    reset: bool = eqx.field(static=True)
    first: int = eqx.field(static=True)
    gate: float = eqx.field(static=True)
    sizes: Sizes = eqx.field(static=True)
    means: Means = eqx.field(static=True)
    texts: Texts = eqx.field(static=True)
    approval: Approval = eqx.field(static=True)

    def init(self, key: Key) -> Grown:
        blank, zero, rows = jnp.zeros(16, jnp.uint8), jnp.array(0, jnp.int32), 1 + self.generations
        example = {"changes": blank, "files": blank, "evaluations": blank}
        archive = Lineage.empty(example, 3, capacity=rows)
        return Grown(archive, jnp.zeros(rows, bool), _seed(key), zero, zero, jnp.zeros(2), zero - 1)

    async def step(self, key: Key, state: Grown) -> tuple[Grown, Info]:
        if int(state.chosen) >= 0:
            return state, {"run/finished": 1}
        seed = int(_seed(key))
        if int(state.steps) == 0:
            state, info = await self.found(seed, state)
        elif int(state.steps) <= self.generations:
            state, info = await self.generate(seed, state)
        else:
            state, info = await self.examine(seed, state)
        return state._replace(steps=state.steps + 1), {**info, **self.metrics(state)}

    async def found(self, seed: int, state: Grown) -> tuple[Grown, Info]:
        """The archive with the first program, of this domain or carried from another, evaluated in full."""
        world, kind, events = self.world(int(state.world)), "first", {}
        files = world.root
        if self.start:
            carried, made_from = await self.origin(seed, int(state.world))
            state, kind = state._replace(world=jnp.array(made_from, jnp.int32)), "transfer"
            world = self.world(made_from)
            files = {**carried.files, TASK: world.root[TASK]} if self.reset else carried.files
            events = {"transferred": Transferred((0, 0), carried.identity, (0, 0)), "transfer/growth": carried.growth}
        begun = [[] for _ in world.domains]
        measured = await evaluations.completed(world.domains, files, begun, seed=derived(seed, "evaluate"))
        descent.heard([outcome for part in measured for outcome in part.search])
        state, born = self.add(state, Child(diffs.diff({}, files), files, Attempt()), measured, NOBODY, kind)
        return state, {**events, **born}

    async def generate(self, seed: int, state: Grown) -> tuple[Grown, Info]:
        """A generation: the archive with one more program, if it is kept."""
        archive, world = jax.device_get(state.archive), self.world(int(state.world))
        row, events = await self.parent(derived(seed, "parent"), state, archive)
        files = self.files(archive, row)
        modifier = self.modifier(archive, files)
        simulated, failed = worlds.simulated(self.domains), state.failed.tolist()
        known = [] if simulated else evaluations.known(archive, failed, self.texts)
        child = await descent.proposed(
            files,
            modifier,
            evaluations.order(known, row, self.generations - int(state.steps)),
            name=f"child {int(archive.births)}.0",
            workshop=world.workshops[derived(seed, "domain") % len(world.workshops)],
            approval=self.approval,
            seed=seed,
        )
        if modifier is files and child.attempt.failure in FAILURES:
            events["failed"] = Failed(f"meta agent of program {row}", f"{child.attempt.failure}: {child.attempt.why}")
            state = state._replace(failed=state.failed.at[row].set(True))
        measured: list[Measured] = []
        if not child.reason:
            evaluate = derived(seed, "evaluate")
            measured = await evaluations.measured(world.domains, child.files, self.first, self.gate, seed=evaluate)
        state, born = self.add(state, child, measured, archive.identity[row], "meta agent")
        return state, {**events, **born}

    async def parent(self, seed: int, state: Grown, archive: Lineage) -> tuple[int, dict[str, Any]]:
        """The row of the next parent, and what went wrong if a program was to choose it and did not."""
        size = int(archive.size)
        scores, children, failed = map(np.asarray, (archive.fitness, archive.children, state.failed))
        known = Known(scores[:size], children[:size], ~failed[:size])
        by, middle = PARENTS.get(self.control, "sigmoid"), top(known.scores)
        usual = int(chosen(by, known, 1, seed=seed, midpoint=middle, penalty=self.penalty)[0])
        if not self.own_choice:
            return usual, {}
        may = np.flatnonzero(allowed(known)).tolist()
        shown = [{"score": float(known.scores[row]), "children": int(known.children[row])} for row in may]
        own = await choice.choose(self.files(archive, size - 1), shown, self.means, seed=seed)
        if own.fault:
            return usual, {"failed/choice": Failed(f"choice by program {size - 1}", own.fault)}
        return may[own.place], {}

    def modifier(self, archive: Lineage, parent: Files) -> Files:
        """Whose meta agent makes a child of `parent`."""
        if self.control == "fixed_meta":
            return self.files(archive, 0)
        if self.control == "dgm":
            return {**parent, META: parent[TASK]}
        return parent

    async def examine(self, seed: int, state: Grown) -> tuple[Grown, Info]:
        """The end: the program that is best on `select` is chosen; then, and only then, `report` is opened for it."""
        archive, world = jax.device_get(state.archive), self.world(int(state.world))
        best = evaluations.best(archive)
        pair, name = [self.files(archive, row) for row in (best, 0)], hexadecimal(archive.genomes["files"][best])
        opened, seed = [one.splits.report.open(name) for one in world.domains], derived(seed, "report")
        parts = zip(world.domains, opened, strict=True)
        scores = [await descent.compared(domain, pair, tasks, seed=seed) for domain, tasks in parts]
        report, first = np.mean(scores, axis=0).tolist()
        return state._replace(chosen=jnp.array(best, jnp.int32)), {
            "select/best": float(archive.fitness[best]),
            "select/first": float(archive.fitness[0]),
            "report/score": report,
            "report/first": first,
            "report/gain": report - first,
            "run/finished": 1,
        }

    def add(
        self, state: Grown, child: Child, measured: Sequence[Measured], parent: Any, kind: str
    ) -> tuple[Grown, dict[str, Any]]:
        """The archive with a child, if it was evaluated, and what is to be recorded of it."""
        birth, blob, kept = int(state.archive.births), self.texts.put(child.changes), not child.reason
        identity, parents = np.array([[birth, 0]], np.int32), np.asarray(parent, np.int32).reshape(1, 1, 2)
        fitness = np.array([evaluations.total(measured) if kept else np.nan], np.float32)
        genome = {name: np.zeros((1, 16), np.uint8) for name in state.archive.genomes}
        if kept:
            genome["changes"][0], genome["files"][0] = blob, descent.fingerprint(child.files)
            genome["evaluations"][0] = self.texts.put(evaluations.written(measured))
        about = np.array([evaluations.staged(measured, self.first) if kept else (0, np.nan, np.nan)], np.float32)
        evaluation = Evaluation(jnp.asarray(fitness), jnp.asarray(about))
        archive, status = state.archive.add(genome, evaluation, jnp.asarray(parents))
        spent = np.add(evaluations.cost(measured), (child.attempt.usd, child.attempt.tokens))
        able = jnp.array(int(state.able) + (child.decision is not None), jnp.int32)
        state = state._replace(
            archive=archive, able=able, cost=jnp.asarray(np.asarray(state.cost) + spent, jnp.float32)
        )
        events: dict[str, Any] = {}
        if said := child.decision:
            events["gate"] = Approved((birth, 0), said.by) if said.allowed else Denied((birth, 0), said.by, said.reason)
        if kept:
            born = Born(identity, parents, kind, np.asarray(status), fitness, blob=[hexadecimal(blob)])
            return state, {**events, "born": born}
        of = tuple(parents[0, 0].tolist())
        return state, {**events, "rejected": Rejected((birth, 0), child.reason, of, hexadecimal(blob))}

    def metrics(self, state: Grown) -> Info:
        size, made = int(state.archive.size), int(state.archive.births) - 1
        return {
            **state.archive.metrics(),
            "archive/mean": float(np.mean(np.asarray(state.archive.fitness)[:size])),
            "hyperagents/able": int(state.able) / made if made else 1.0,
            "hyperagents/failed": int(np.sum(np.asarray(state.failed))),
            "cost/usd": float(state.cost[0]),
            "cost/tokens": float(state.cost[1]),
        }

    def files(self, archive: Lineage, row: int) -> Files:
        """The program in a row."""
        return growth.program(archive, row, self.texts)

    async def origin(self, seed: int, world: int) -> tuple[Carried, int]:
        """What is carried here, from the run in a folder or from one that is made at once, and its world's seed."""
        if self.start not in worlds.SIMULATED:
            state, texts = earlier(self.start, self.domains)
            return growth.carried(jax.device_get(state.archive), texts), int(state.world)
        other = make(self.start, generations=self.before, first=self.first, gate=self.gate, texts=self.texts)
        key = jax.random.key(derived(seed, "before"))
        state = other.init(jax.random.fold_in(key, 0))._replace(world=jnp.array(world, jnp.int32))
        for step in range(1 + self.before):
            state, _ = await other.step(jax.random.fold_in(key, step + 1), state)
        return growth.carried(jax.device_get(state.archive), self.texts), world

    def world(self, seed: int) -> World:
        """Where programs live."""
        if worlds.simulated(self.domains):
            return worlds.modelled(self.domains, self.sizes, seed)
        wishes = Wishes(Training(), self.path, self.own_choice)
        return worlds.real(self.domains, self.sizes, seed, self.means, wishes)


def earlier(directory: str, domains: Sequence[str]) -> tuple[Grown, Texts]:
    """The state of an earlier run, and its texts."""
    run = Run(Path(directory))
    if run.system != "hyperagents":
        raise UsageError(f"--start {directory} is a run of {run.system}: give the directory of one of hyperagents.")
    before = worlds.parsed(run.options.get("domains", DOMAINS))
    if worlds.simulated(before) != worlds.simulated(domains):
        raise UsageError(f"--start {directory} is a run in {'+'.join(before)}: give one whose domains are of one kind.")
    state, texts = run.state, Memory()
    for name in np.asarray(state.archive.genomes["changes"])[: int(state.archive.size)]:
        texts.put(run.blob(hexadecimal(name)).decode())
    return state, texts


def _seed(key: Key) -> Int[Array, ""]:
    return jax.random.randint(key, (), 0, 2**31 - 1)


def make(
    domains: str = DOMAINS,
    path: str = "",
    control: Literal["none", "fixed_meta", "dgm", "no_archive", "greedy", "random"] = "none",
    generations: int = 500,
    penalty: Penalty = "inverse",
    own_choice: bool = False,
    start: str = "",
    before: int = 500,
    reset: bool = True,
    first: int = 10,
    gate: float = 0.0,
    search: int = 0,
    select: int = 0,
    report: int = 0,
    *,
    fm: FM | None = None,
    sandbox: Sandbox | None = None,
    texts: Texts | None = None,
    finished: Finished | None = None,
    approval: Approval | None = None,
) -> Hyperagents:
    """Evolve programs that consist of a task agent and of a meta agent that rewrites both.

    Args:
        domains: What task agents work on, one or several joined by `+`: `reviewing`, `controlling`, `coding` are
            simulated; `reviews`, `rewards` and `polyglot-lite`, which stands alone, need a model.
        path: A JSONL file of papers, for `reviews`; empty: papers that are made here.
        control: What is left out.  `fixed_meta`: the first meta agent makes all changes; `dgm`: the task agent rewrites
            its own program (simulated); `no_archive`: only the latest has children; `greedy`: the best; `random`: all.
        generations: Children, kept or not.
        penalty: What children of its own cost a parent: 1 / (1 + n), or exp(-(n / 8)^3) as in the authors' code.
        own_choice: Whether the latest program chooses the next parent, by its `parents.py`; not simulated.
        start: A directory of an earlier run, or a simulated domain that is searched first: what has most growth there
            is the first program here.
        before: Generations of the search in a domain that `start` names.
        reset: Whether the task agent of that program is replaced by that of a first program.
        first: Tasks of `search`, of each domain, that every child is given.
        gate: The mean score on these, in every domain, that leads to all others; if 0, more than 0.
        search: Tasks that those who rewrite are shown the verdicts of; 0: as many as is usual in the domain.
        select: Tasks that give an agent its score, and by which one is chosen; 0: as above.
        report: Tasks that the chosen one is reported on; 0: as above.
        fm: Whom programs ask; None: nobody.
        sandbox: Where they run; None: the best there is.
        texts: What keeps diffs and evaluations.
        finished: What keeps attempts.
        approval: Who allows a child to be evaluated; None: everyone is.
    """
    names = worlds.parsed(domains)
    of_models = {"--fm": fm is not None, "--own-choice": own_choice}
    of_simulations = {"--control dgm": control == "dgm", f"--start {start}": start in worlds.SIMULATED}
    worlds.refuse(names, path, of_models, of_simulations)
    if min(generations, before, search, select, report, first - 1) < 0 or not 0 <= gate <= 1:
        raise UsageError("--first is a number from 1, --gate one from 0 to 1, all others are from 0: give such ones.")
    return Hyperagents(
        domains=names,
        path=path,
        control=control,
        generations=generations,
        penalty=penalty,
        own_choice=own_choice,
        start=start,
        before=before,
        reset=reset,
        first=first,
        gate=gate,
        sizes=Sizes(search, select, report),
        means=Means(fm, sandbox, finished or Recent()),
        texts=texts or Memory(),
        approval=approval or Auto(),
    )


PAPER = {"domains": "reviews", "generations": 100, "first": 10, "search": 100, "select": 100, "report": 100}
"""Paper review; the meta agent was Claude 4.5 Sonnet."""

CLAIM = (
    Claim(
        statement="Programs whose meta agent is rewritten too become better than programs that the first one rewrites.",
        source="Zhang et al. 2026, DGM-H against DGM-H without self-improvement; here with simulated agents",
        metric="report/score",
        treatment={},
        control={"control": "fixed_meta"},
        others={name: {"control": name} for name in ("dgm", "no_archive", "greedy")},
        also=("select/best", "archive/size", "hyperagents/able"),
    ),
    Claim(
        statement="A meta agent that evolved in another domain makes more of the first task agent than the first one.",
        source="Zhang et al. 2026, imp@k after transfer; here with simulated agents",
        metric="report/gain",
        treatment={"domains": "controlling", "start": "reviewing", "generations": 50},
        control={"domains": "controlling", "generations": 50},
        also=("report/score", "report/first", "select/best", "hyperagents/able"),
    ),
)


def figures(run: Run) -> Iterable[Figure]:
    """Who came of whom, by which diffs, who was not kept, and how programs did stage by stage."""
    state = run.state
    size, row = int(state.archive.size), int(state.chosen)
    names = packed(np.asarray(state.archive.identity)[:size]).tolist()
    rows = np.asarray(state.archive.descriptor)[:size].tolist()
    measured = {
        name: phylogeny.Measured(int(tasks), (first,) if np.isnan(whole) else (first, whole))
        for name, (tasks, first, whole) in zip(names, rows, strict=True)
    }
    return phylogeny.figures(run, measured, names[row] if row >= 0 else None)


if __name__ == "__main__":
    from aiga.runs.loop import run as start_run

    done = start_run("hyperagents", seed=0, generations=40)
    print(done.latest())  # noqa: T201
