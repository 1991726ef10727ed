"""Automated capability discovery: one model invents tasks to find out what another can do, and where it fails.

Lu, Hu & Clune (2025), "Automated Capability Discovery via Foundation Model Self-Exploration",
https://arxiv.org/abs/2502.07577:

    successes <- three simple task families;  failures <- nothing
    repeat:
        parent  <- a random success, with its program;  context <- ten random summaries of both archives
        family  <- the scientist's proposal, a program
        up to five rounds: run it, let the subject answer, tell the scientist, until it is done
        success <- the subject solves at least 60 % of the family's tasks, each tried five times
        drop the family unless a judge calls it interestingly new beside the five nearest of both archives
        archive it as a success or as a failure; a judge says whether that is surprising
    afterwards: clusters of the archive, labelled: a report of capabilities

Families are programs that a model wrote: they run in the sandbox alone, and so does their scoring, which is part of
them.  Here a step is a batch of families, proposed and tried at once, and admitted in order.
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from functools import partial
from random import Random
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from aiga.agents import planted, scientist
from aiga.agents.planted import PROFILES
from aiga.agents.scientist import Invitation
from aiga.agents.trials import Trial, Tried
from aiga.archives.lineage import Lineage
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation, Info, Key
from aiga.core.texts import Memory, Texts, hexadecimal
from aiga.core.trees import NOBODY, identities
from aiga.data import recipes
from aiga.data.findings import Finding
from aiga.data.recipes import Recipe
from aiga.fm import embed
from aiga.fm.messages import FM, Embedder
from aiga.fm.offline import Offline
from aiga.inspect import capabilities
from aiga.judges import discoveries
from aiga.judges.rubric import calibrate
from aiga.runs.claims import Claim
from aiga.runs.events import Born, Failed
from aiga.runs.record import Run
from aiga.runs.report import Figure
from aiga.sandbox import ladder
from aiga.sandbox.protocol import Limits, Sandbox

ABOUT = {"papers": (12,), "pillar": "environments", "needs": ()}

FOUNDERS = (Recipe("word", 3, ("reverse",)), Recipe("number", 2, ("add",)), Recipe("list", 3, ("sort",)))
"""Families that are taken for successes, to begin with."""


class Family(NamedTuple):
    """What the archive holds of a family; its descriptor is the embedding of its summary."""

    finding: UInt8[Array, "*n 16"]
    """The name of a `Finding`."""
    success: Bool[Array, "*n"]
    surprising: Bool[Array, "*n"]


class Counts(NamedTuple):
    """What was done so far."""

    proposed: Int[Array, ""]
    broken: Int[Array, ""]
    """Families that never ran, or with which the scientist was never content."""
    dropped: Int[Array, ""]
    """Families that were not new, or of which nobody could say."""
    answers: Int[Array, ""]
    """Submissions of the subject, those of trials included."""


class Surprise(NamedTuple):
    """The judge of surprise on labelled examples, as of `Calibration`."""

    threshold: Float[Array, ""]
    accepted: Float[Array, ""]
    balanced: Float[Array, ""]


class Discoveries(NamedTuple):
    """The state."""

    archive: Lineage
    """Both archives: of `Family`."""
    counts: Counts
    subject: Int[Array, ""]
    """Draws the subject, if it is planted at random."""
    surprise: Surprise
    labels: UInt8[Array, "16"]
    """The name of the clusters' labels, if a model gave some: JSON; else zeros."""


