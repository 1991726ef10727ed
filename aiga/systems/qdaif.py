"""Quality diversity through AI feedback: a language model varies texts, and judges how good and how different they are.

Bradley et al. (2023), https://arxiv.org/abs/2310.13032:

    repeat:
        examples <- elites of cells near a random one                     # LMX: the model continues a list of examples
        text     <- the model's continuation of the examples
        quality  <- P(yes) that the text is good, by the model's log-probabilities
        place    <- P(first label), for each way in which texts may differ
        keep the text in its cell if the cell is empty or its quality is higher than the occupant's

Probabilities of a language model crowd at 0 and 1, so cells are narrow there: the paper's edges, or quantiles of all
places seen so far.  Poems are rewritten towards a random form and tone, and rated from 1 to 10.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from aiga.agents import lmx
from aiga.agents.lmx import Example, Text
from aiga.archives.bins import BinCells, bins_of
from aiga.archives.grid import Grid, Placement
from aiga.archives.pool import Pool, Row, Rule
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation, Info, Key
from aiga.core.texts import Memory, Texts, hexadecimal
from aiga.core.trees import NOBODY
from aiga.data import grammar
from aiga.data.writing import WRITINGS, Writing
from aiga.fm.messages import FM, ModelFailed
from aiga.fm.offline import Offline, Proposer
from aiga.inspect import texts as pictures
from aiga.judges import rubric
from aiga.judges.feedback import Feedback, Verdict, simulated
from aiga.judges.rubric import Judgement, Labelled
from aiga.runs.claims import Claim
from aiga.runs.events import Born, Failed
from aiga.runs.record import Run
from aiga.runs.report import Figure

ABOUT = {"papers": (3,), "pillar": "stepping stones", "needs": ()}

EDGES = {
    1: "0 .005 .01 .015 .02 .03 .04 .05 .1 .2 .5 .8 .9 .95 .96 .97 .98 .985 .99 .995 1",
    2: "0 .005 .02 .05 .2 .5 .8 .95 .98 .995 1",
}
"""The paper's, of one axis and of each of two."""
RULES: dict[str, Rule] = {"random": "everything", "quality": "best", "rouge": "unlike", "novelty": "novel"}
"""Controls whose examples come from a pool in place of the archive."""


class Illumination(NamedTuple):
    """The state; all but the archive are host arrays."""

    archive: Grid
    pool: Pool
    places: Float[np.ndarray, "n d"]
    """Of everything judged, what quantiles are taken of."""
    opinions: Float[np.ndarray, " c"]
    """What the judge said of the labelled texts."""
    labels: Bool[np.ndarray, " c"]
    good: Float[np.ndarray, ""]
    """The quality from which a text counts as good, by calibration."""
    written: Int[np.ndarray, ""]


class Prompt(NamedTuple):
    """What a text is made from."""

    examples: list[Example]
    target: tuple[str, ...]
    """Answers that a rewritten text should bring; empty: it is continued."""


