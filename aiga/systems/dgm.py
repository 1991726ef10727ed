"""Darwin Gödel Machine: coding agents rewrite their own program, in an archive of all that still work.

Zhang, Hu, Lu, Lange & Clune (2025), "Darwin Gödel Machine: Open-Ended Evolution of Self-Improving Agents",
https://arxiv.org/abs/2505.22954, Algorithm 1:

    archive <- the first agent, evaluated
    for each generation, for each of its children, at once:
        parent   <- drawn by sigmoid(10 (score - 0.5)) / (1 + children)
        issue    <- diagnosis(the parent's log of a task that it did not solve)
        child    <- parent works on the issue in its own program
        score    <- evaluated on a few tasks, on more if it does well
        archive  <- archive + the child, if it compiles and can still edit

A genome is a chain of diffs from the first agent.  At the end one agent is chosen on tasks of `select`, and it alone,
beside the first one, is evaluated on those of `report`.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from aiga.agents import coders, descent
from aiga.agents.coders import Means, World
from aiga.agents.descent import Child, Stage
from aiga.agents.diagnosis import diagnose, entry, unaided
from aiga.agents.domain import Attempt, Order
from aiga.agents.program import derived
from aiga.archives.lineage import Lineage
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation, Info, Key
from aiga.core.texts import Finished, Memory, Recent, Texts, hexadecimal
from aiga.core.trees import NOBODY
from aiga.data.puzzles import Sizes
from aiga.fm.messages import FM, ModelFailed
from aiga.fm.offline import Offline
from aiga.inspect import phylogeny
from aiga.runs.claims import Claim
from aiga.runs.events import Approved, Born, Denied, Rejected
from aiga.runs.record import Run
from aiga.runs.report import Figure
from aiga.runs.store import packed
from aiga.safety.approval import Approval, Auto
from aiga.sandbox.protocol import Sandbox
from aiga.selection.parents import Choice, Known, chosen

ABOUT = {"papers": (19,), "pillar": "architectures", "needs": ()}

STAGES = (10, 60)
PARENTS: dict[str, Choice] = {
    "none": "sigmoid",
    "no_self_improve": "sigmoid",
    "no_archive": "latest",
    "greedy": "best",
    "random": "random",
}
"""Who has children, under each control."""
UNAIDED = Offline({"dgm/diagnose": unaided})


class Evolved(NamedTuple):
    """The state."""

    archive: Lineage
    """Genomes: names of texts, `changes` (a diff to the parent), `outcomes` (JSON), and `files` (a fingerprint).
    Fitness: mean score on the tasks of `search` that were given.  Descriptor: how many these were, and stages."""
    world: Int[Array, ""]
    """What a simulated world is made from."""
    steps: Int[Array, ""]
    made: Int[Array, ""]
    """Children, kept or not."""
    able: Int[Array, ""]
    """Children that compile and can still edit."""
    usd: Float[Array, ""]
    tokens: Float[Array, ""]
    """Of agents at work, modifications included; diagnoses not."""
    chosen: Int[Array, ""]
    """A row of the archive; -1 until the end."""


class DarwinGodelMachine(eqx.Module):
    """The first step evaluates the first agent, each other is a generation, the last chooses."""

    domain: str = eqx.field(static=True)
    path: str = eqx.field(static=True)
    control: str = eqx.field(static=True)
    generations: int = eqx.field(static=True)
    children: int = eqx.field(static=True)
    stages: tuple[int, ...] = eqx.field(static=True)
    gate: float = eqx.field(static=True)
    sizes: Sizes = eqx.field(static=True)
    finalists: int = eqx.field(static=True)
    fm: FM | None = eqx.field(static=True)
    sandbox: Sandbox | None = eqx.field(static=True)
    texts: Texts = eqx.field(static=True)
    finished: Finished = eqx.field(static=True)
    approval: Approval = eqx.field(static=True)

    def init(self, key: Key) -> Evolved:
        blank, zero = jnp.zeros(16, jnp.uint8), jnp.array(0, jnp.int32)
        example = {"changes": blank, "files": blank, "outcomes": blank}
        archive = Lineage.empty(example, 2, capacity=1 + self.generations * self.children)
        return Evolved(archive, _seed(key), zero, zero, zero, jnp.array(0.0), jnp.array(0.0), zero - 1)

    async def step(self, key: Key, state: Evolved) -> tuple[Evolved, Info]:
        if int(state.chosen) >= 0:
            return state, {"run/finished": 1}
        seed, world = int(_seed(key)), self.world(state)
        if not int(state.steps):
            state, info = await self.found(seed, state, world)
        elif int(state.steps) <= self.generations:
            state, info = await self.generate(seed, state, world)
        else:
            state, info = await self.examine(seed, state, world)
        return state._replace(steps=state.steps + 1), {**info, **self.metrics(state)}

    async def found(self, seed: int, state: Evolved, world: World) -> tuple[Evolved, Info]:
        """The archive with the first agent, which is given the tasks of every stage."""
        stages = self.ladder(len(world.domain.splits.search))
        staged = await descent.judged(world.domain, world.root, stages, seed=derived(seed, "evaluate"))
        descent.heard(staged.outcomes)
        first = Child("", world.root, Attempt(), staged=staged)
        parents = np.full((1, 1, 2), NOBODY[0], np.int32)
        state, events = self.add(state, [first], parents, ["first"])
        return self.counted(state, [first])._replace(made=state.made, able=state.able), events

    async def generate(self, seed: int, state: Evolved, world: World) -> tuple[Evolved, Info]:
        """A generation: the archive with those of its children that are kept."""
        archive = jax.device_get(state.archive)
        size, birth = int(archive.size), int(archive.births)
        scores = archive.fitness[:size]
        known = Known(scores, archive.children[:size], scores < 1)
        parents = chosen(PARENTS[self.control], known, self.children, seed=derived(seed, "parents"))
        stages = self.ladder(len(world.domain.splits.search), scores.tolist())
        works = (
            self.child(world, archive, int(row), stages, f"child {birth}.{index}", derived(seed, "child", index))
            for index, row in enumerate(parents)
        )
        found = await asyncio.gather(*works)
        children, kinds = [child for child, _ in found], [kind for _, kind in found]
        state, events = self.add(state, children, archive.identity[parents][:, None], kinds)
        return self.counted(state, children), events

    async def child(
        self, world: World, archive: Lineage, row: int, stages: Sequence[Stage], name: str, seed: int
    ) -> tuple[Child, str]:
        """One child of the agent in a row, and what it was made for."""
        parent = descent.agent(archive, row, world.root, self.texts)
        outcomes = descent.read(self.texts.get(archive.genomes["outcomes"][row]))
        start = entry(outcomes, self.domain == "swe-bench", derived(seed, "entry"))
        try:
            diagnosis = await diagnose(self.fm or UNAIDED, world.domain, parent, start, seed=derived(seed, "diagnose"))
        except ModelFailed as error:
            return Child("", parent, Attempt(), reason=f"no diagnosis: {error.kind}: {error}"), start.kind
        modifier = world.root if self.control == "no_self_improve" else parent
        order = Order(diagnosis.instruction(), facts=start.outcome)
        made = await descent.raised(
            parent,
            modifier,
            order,
            stages,
            name=name,
            workshop=world.workshop,
            domain=world.domain,
            approval=self.approval,
            seed=seed,
        )
        return made, start.kind

    async def examine(self, seed: int, state: Evolved, world: World) -> tuple[Evolved, Info]:
        """The end: one agent is chosen on `select`; then, and only then, `report` is opened for it."""
        archive, splits = jax.device_get(state.archive), world.domain.splits
        rows = sorted(range(int(archive.size)), key=lambda row: (-archive.fitness[row], row))[: self.finalists]
        rows = rows if 0 in rows else [*rows, 0]
        agents = [descent.agent(archive, row, world.root, self.texts) for row in rows]
        select = await descent.compared(world.domain, agents, splits.select, seed=derived(seed, "select"))
        place = max(range(len(rows)), key=lambda i: (select[i], archive.fitness[rows[i]], -rows[i]))
        tasks = splits.report.open(hexadecimal(archive.genomes["files"][rows[place]]))
        pair = [agents[place], world.root]
        report, first = await descent.compared(world.domain, pair, tasks, seed=derived(seed, "report"))
        return state._replace(chosen=jnp.array(rows[place], jnp.int32)), {
            "select/best": select[place],
            "select/first": select[rows.index(0)],
            "report/score": report,
            "report/first": first,
            "report/gain": report - first,
            "run/finished": 1,
        }

    def ladder(self, tasks: int, scores: Sequence[float] | None = None) -> list[Stage]:
        """The stages, as far as there are tasks; from the second on, who goes on must also be as good as the second
        best of the archive.  Without scores, everyone goes on.
        """
        ends = sorted({min(end, tasks) for end in self.stages})
        if scores is None:
            return [Stage(end) for end in ends]
        second = float(np.sort(scores)[-2:][0])
        gates = [self.gate, *[max(self.gate, second)] * len(ends)]
        return [Stage(end, least) for end, least in zip(ends, gates, strict=False)]

    def add(
        self, state: Evolved, children: Sequence[Child], parents: Int[np.ndarray, "n 1 2"], kinds: Sequence[str]
    ) -> tuple[Evolved, dict[str, Any]]:
        """The archive with those children that are kept, and what is to be recorded of each."""
        n, birth, put = self.children, int(state.archive.births), self.texts.put
        blank = np.zeros((n, 16), np.uint8)
        genomes, fitness = {name: blank.copy() for name in state.archive.genomes}, np.full(n, np.nan, np.float32)
        about, named = np.zeros((n, 2), np.float32), np.full((n, 1, 2), NOBODY[0], np.int32)
        events: dict[str, Any] = {}
        for i, (child, kind) in enumerate(zip(children, kinds, strict=True)):
            named[i], blob, identity = parents[i], put(child.changes), (birth, i)
            parent = tuple(parents[i, 0].tolist())
            if child.decision is not None:
                gate = child.decision
                allowed, denied = Approved(identity, gate.by), Denied(identity, gate.by, gate.reason)
                events[f"gate/{i}"] = allowed if gate.allowed else denied
            if child.reason or child.staged is None:
                events[f"rejected/{i}"] = Rejected(identity, child.reason, parent, hexadecimal(blob))
                continue
            genomes["changes"][i], genomes["files"][i] = blob, descent.fingerprint(child.files)
            genomes["outcomes"][i] = put(descent.written(child.staged.outcomes))
            fitness[i], about[i] = child.staged.score, (len(child.staged.outcomes), child.staged.stages)
            one = np.array([identity], np.int32)
            events[f"born/{i}"] = Born(
                one, parents[i : i + 1], kind, np.array([2]), fitness[i : i + 1], blob=[hexadecimal(blob)]
            )
        genomes, about, fitness, named = jax.tree.map(jnp.asarray, (genomes, about, fitness, named))
        archive, _ = state.archive.add(genomes, Evaluation(fitness, about), named)
        return state._replace(archive=archive), events

    def metrics(self, state: Evolved) -> Info:
        scores, made = np.asarray(state.archive.fitness)[: int(state.archive.size)], int(state.made)
        return {
            **state.archive.metrics(),
            "archive/mean": float(np.mean(scores)),
            "dgm/able": int(state.able) / made if made else 1.0,
            "cost/usd": float(state.usd),
            "cost/tokens": float(state.tokens),
        }

    def counted(self, state: Evolved, children: Sequence[Child]) -> Evolved:
        """The state's counts with these children."""
        outcomes = [outcome for child in children if child.staged for outcome in child.staged.outcomes]
        spent = [*(child.attempt for child in children), *outcomes]
        return state._replace(
            made=jnp.array(int(state.made) + len(children), jnp.int32),
            able=jnp.array(int(state.able) + sum(child.decision is not None for child in children), jnp.int32),
            usd=jnp.array(float(state.usd) + sum(part.usd for part in spent)),
            tokens=jnp.array(float(state.tokens) + sum(part.tokens for part in spent)),
        )

    def world(self, state: Evolved) -> World:
        """Where agents live."""
        means = Means(self.fm, self.sandbox, self.finished)
        return coders.world(self.domain, self.path, self.sizes, int(state.world), means)