class Acd(eqx.Module):
    """Discover the capabilities of a subject."""

    scientist: FM
    subject: str
    """`model`: the scientist itself; else what is planted: a name of `PROFILES`, or `random`, by the run's seed."""
    embedder: Embedder
    sandbox: Sandbox | None
    texts: Texts
    proposals: str
    filtered: bool
    total: int
    batch: int
    answers: int
    rounds: int
    threshold: float
    seconds: float
    context: int
    neighbours: int
    cluster: int

    def init(self, key: Key) -> Discoveries:
        return Discoveries(
            archive=Lineage.empty(_example(), embed.local().dimensions),
            counts=Counts(*jnp.zeros(len(Counts._fields), jnp.int32)),
            subject=jax.random.randint(key, (), 0, 2**31 - 1),
            surprise=Surprise(*(jnp.array(jnp.nan) for _ in Surprise._fields)),
            labels=jnp.zeros(16, jnp.uint8),
        )

    async def step(self, key: Key, state: Discoveries) -> tuple[Discoveries, Info]:
        seeds = [int(seed) for seed in np.asarray(jax.random.randint(key, (self.batch,), 0, 2**31 - 1))]
        events: dict[str, Any] = {}
        if not int(state.archive.size):
            state, events["founders"] = await self._founded(state)
        known, trial = self._known(state), self._trial(state)
        parents, invitations = zip(*(self._invited(Random(f"{seed} parent"), known) for seed in seeds), strict=True)
        drawn = scientist.uniform if self.proposals == "random" else None
        tried = await asyncio.gather(
            *(trial(Random(seed), shown, drawn) for seed, shown in zip(seeds, invitations, strict=True))
        )
        embeddings = await self._embedded(tried, state)
        admitted = await self._admitted(seeds, state, tried, embeddings)
        judged = await asyncio.gather(
            *(discoveries.surprise(self.scientist, one, seed=seed) for seed, one in zip(seeds, admitted, strict=True))
        )
        surprising = np.array(judged) >= float(state.surprise.threshold)
        found = [one._replace(surprising=bool(x)) if one else None for one, x in zip(admitted, surprising, strict=True)]
        state, born = self._archived(state, parents, found, embeddings)
        state = state._replace(counts=_counted(state.counts, tried, found))
        if int(state.counts.proposed) >= self.total:
            state = state._replace(labels=await self._labels(state))
            events["run/finished"] = 1
        events |= {f"failed_{row}": Failed("family", one.why) for row, one in enumerate(tried) if not one.finding}
        return state, {**self._metrics(state), **events, "born": born}

    def _invited(self, random: Random, known: Sequence[Finding]) -> tuple[int, Invitation]:
        """The row of a parent, -1 for none, and what the scientist is shown."""
        if self.proposals != "archive":
            return -1, Invitation()
        row = random.choice([row for row, finding in enumerate(known) if finding.success])
        return row, Invitation(known[row], tuple(random.sample(known, min(self.context, len(known)))))

    async def _embedded(self, tried: Sequence[Tried], state: Discoveries) -> Float[np.ndarray, "n d"]:
        """The embeddings of all proposals, zeros for those that failed."""
        embeddings = np.zeros((len(tried), state.archive.descriptor.shape[1]), np.float32)
        rows = [row for row, one in enumerate(tried) if one.finding]
        if rows:
            embeddings[rows] = await self.embedder.embed([one.finding.summary for one in tried if one.finding])
        return embeddings

    async def _admitted(
        self, seeds: Sequence[int], state: Discoveries, tried: Sequence[Tried], embeddings: Float[np.ndarray, "n d"]
    ) -> list[Finding | None]:
        """Which findings are interestingly new, in order, each beside those admitted before it."""
        everyone = self._known(state)
        places = list(np.asarray(state.archive.descriptor)[: len(everyone)])
        admitted: list[Finding | None] = []
        for seed, finding, place in zip(seeds, (one.finding for one in tried), embeddings, strict=True):
            nearest = np.argsort(-(np.array(places) @ place), kind="stable")[: self.neighbours]
            if finding and self.filtered:
                beside = [everyone[row] for row in nearest]
                new = await discoveries.new(self.scientist, finding, beside, seed=seed) >= 0.5
                finding = finding if new else None
            admitted.append(finding)
            everyone, places = ([*everyone, finding], [*places, place]) if finding else (everyone, places)
        return admitted

    async def _founded(self, state: Discoveries) -> tuple[Discoveries, Born]:
        """An archive of the founders, and the judge of surprise calibrated."""
        proposals = [scientist.proposed(recipe, Random(0)) for recipe in FOUNDERS]
        founders = [Finding(p.name, p.description, p.capability, p.difficulty, p.program, 1.0, True) for p in proposals]
        embeddings = await self.embedder.embed([founder.summary for founder in founders])
        archive = Lineage.empty(_example(), embeddings.shape[1])
        state, born = self._archived(state._replace(archive=archive), [-1] * len(founders), founders, embeddings)
        judged = await calibrate(partial(discoveries.surprising, self.scientist), discoveries.LABELLED)
        values = (jnp.array(x, jnp.float32) for x in (judged.threshold, judged.accepted, judged.balanced))
        return state._replace(surprise=Surprise(*values)), born

    def _archived(
        self,
        state: Discoveries,
        parents: Sequence[int],
        found: Sequence[Finding | None],
        embeddings: Float[np.ndarray, "n d"],
    ) -> tuple[Discoveries, Born]:
        """The archive with those findings that are some."""
        archive = state.archive.with_room(len(found))
        names = [self.texts.put(one.dumped()) if one else np.zeros(16, np.uint8) for one in found]
        flags = [(bool(one and one.success), bool(one and one.surprising)) for one in found]
        born = identities(int(archive.births), len(found), np=np)
        before = np.asarray(archive.identity)
        parent = np.array([before[row] if row >= 0 else NOBODY for row in parents], np.int32)[:, None]
        fitness = np.array([one.rate if one else np.nan for one in found], np.float32)
        genomes = Family(jnp.asarray(np.stack(names)), *(jnp.asarray(flag) for flag in zip(*flags, strict=True)))
        evaluation = Evaluation(jnp.asarray(fitness), jnp.asarray(embeddings))
        archive, kept = archive.add(genomes, evaluation, jnp.asarray(parent))
        blob = [hexadecimal(name) for name in names]
        return state._replace(archive=archive), Born(born, parent, self.proposals, kept, fitness, blob=blob)

    def _known(self, state: Discoveries) -> list[Finding]:
        """What the archive holds, in order."""
        names = np.asarray(state.archive.genomes.finding)[: int(state.archive.size)]
        return [Finding.parsed(self.texts.get(name)) for name in names]

    def _profile(self, state: Discoveries) -> planted.Profile | None:
        """What is planted in the subject; None: nobody knows."""
        return planted.drawn(Random(int(state.subject))) if self.subject == "random" else PROFILES.get(self.subject)

    def _trial(self, state: Discoveries) -> Trial:
        profile = self._profile(state)
        return Trial(
            scientist=self.scientist,
            subject=self.scientist if profile is None else Offline({"acd/answer": profile.answer}),
            sandbox=self.sandbox or ladder.best(),
            judge=partial(discoveries.serving, self.scientist),
            answers=self.answers,
            rounds=self.rounds,
            threshold=self.threshold,
            limits=Limits(seconds=self.seconds),
        )

    async def _labels(self, state: Discoveries) -> UInt8[Array, "16"]:
        """A model's names for the clusters, kept as JSON; without a model, a report finds its own."""
        if self.scientist.name == Offline.name:
            return state.labels
        known, places = self._known(state), np.asarray(state.archive.descriptor)[: int(state.archive.size)]
        groups = capabilities.atlas(places, self.cluster).groups
        members = ([known[row] for row in rows] for rows in groups.values())
        labels = await asyncio.gather(*(capabilities.label(self.scientist, some) for some in members))
        named = {str(group): label for group, label in zip(groups, labels, strict=True)}
        return jnp.asarray(self.texts.put(json.dumps(named)))

    def _metrics(self, state: Discoveries) -> dict[str, Any]:
        rows = slice(0, int(state.archive.size))
        success, surprising = (np.asarray(x)[rows] for x in state.archive.genomes[1:])
        found = self._found(state)
        truth = {f"found/{name}": getattr(found, name) for name in ("recall", "precision", "f1")} if found else {}
        return {
            "archive/size": int(state.archive.size),
            "archive/successes": int(success.sum()),
            "archive/failures": int((~success).sum()),
            "archive/surprising": int(surprising.sum()),
            "archive/depth": int(np.asarray(state.archive.depth)[rows].max(initial=0)),
            **{f"families/{name}": value for name, value in state.counts._asdict().items() if name != "answers"},
            "subject/answers": state.counts.answers,
            **{f"surprise/{name}": value for name, value in state.surprise._asdict().items()},
            **truth,
        }

    def _found(self, state: Discoveries) -> planted.Found | None:
        """How much of what is planted the archive shows, founders aside; None: nothing is known of the subject."""
        profile, known = self._profile(state), self._known(state)[len(FOUNDERS) :]
        outcomes = [(recipes.recipe_of(finding.program), finding.success) for finding in known]
        return profile and planted.found(profile, [(recipe, success) for recipe, success in outcomes if recipe])