@dataclass(frozen=True)
class Qdaif:
    """Illuminate what can be written."""

    writing: Writing
    method: str
    bins: str
    beginning: str
    labelled: Sequence[Labelled]
    iterations: int
    batch: int
    founders: int
    temperature: float
    tokens: int
    judge: Feedback
    fm: FM
    texts: Texts
    known: bool
    """Whether the judge is the simulated one, so that the truth behind its answers is known."""

    @property
    def shots(self) -> int:
        """Examples of a prompt."""
        return 1 if self.writing.rewritten else 3

    def init(self, key: Key) -> Illumination:
        del key
        d = len(self.writing.axes)
        example = Text(jnp.zeros(16, jnp.uint8), jnp.zeros((self.shots, 16), jnp.uint8))
        return Illumination(
            archive=Grid.empty(example, cells(self.writing, self.bins), parents=self.shots),
            pool=Pool.empty(d),
            places=np.zeros((0, d), np.float32),
            opinions=np.full(len(self.labelled), np.nan, np.float32),
            labels=np.array([label for _, label in self.labelled], bool),
            good=np.array(0.5, np.float32),
            written=np.zeros((), np.int32),
        )

    async def step(self, key: Key, state: Illumination) -> tuple[Illumination, Info]:
        numbers = jax.random.randint(key, (2,), 0, 2**31 - 1)
        random, seeds = (Random(int(number)) for number in numbers)
        first, begun = int(state.written) == 0, {}
        if first:
            state, begun = await self.begin(state)
        prompts = [self.prompt(random, state) for _ in range(self.founders if first else self.batch)]
        verdicts = await asyncio.gather(*(self.candidate(prompt, seeds.randrange(2**31)) for prompt in prompts))
        state, events = self.admit(state, prompts, verdicts)
        finished = {"run/finished": 1} if int(state.written) >= self.iterations else {}
        return state, {**begun, **events, **self._metrics(state, verdicts), **finished}

    async def begin(self, state: Illumination) -> tuple[Illumination, dict[str, Any]]:
        """Hold the judge against labelled texts, and put the given examples into the pool."""
        opinions = np.full(len(self.labelled), np.nan, np.float32)

        async def noted(text: str, number: int) -> Judgement:
            said = await self.judge.quality(text, number)
            opinions[number] = said.probability
            return said

        found = await rubric.calibrate(noted, self.labelled)
        info: dict[str, Any] = found.metrics()
        if found.warning:
            info["warned"] = Failed("judge", found.warning)
        state = state._replace(opinions=opinions, good=np.array(found.threshold, np.float32))
        if self.beginning == "seeds" and (self.method in RULES or self.method == "replace"):
            seen = [self.judge(text, number) for number, text in enumerate(self.writing.examples)]
            for verdict in await asyncio.gather(*seen):
                state = self._pooled(state, verdict, NOBODY)
        return state, info

    def prompt(self, random: Random, state: Illumination) -> Prompt:
        """What the next text is made from."""
        target = tuple(random.choice(axis.options) for axis in self.writing.axes) if self.writing.rewritten else ()
        given: list[Example] = [(self.texts.put(text), NOBODY) for text in self.writing.examples]
        if self.method in RULES and state.pool.size >= self.shots:
            rows = random.sample(state.pool.offered(RULES[self.method]), self.shots)
            examples = [lmx.of_pool(state.pool, row) for row in rows]
        elif self.method == "near" and int(state.archive.size):
            examples = lmx.near(random, state.archive, self.shots)
        elif self.method == "replace" and int(state.archive.size):
            examples = lmx.replaced(random, state.archive, state.pool, self.shots)
        elif self.beginning == "zero_shot":
            examples = []
        else:
            examples = given if self.method == "fixed" else random.sample(given, len(given))
        return Prompt(examples[: self.shots], target)

    async def candidate(self, prompt: Prompt, seed: int) -> Verdict:
        """A new text, its quality and its place; a failure of the model is a verdict too."""
        seeds = Random(seed)
        examples = [self.texts.get(name) for name, _ in prompt.examples]
        how = {"seed": seeds.randrange(2**31), "temperature": self.temperature, "tokens": self.tokens}
        try:
            text = await lmx.write(self.fm, self.writing, examples, prompt.target, task="qdaif/write", **how)
        except ModelFailed as error:
            return self.judge.failure(error)
        return await self.judge(text, seeds.randrange(2**31))

    def admit(
        self, state: Illumination, prompts: Sequence[Prompt], verdicts: Sequence[Verdict]
    ) -> tuple[Illumination, dict[str, Any]]:
        """Offer texts to the archive, a batch after the other, and to the pool; and what happened."""
        places = np.array([verdict.place for verdict in verdicts], np.float32)
        seen = np.concatenate([state.places, places[~np.isnan(places).any(axis=1)]])
        archive = state.archive
        if self.bins == "quantile" and self._doubled(len(state.places), len(seen)):
            archive = _sorted(archive, BinCells.quantiles(seen, bins_of(archive.cells).shape[0], 0.0, 1.0))
        genomes, parents = self._rows(prompts, verdicts)
        fitness = np.array([verdict.quality for verdict in verdicts], np.float32)
        placed = []
        for start in range(0, len(verdicts), self.batch):
            rows = slice(start, start + self.batch)
            offered = Text(jnp.asarray(genomes.text[rows]), jnp.asarray(genomes.examples[rows]))
            told = Evaluation(jnp.asarray(fitness[rows]), jnp.asarray(places[rows]))
            archive, placement = _place(archive, offered, told, jnp.asarray(parents[rows]))
            placed.append(placement)
        at: Placement = jax.tree.map(lambda *parts: np.concatenate(parts), *placed)
        state = state._replace(archive=archive, places=seen, written=state.written + np.int32(len(verdicts)))
        for verdict, identity, status in zip(verdicts, at.identity.tolist(), at.status.tolist(), strict=True):
            if self.method in RULES or (self.method == "replace" and status):
                state = self._pooled(state, verdict, tuple(identity))
        events: dict[str, Any] = {f"failed {i}": Failed("text", v.failed) for i, v in enumerate(verdicts) if v.failed}
        blobs = [hexadecimal(name) for name in genomes.text]
        born = Born(at.identity, parents, self.method, at.status, fitness, at.cell, at.replaced, blob=blobs)
        return state, {**events, "born": born}

    def _doubled(self, before: int, after: int) -> bool:
        """Whether there are founders for the first time, or more than twice, four times, ... as many as founders."""
        return after > 0 and int(before / self.founders).bit_length() < int(after / self.founders).bit_length()

    def _rows(self, prompts: Sequence[Prompt], verdicts: Sequence[Verdict]) -> tuple[Text, Int[np.ndarray, "n e 2"]]:
        """The genomes and the parents of candidates."""
        names = np.stack([self.texts.put(verdict.text) for verdict in verdicts])
        examples = np.zeros((len(prompts), self.shots, 16), np.uint8)
        parents = np.full((len(prompts), self.shots, 2), NOBODY[0], np.int32)
        for row, prompt in enumerate(prompts):
            for i, (name, identity) in enumerate(prompt.examples):
                examples[row, i], parents[row, i] = name, identity
        return Text(names, examples), parents

    def _pooled(self, state: Illumination, verdict: Verdict, identity: tuple[int, ...]) -> Illumination:
        """The state after the offer of a text to the pool."""
        if verdict.failed:
            return state
        place = bins_of(state.archive.cells).even(np.array([verdict.place], np.float32))[0]
        row = Row(self.texts.put(verdict.text), identity, verdict.quality, place)
        rule = RULES.get(self.method, "everything")
        return state._replace(pool=state.pool.offer(rule, row, self.texts.get))

    def _metrics(self, state: Illumination, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        hows = sorted({verdict.how for verdict in verdicts if verdict.how})
        good = np.asarray(state.archive.fitness) >= state.good
        told = {"judge/how": " ".join(hows) or "none", "judge/failed": sum(bool(v.failed) for v in verdicts)}
        pool = {"pool/size": state.pool.size, "pool/threshold": float(state.pool.threshold)}
        truth = self._truth(state) if self.known and not self.writing.rewritten else {}
        counts = {"archive/good": float(good.mean()), "texts/written": int(state.written)}
        return {**_summary(state.archive), **counts, **told, **pool, **truth}

    def _truth(self, state: Illumination) -> dict[str, float]:
        """The worth of the archive in equal cells of what the simulated judge's sigmoid hides."""
        side = bins_of(state.archive.cells).shape[0]
        best = np.zeros((side,) * len(self.writing.axes))
        for _, quality, text in elites(self, state):
            cell = tuple(min(int(x * side), side - 1) for x in grammar.place(self.writing, text))
            best[cell] = max(best[cell], quality)
        return {"truth/qd_score": float(best.sum()), "truth/coverage": float((best > 0).mean())}


_place = eqx.filter_jit(Grid.place)
_sorted = eqx.filter_jit(Grid.sorted_into)
_summary = eqx.filter_jit(Grid.metrics)


def cells(writing: Writing, bins: str) -> BinCells:
    """The cells of an archive at the beginning."""
    if writing.rewritten:
        return BinCells.between([np.linspace(0, 1, len(axis.options) + 1).tolist() for axis in writing.axes])
    paper = [float(edge) for edge in EDGES[len(writing.axes)].split()]
    edges = paper if bins == "paper" else np.linspace(0, 1, len(paper)).tolist()
    return BinCells.between([edges] * len(writing.axes))


def elites(system: Qdaif, state: Illumination) -> list[tuple[int, float, str]]:
    """The cell, the quality and the text of every elite."""
    names, fitness = np.asarray(state.archive.genomes.text), np.asarray(state.archive.fitness)
    rows = np.flatnonzero(fitness > -np.inf).tolist()
    return [(row, float(fitness[row]), system.texts.get(names[row])) for row in rows]


def _written(random: Random, facts: tuple[Writing, list[str], tuple[str, ...]]) -> str:
    return grammar.write(random, *facts)


OFFLINE: dict[str, Proposer] = {"qdaif/write": _written, "qdaif/quality": simulated, "qdaif/place": simulated}
"""A writer and a judge without a model."""


def make(
    world: Literal["opinions", "genre", "ending", "stories", "poetry"] = "stories",
    method: Literal["near", "replace", "fixed", "shuffled", "random", "quality", "rouge", "novelty"] = "near",
    bins: Literal["paper", "quantile", "uniform"] = "paper",
    beginning: Literal["seeds", "zero_shot"] = "seeds",
    labels: str = "",
    iterations: int = 1000,
    batch: int = 20,
    founders: int = 60,
    temperature: float = 0.8,
    tokens: int = 300,
    fallback: Literal["votes", "rating"] = "votes",
    votes: int = 5,
    *,
    fm: FM | None = None,
    texts: Texts | None = None,
) -> Qdaif:
    """Illuminate opinions, stories or poems.

    Args:
        world: Opinions by sentiment; stories by genre, by ending, or by both; poems by form and tone.
        method: Examples are elites of near cells, or an elite's own with one replaced; or, as controls, always the
            three given ones, in order or shuffled; any texts, the best, those unlike in words, or of novel places.
        bins: The paper's edges, quantiles of the places seen so far, or equal widths.  Poems: a cell a form and tone.
        beginning: Founders are continuations of three given examples, or of none.
        labels: A file of labelled texts, JSON lines, to calibrate the judge of quality on; empty: 24 of ours.
        iterations: Texts of the whole run.
        batch: Texts written and judged at once.
        founders: Texts of the first step, a multiple of the batch.
        temperature: Of the model that writes.
        tokens: The longest text.
        fallback: A judge without log-probabilities is asked several times, or for a rating.
        votes: How many times.
        fm: Writes and judges; None: a grammar and a list of graded words do.
        texts: Keeps the texts.
    """
    if batch < 1 or founders < 1 or founders % batch or iterations < 1:
        given = f"--iterations {iterations}, --batch {batch}, --founders {founders}"
        raise UsageError(f"{given}: give numbers above zero, and founders that are a multiple of the batch.")
    if votes < 1 or tokens < 1 or not temperature >= 0:
        given = f"--votes {votes}, --tokens {tokens}, --temperature {temperature}"
        raise UsageError(f"{given}: give one or more of the first two, and no negative temperature.")
    if beginning == "zero_shot" and method in ("fixed", "shuffled"):
        raise UsageError(f"--method {method} repeats the given examples: leave --beginning at seeds.")
    if world == "poetry" and bins != "paper":
        raise UsageError(f"--bins {bins} divides probabilities, but poems have a cell a form and tone: leave it out.")
    writing, model = WRITINGS[world], fm or Offline(OFFLINE)
    return Qdaif(
        writing=writing,
        method=method,
        bins=bins,
        beginning=beginning,
        labelled=rubric.read(labels) if labels else [Labelled(*pair) for pair in grammar.labelled(writing, 24)],
        iterations=iterations,
        batch=batch,
        founders=founders,
        temperature=temperature,
        tokens=tokens,
        judge=Feedback(model, writing, fallback, votes),
        fm=model,
        texts=texts or Memory(),
        known=fm is None,
    )


PAPER = {"world": "stories", "iterations": 2000, "batch": 1, "temperature": 0.8, "tokens": 100}
"""Stories; opinions have 50 tokens."""

CLAIM = (
    Claim(
        statement="Examples from near cells fill an archive with better texts than examples chosen in other ways.",
        source="Bradley et al. 2023, stories by genre and ending: QDAIF and its controls",
        metric="archive/qd_score",
        treatment={"method": "near"},
        control={"method": "novelty"},
        others={name: {"method": name} for name in ("quality", "rouge", "random", "shuffled", "fixed", "replace")},
        also=("archive/coverage",),
    ),
    Claim(
        statement="Where a judge's probabilities crowd at 0 and 1, quantile bins part more texts than equal ones.",
        source="Bradley et al. 2023, on bins; quantiles are ours",
        metric="truth/coverage",
        treatment={"bins": "quantile"},
        control={"bins": "uniform"},
        others={"paper": {"bins": "paper"}}
        | {f"opinions {bins}": {"world": "opinions", "bins": bins} for bins in ("quantile", "uniform", "paper")},
        also=("truth/qd_score",),
    ),
)


def figures(run: Run) -> Iterable[Figure]:
    """The archive, its texts, the longest line of them, and the calibration of the judge."""
    writing, state = WRITINGS[dict(run.options).get("world", "stories")], run.state
    yield from pictures.figures(state.archive, writing, lambda name: run.blob(hexadecimal(name)).decode())
    yield pictures.ancestry(run)
    yield pictures.calibration(state.opinions, state.labels, float(state.good), run.latest())


if __name__ == "__main__":
    import aiga

    aiga.run("qdaif")
