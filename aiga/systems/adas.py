"""ADAS: a meta agent writes agents, from an archive of all the agents it wrote before.

Hu, Lu & Clune (2024), "Automated design of agentic systems", https://arxiv.org/abs/2408.08435, Meta Agent Search:

    archive <- hand-written agents, evaluated
    for each generation:
        proposal <- meta agent(the archive: thoughts, names, programs, fitness)
        proposal <- meta agent(reflect on the proposal), twice
        up to three times, while the program fails: meta agent(what went wrong)
        archive  <- archive + the agent with its accuracy

An agent is a program; it runs in a sandbox and asks a worker model through us.  The archive is scored on the tasks of
`search`; one agent is chosen on those of `select`; it alone, beside hand-written ones, is then scored on `report`.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from aiga.agents import grammar, simulated
from aiga.agents.meta import REFLECTIONS, Conversation, Entry
from aiga.agents.program import derived
from aiga.agents.scoring import Scored, Workplace
from aiga.agents.seeds import SEEDS, VOTE, Proposal
from aiga.archives.lineage import Lineage
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation, Info, Key
from aiga.core.texts import Memory, Texts, hexadecimal
from aiga.core.trees import NOBODY
from aiga.data import arithmetic, grids
from aiga.data.puzzles import Sizes, Splits, Task, fresh, split
from aiga.data.questions import read
from aiga.fm.messages import FM, ModelFailed
from aiga.fm.offline import Offline
from aiga.inspect import agents as pictures
from aiga.runs.claims import Claim
from aiga.runs.events import Born, Failed
from aiga.runs.record import Run
from aiga.runs.report import Figure
from aiga.sandbox import ladder
from aiga.sandbox.protocol import Sandbox

ABOUT = {"papers": (4,), "pillar": "architectures", "needs": ()}

PARENTS = 2
MENDINGS = 3
HOPELESS = 0.01
"""An accuracy below which a program is to be mended."""
OFFLINE = {
    "adas/propose": grammar.propose,
    "adas/reflect": grammar.reflect,
    "adas/mend": grammar.mend,
    "adas/work": simulated.answer,
}
FILES = ("choice", "mgsm", "drop", "gpqa", "arc")


class Found(NamedTuple):
    """The state."""

    archive: Lineage
    """Genomes: texts.  Fitness: accuracy on `search`.  Descriptor: its interval, and texts a task."""
    tasks: Int[Array, ""]
    """What the tasks are made from."""
    proposed: Int[Array, ""]
    """Proposed agents that were kept."""
    steps: Int[Array, ""]
    chosen: Int[Array, ""]
    """A row of the archive; -1 until the end."""
    select: Float[Array, "rows 3"]
    """Accuracy on `select`, and its interval; NaN: not evaluated there."""
    report: Float[Array, "rows 3"]


class MetaAgentSearch(eqx.Module):
    """Search among programs.  The first step evaluates the seeds, each other is a generation, the last chooses."""

    fm: FM = eqx.field(static=True)
    sandbox: Sandbox | None = eqx.field(static=True)
    """None: the best there is, once it is needed."""
    texts: Texts = eqx.field(static=True)
    domain: str = eqx.field(static=True)
    path: str = eqx.field(static=True)
    sizes: Sizes = eqx.field(static=True)
    proposer: str = eqx.field(static=True)
    generations: int = eqx.field(static=True)
    finalists: int = eqx.field(static=True)
    calls: int = eqx.field(static=True)

    def init(self, key: Key) -> Found:
        rows, blank = len(SEEDS) + self.generations, jnp.zeros(16, jnp.uint8)
        example = {"name": blank, "thought": blank, "code": blank}
        zero, unknown = jnp.array(0, jnp.int32), jnp.full((rows, 3), jnp.nan)
        archive = Lineage.empty(example, 3, parents=PARENTS, capacity=rows)
        return Found(archive, _seed(key), zero, zero, zero - 1, unknown, unknown)

    async def step(self, key: Key, state: Found) -> tuple[Found, Info]:
        seed, splits = int(_seed(key)), self.splits(int(state.tasks))
        if int(state.chosen) >= 0:
            return state, {"run/finished": 1}
        if int(state.steps) == 0:
            state, info = await self.found(seed, state, splits.search)
        elif int(state.proposed) < self.generations and int(state.steps) <= 2 * self.generations:
            state, info = await self.generate(seed, state, splits.search)
        else:
            state, info = await self.examine(seed, state, splits)
        return state._replace(steps=state.steps + 1), {**info, **self.metrics(state)}

    async def found(self, seed: int, state: Found, tasks: Sequence[Task]) -> tuple[Found, Info]:
        """The archive with the agents that people wrote."""
        work = self.workplace()
        scored = await asyncio.gather(*(work.score(s.code, tasks, derived(seed, s.name)) for s in SEEDS))
        if all(result.failed == 1 for result in scored):
            raise UsageError(f"every seed failed on every task ({scored[0].failure}): look at `aiga fm check`.")
        births = []
        for agent, result in zip(SEEDS, scored, strict=True):
            state, born = self.add(state, agent, result, "seed")
            births.append(born)
        joined = {
            name: np.concatenate([getattr(b, name) for b in births]) for name in ("id", "parents", "kept", "fitness")
        }
        born = Born(operator="seed", blob=[b.blob[0] for b in births], **joined)
        failed = [
            (agent.name, result.failure) for agent, result in zip(SEEDS, scored, strict=True) if result.failed == 1
        ]
        return state, {"born": born} | {f"failed/{name}": Failed(f"seed {name}", why) for name, why in failed}

    async def generate(self, seed: int, state: Found, tasks: Sequence[Task]) -> tuple[Found, Info]:
        """A generation: the archive with one more agent; or as it was, and the next step tries again."""
        try:
            agent, result = await self.propose(seed, state, tasks)
        except ModelFailed as error:
            return state, {"failed": Failed("proposal", f"{error.kind}: {error}")}
        if result.failed == 1:
            return state, {"failed": Failed(f"agent {agent.name}", result.failure)}
        state, born = self.add(state, agent, result, self.proposer)
        found = {"born": born, "search/accuracy": result.accuracy, "search/calls": result.calls}
        return state._replace(proposed=state.proposed + 1), found

    async def propose(self, seed: int, state: Found, tasks: Sequence[Task]) -> tuple[Proposal, Scored]:
        """A proposal, reflected on twice, and mended while it is broken; with its scores."""
        work, talk = self.workplace(), Conversation(self.fm, self.calls, tasks[0].question, self.known(state))
        agent = await talk.propose(derived(seed, "propose"))
        for number in range(len(REFLECTIONS)):
            agent = await talk.reflect(agent, number, derived(seed, "reflect", number))
        result = await work.score(agent.code, tasks, derived(seed, "work", 0))
        for number in range(1, MENDINGS + 1):
            if result.accuracy >= HOPELESS:
                break
            agent = await talk.mend(agent, result.failure or "it solved nothing", derived(seed, "mend", number))
            result = await work.score(agent.code, tasks, derived(seed, "work", number))
        return agent, result

    async def examine(self, seed: int, state: Found, splits: Splits) -> tuple[Found, Info]:
        """The end: one agent is chosen on `select`; then, and only then, `report` is opened for it."""
        archive = jax.device_get(state.archive)
        seeds, rows = self.candidates(archive)
        select = await self.table(archive, rows, splits.select, derived(seed, "select"))
        worth = {row: (select[row].accuracy, float(archive.fitness[row])) for row in rows}
        chosen, best_seed = max(rows, key=worth.__getitem__), max(seeds, key=worth.__getitem__)
        tasks = splits.report.open(hexadecimal(archive.genomes["code"][chosen]))
        report = await self.table(archive, sorted({*seeds, chosen}), tasks, derived(seed, "report"))
        vote = await self.workplace().score(VOTE.replace("CALLS", str(self.calls)), tasks, derived(seed, "vote"))
        noted = {"select": _noted(state.select, select), "report": _noted(state.report, report)}
        low, high = report[chosen].interval
        return state._replace(chosen=jnp.array(chosen, jnp.int32), **noted), {
            "select/best": select[chosen].accuracy,
            "select/best_seed": select[best_seed].accuracy,
            "report/accuracy": report[chosen].accuracy,
            "report/low": low,
            "report/high": high,
            "report/calls": report[chosen].calls,
            "report/best_seed": report[best_seed].accuracy,
            "report/gain": report[chosen].accuracy - report[best_seed].accuracy,
            "report/vote": vote.accuracy,
            "run/finished": 1,
        }

    async def table(self, archive: Lineage, rows: Sequence[int], tasks: Sequence[Task], seed: int) -> dict[int, Scored]:
        """How agents of the archive do on some tasks."""
        codes, work = [self.texts.get(archive.genomes["code"][row]) for row in rows], self.workplace()
        works = (work.score(code, tasks, derived(seed, row)) for code, row in zip(codes, rows, strict=True))
        return dict(zip(rows, await asyncio.gather(*works), strict=True))

    def candidates(self, archive: Lineage) -> tuple[list[int], list[int]]:
        """The rows of the seeds, and of all that may be chosen: these, and the best proposed ones on `search`."""
        everyone = range(int(archive.size))
        seeds = [row for row in everyone if archive.identity[row, 0] < len(SEEDS)]
        others = sorted(set(everyone) - set(seeds), key=lambda row: (-archive.fitness[row], row))
        return seeds, [*seeds, *others[: self.finalists]]

    def add(self, state: Found, agent: Proposal, result: Scored, operator: str) -> tuple[Found, Born]:
        """The archive with an agent; its parents are those that the proposal names."""
        texts = {"name": agent.name, "thought": agent.thought, "code": agent.code}
        genome = {name: jnp.asarray(self.texts.put(text))[None] for name, text in texts.items()}
        parents = np.full((1, PARENTS, 2), NOBODY[0], np.int32)
        based = self.named(state, agent.based_on)[:PARENTS]
        parents[0, : len(based)] = np.asarray(state.archive.identity)[based]
        fitness = np.array([result.accuracy if result.failed < 1 else np.nan], np.float32)
        about = np.array([[*result.interval, result.calls]], np.float32)
        birth = int(state.archive.births)
        archive, kept = state.archive.add(
            genome, Evaluation(jnp.asarray(fitness), jnp.asarray(about)), jnp.asarray(parents)
        )
        blob = [hexadecimal(self.texts.put(agent.code))]
        born = Born(np.array([[birth, 0]], np.int32), parents, operator, np.asarray(kept), fitness, blob=blob)
        return state._replace(archive=archive), born

    def named(self, state: Found, names: str) -> list[int]:
        """The rows of agents with these names; of several with a name, the latest."""
        rows = {entry.name.strip().lower(): row for row, entry in enumerate(self.everyone(state))}
        wanted = dict.fromkeys(name.strip().lower() for name in names.split(";"))
        return [rows[name] for name in wanted if name in rows]

    def known(self, state: Found) -> list[Entry]:
        """What the meta agent is shown of the archive."""
        shown = {"archive": slice(None), "latest": slice(-1, None), "random": slice(0)}
        return self.everyone(state)[shown[self.proposer]]

    def everyone(self, state: Found) -> list[Entry]:
        """All agents of the archive."""
        archive = jax.device_get(state.archive)
        entries = []
        for row in range(int(archive.size)):
            name, thought, code = (self.texts.get(archive.genomes[part][row]) for part in ("name", "thought", "code"))
            low, high, calls = archive.descriptor[row].tolist()
            entries.append(Entry(name, thought, code, float(archive.fitness[row]), (low, high), calls))
        return entries

    def metrics(self, state: Found) -> Info:
        return {**state.archive.metrics(), "adas/proposed": state.proposed}

    def workplace(self) -> Workplace:
        """Where agents are evaluated."""
        return Workplace(self.fm, self.sandbox or ladder.best(), self.calls, "adas/work")

    def splits(self, seed: int) -> Splits:
        """The tasks: new ones for every seed, or those of a file in an order of the seed's."""
        if self.domain in FILES:
            return split(read(self.domain, self.path), self.sizes, seed, self.path)
        if self.domain == "grids":
            return fresh(grids.puzzle, self.sizes, seed, grids.LEVELS)
        return fresh(arithmetic.problem, self.sizes, seed, arithmetic.LEVELS)