def _counted(before: Counts, tried: Sequence[Tried], found: Sequence[Finding | None]) -> Counts:
    ran = [one.finding is not None for one in tried]
    dropped = sum(ran) - sum(one is not None for one in found)
    more = (len(tried), len(tried) - sum(ran), dropped, sum(one.answers for one in tried))
    return Counts(*(count + n for count, n in zip(before, more, strict=True)))


def _example() -> Family:
    return Family(jnp.zeros(16, jnp.uint8), jnp.array(False), jnp.array(False))


def make(
    subject: Literal["auto", "model", "clerk", "scribe", "random"] = "auto",
    proposals: Literal["archive", "independent", "random"] = "archive",
    judge: bool = True,
    families: int = 240,
    batch: int = 8,
    answers: int = 3,
    rounds: int = 5,
    threshold: float = 0.6,
    seconds: float = 10.0,
    context: int = 10,
    neighbours: int = 5,
    cluster: int = 8,
    *,
    fm: FM | None = None,
    embedder: Embedder | None = None,
    sandbox: Sandbox | None = None,
    texts: Texts | None = None,
) -> Acd:
    """Find out what a subject can do and where it fails, by task families that a scientist invents.

    Args:
        subject: The model, which is the scientist too; or a program with planted strengths and failures: one of two,
            or one that is drawn by the run's seed.  `auto`: the model if there is one, else `clerk`.
        proposals: By a scientist who is shown a parent and other families of the archive; by one who is shown nothing;
            or, as a control without a scientist, uniformly from the grammar.
        judge: Drop families that a judge does not call interestingly new.
        families: Proposals of the whole run.
        batch: Proposals at once.
        answers: How often the subject tries each task.
        rounds: How often the scientist may send a program, until it is done.
        threshold: The share of solutions from which on a family is a success.
        seconds: How long a family's program may run: once to set its tasks, once to score all submissions.
        context: Families of both archives that the scientist is shown beside the parent.
        neighbours: Families that the judge of novelty is shown.
        cluster: Families that make a cluster of the report.
        fm: The scientist and judge; None: a grammar and rules.
        embedder: Of summaries; None: by hashed words.
        sandbox: Runs all families; None: the best that this machine has.
        texts: Keeps the findings.
    """
    counts = {"families": families, "batch": batch, "answers": answers, "rounds": rounds}
    counts |= {"context": context + 1, "neighbours": neighbours, "cluster": cluster - 1}
    if min(counts.values()) < 1 or not 0 < threshold <= 1 or not seconds > 0:
        raise UsageError(
            "give numbers above zero (--context from 0, --cluster from 2), and a --threshold of at most 1."
        )
    if subject == "model" and fm is None:
        raise UsageError("--subject model needs a model: give --fm PROVIDER:MODEL, or a planted subject.")
    if subject == "auto":
        subject = "model" if fm is not None else "clerk"
    return Acd(
        scientist=fm or Offline({"acd/propose": scientist.propose, **discoveries.rules()}),
        subject=subject,
        embedder=embedder or embed.local(),
        sandbox=sandbox,
        texts=texts or Memory(),
        proposals=proposals,
        filtered=judge,
        total=families,
        batch=batch,
        answers=answers,
        rounds=rounds,
        threshold=threshold,
        seconds=seconds,
        context=context,
        neighbours=neighbours,
        cluster=cluster,
    )