def _seed(key: Key) -> Int[Array, ""]:
    return jax.random.randint(key, (), 0, 2**31 - 1)


def make(
    domain: Literal["modelled", "polyglot-lite", "polyglot", "swe-bench"] = "modelled",
    path: str = "",
    control: Literal["none", "no_self_improve", "no_archive", "greedy", "random"] = "none",
    generations: int = 150,
    children: int = 4,
    stages: tuple[int, ...] = STAGES,
    gate: float = 0.2,
    select: int = 100,
    report: int = 200,
    finalists: int = 5,
    *,
    fm: FM | None = None,
    sandbox: Sandbox | None = None,
    texts: Texts | None = None,
    finished: Finished | None = None,
    approval: Approval | None = None,
) -> DarwinGodelMachine:
    """Evolve agents that rewrite their own program.

    Args:
        domain: What agents work on.  `modelled`: a simulation, without a model; `polyglot-lite`: the tasks that ship;
            `polyglot`, `swe-bench`: those of a folder.
        path: The folder.
        control: What is left out.  `no_self_improve`: the first agent makes all changes; `no_archive`: only the latest
            agent has children; `greedy`: only the best; `random`: all alike.
        generations: How many, after the first agent.
        children: Of each generation, made at once.
        stages: Tasks of `search` that an agent has been given after each stage of its evaluation.
        gate: The mean score that leads from the first stage to the second; later ones also ask for that of the second
            best agent of the archive.
        select: Tasks that one agent is chosen on; `polyglot-lite` has its own, here and in the next.
        report: Tasks that the chosen one is reported on.
        finalists: Agents, the best on `search`, that are evaluated on `select`, beside the first one.
        fm: Who diagnoses, and whom agents ask; None: nobody.
        sandbox: Where agents run; None: the best there is.
        texts: What keeps diffs and outcomes.
        finished: What keeps attempts.
        approval: Who allows a child to be evaluated; None: everyone is.
    """
    coders.check(domain, path, fm)
    whole = {"generations": generations, "children": children, "select": select, "report": report}
    for name, value in {**whole, "finalists": finalists}.items():
        if value < (0 if name == "generations" else 1):
            raise UsageError(f"--{name} is {value}: give a larger whole number.")
    if not stages or list(stages) != sorted({*stages}) or stages[0] < 1:
        raise UsageError(f"--stages is {stages}: give numbers of tasks, each larger than the one before.")
    if not 0 <= gate <= 1:
        raise UsageError(f"--gate is {gate}: give a mean score, from 0 to 1.")
    return DarwinGodelMachine(
        domain=domain,
        path=path,
        control=control,
        generations=generations,
        children=children,
        stages=stages,
        gate=gate,
        sizes=Sizes(stages[-1], select, report),
        finalists=finalists,
        fm=fm,
        sandbox=sandbox,
        texts=texts or Memory(),
        finished=finished or Recent(),
        approval=approval or Auto(),
    )