def _seed(key: Key) -> Int[Array, ""]:
    return jax.random.randint(key, (), 0, 2**31 - 1)


def _noted(table: Float[Array, "rows 3"], scored: Mapping[int, Scored]) -> Float[Array, "rows 3"]:
    values = np.array(table)
    for row, result in scored.items():
        values[row] = result.accuracy, *result.interval
    return jnp.asarray(values)


def make(
    domain: Literal["arithmetic", "grids", "choice", "mgsm", "drop", "gpqa", "arc"] = "arithmetic",
    path: str = "",
    proposer: Literal["archive", "latest", "random", "none"] = "archive",
    generations: int = 24,
    search: int = 64,
    select: int = 128,
    report: int = 200,
    finalists: int = 5,
    calls: int = 16,
    *,
    fm: FM | None = None,
    sandbox: Sandbox | None = None,
    texts: Texts | None = None,
) -> MetaAgentSearch:
    """Search for agents that solve new word problems.

    Args:
        domain: Word problems or grids that are made anew for every seed, or questions of a file.
        path: The file; of `arc`, also a folder.
        proposer: What a proposal is made from: the whole archive, its latest agent, or, as a control, no archive;
            `none`: there are no proposals, and the best seed is chosen.
        generations: Agents to be proposed and evaluated.
        search: Tasks that every agent is evaluated on.
        select: Tasks that one agent is chosen on.
        report: Tasks that the chosen one is reported on.
        finalists: Proposed agents, the best on `search`, that are evaluated on `select`; all seeds are.
        calls: Texts that an agent may ask the worker for, for each task.
        fm: The meta agent and the worker; None: a grammar, and a simulated worker.
        sandbox: Where agents run; None: the best there is.
        texts: What keeps programs and thoughts.
    """
    if domain in FILES and not path:
        raise UsageError(f"--domain {domain} reads a file: give its place with --path.")
    if domain not in FILES and path:
        raise UsageError(
            f"--path is of no use with --domain {domain}: leave it out, or give one of {', '.join(FILES)}."
        )
    numbers = {"search": search, "select": select, "report": report, "finalists": finalists, "calls": calls}
    for name, value in numbers.items():
        if value < (2 if name == "search" else 1):
            raise UsageError(f"--{name} is {value}: give a larger whole number.")
    if generations < 0:
        raise UsageError(f"--generations is {generations}: give zero or more.")
    return MetaAgentSearch(
        fm=fm or Offline(OFFLINE),
        sandbox=sandbox,
        texts=texts or Memory(),
        domain=domain,
        path=path,
        sizes=Sizes(search, select, report),
        proposer=proposer,
        generations=0 if proposer == "none" else generations,
        finalists=finalists,
        calls=calls,
    )


PAPER = {"domain": "mgsm", "generations": 30, "search": 128, "report": 800}
"""MGSM; the meta agent was gpt-4o, the worker gpt-3.5-turbo, and there was no `select` (the authors' code)."""

CLAIM = (
    Claim(
        statement="Meta Agent Search finds an agent that solves more than the best hand-written one.",
        source="Hu et al. 2024, its tables; here with a grammar for the meta agent and a simulated worker",
        metric="report/accuracy",
        treatment={},
        control={"proposer": "none"},
        also=("report/calls", "report/vote", "select/best"),
    ),
    Claim(
        statement="An archive to build on finds better agents than as many proposals without one.",
        source="Hu et al. 2024, the archive; here with a grammar for the meta agent and a simulated worker",
        metric="report/accuracy",
        treatment={},
        control={"proposer": "random"},
        also=("report/calls", "report/vote", "archive/best", "archive/depth"),
    ),
)


def figures(run: Run) -> Iterable[Figure]:
    """How the search went, who came of whom, the chosen agent's program, and its place beside the seeds."""
    return pictures.figures(run)


if __name__ == "__main__":
    from aiga.runs.loop import run as start

    done = start("adas", seed=0, generations=10)
    print(done.latest())  # noqa: T201