PAPER = {"families": 5000, "batch": 10, "answers": 5, "rounds": 5, "threshold": 0.6, "cluster": 16}

CLAIM = Claim(
    statement="A scientist who builds on its archive finds more of what is planted in a subject, with less that says "
    "nothing, than as many random tasks do.",
    source="Lu et al. 2025, the algorithm; the paper reports no such control",
    metric="found/f1",
    treatment={"subject": "random"},
    control={"subject": "random", "proposals": "random"},
    others={
        "no archive": {"subject": "random", "proposals": "independent"},
        "no judge": {"subject": "random", "judge": False},
    },
    also=("found/recall", "found/precision", "archive/size", "subject/answers"),
)


def figures(run: Run) -> Iterable[Figure]:
    """The capability report; its tasks are also written into the run's `media`, for Inspect."""
    state = run.state
    size = int(state.archive.size)
    if not size:
        return []
    blobs = map(run.blob, map(hexadecimal, np.asarray(state.archive.genomes.finding)[:size]))
    findings = [Finding.parsed(blob.decode()) for blob in blobs]
    (run.media / "capabilities.jsonl").write_text(capabilities.samples(findings), encoding="utf-8")
    labels = json.loads(run.blob(hexadecimal(state.labels))) if np.asarray(state.labels).any() else {}
    return capabilities.report(
        findings, np.asarray(state.archive.descriptor)[:size], make(**run.options).cluster, labels
    )


if __name__ == "__main__":
    import aiga

    aiga.run("acd")