PAPER = {"domain": "swe-bench", "generations": 80, "children": 2, "stages": (10, 60, 200), "gate": 0.4}
"""SWE-bench Verified; Claude 3.5 Sonnet in the agents, o1 for diagnoses, and neither `select` nor `report`."""

LONG = {"generations": 300, "children": 4}
CLAIM = tuple(
    Claim(
        statement=statement,
        source="Zhang et al. 2025, Fig. 2; here with simulated agents",
        metric="report/score",
        treatment=LONG,
        control={**LONG, "control": control},
        also=("report/first", "archive/best", "archive/size", "archive/depth", "dgm/able"),
    )
    for control, statement in {
        "greedy": "Branching from all agents of an archive leads to better ones than building on the best alone.",
        "no_self_improve": "Agents that rewrite themselves become better than those that the first one rewrites.",
        "no_archive": "Branching from all agents of an archive leads to better ones than building on the latest alone.",
    }.items()
)


def figures(run: Run) -> Iterable[Figure]:
    """Who came of whom, by which diffs, who was not kept, and how agents did stage by stage."""
    state, measured = run.state, {}
    archive, identities = state.archive, packed(np.asarray(state.archive.identity)).tolist()
    for row in range(int(archive.size)):
        outcomes = descent.read(run.blob(hexadecimal(np.asarray(archive.genomes["outcomes"][row]))).decode())
        scores = np.array([outcome.score for outcome in outcomes])
        ends = sorted({min(end, len(scores)) for end in run.options.get("stages", STAGES)})
        measured[identities[row]] = phylogeny.Measured(len(scores), tuple(float(scores[:end].mean()) for end in ends))
    place = int(state.chosen)
    return phylogeny.figures(run, measured, identities[place] if place >= 0 else None)


if __name__ == "__main__":
    from aiga.runs.loop import run as start

    done = start("dgm", seed=0, generations=20)
    print(done.latest())  # noqa: T201
