"""Papers that a conference took or did not: a user's own, or summaries that are made here.

The made ones are synthetic, and stand in for real papers where a user has none.  Nobody wrote or reviewed them, and how
well an agent judges them says nothing of how well it would judge real ones.  Their decisions follow rules of ours:

    levels of soundness, evidence, novelty and comparison <- 0 to 3 each, and a sentence of the summary tells each
    quality  <- the mean of the levels, weighted, as a share of the best + noise of the committee's
    decision <- accept if quality is above `BAR` and the method is sound at all; turned round for `NOISE` of the papers

What authors claim, and where the paper came from, is told too and decides nothing.  Of 20,000 papers, who knows the
levels and the rules is right on 0.87; who goes by soundness alone, on 0.74; by the claims, on 0.50.
"""

import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aiga.core.errors import UsageError
from aiga.data.puzzles import Sizes

DECISIONS: tuple[str, ...] = ("accept", "reject")
SHAPE = 'give lines like {"id": "p1", "title": "...", "abstract": "...", "decision": "accept"}'
TELLTALE = re.compile(r"^.*\b(?:published|under review) as a\b.*\bpaper\b.*$\n?", re.IGNORECASE | re.MULTILINE)
"""Running heads of conference papers that say what was decided."""
BAR, SPREAD, NOISE = 0.53, 0.06, 0.06


class Paper(NamedTuple):
    """A paper, and what only we know of it."""

    title: str
    text: str
    """All that is shown besides: the abstract, the paper, or both."""
    decision: str
    """`accept` or `reject`."""


class Parts(NamedTuple):
    """Papers to search with, to choose with, and to report with."""

    search: tuple[Paper, ...]
    select: tuple[Paper, ...]
    report: tuple[Paper, ...]


def divided(papers: Sequence[Paper], sizes: Sizes, seed: int, source: str = "the source") -> Parts:
    """Three parts without a paper in common, in each as many of either decision, in an order that the seed gives.

    Of two papers that follow each other, from the first on, one was accepted: any even beginning is balanced too.
    """
    odd = [size for size in sizes if size < 2 or size % 2]
    if odd:
        raise UsageError(f"a split of {odd[0]} papers is not balanced: give even numbers from 2.")
    rng, different = random.Random(f"reviews {seed}"), list({_content(paper): paper for paper in papers}.values())
    sides = [[paper for paper in different if paper.decision == decision] for decision in DECISIONS]
    if min(map(len, sides)) < sum(sizes) // 2:
        raise UsageError(
            f"{source} has {len(sides[0])} accepted and {len(sides[1])} rejected papers, and balanced splits ask for "
            f"{sum(sizes) // 2} of each: give smaller splits, or more papers."
        )
    for side in sides:
        rng.shuffle(side)
    pairs = [rng.sample(pair, 2) for pair in zip(*sides, strict=False)]
    ordered, parts = [paper for pair in pairs for paper in pair], []
    for size in sizes:
        parts.append(tuple(ordered[:size]))
        ordered = ordered[size:]
    return Parts(*parts)


def read(path: str | Path) -> list[Paper]:
    """The papers of a JSONL file: id, title, abstract or text or both, decision; year and venue are not used.

    Lines of a text that tell what was decided ("Published as a conference paper at ...") are left out.
    """
    place = Path(path)
    try:
        lines = place.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise UsageError(f"--path {place} does not exist: give a JSONL file of papers.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{place} cannot be read ({error}): {SHAPE}.") from error
    papers = list(_papers(place, lines))
    if not papers:
        raise UsageError(f"{place} has no paper: {SHAPE}.")
    return papers


def _papers(place: Path, lines: Sequence[str]) -> Iterator[Paper]:
    names: dict[str, int] = {}
    decisions: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            name, paper = _paper(json.loads(line))
            if name in names:
                raise ValueError(f"the id `{name}` is that of line {names[name]}")
            decided, before = decisions.setdefault(_content(paper), (paper.decision, number))
            if decided != paper.decision:
                raise ValueError(f"the paper is that of line {before}, with another decision")
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{place} cannot be used at line {number} ({error}): {SHAPE}.") from error
        names[name] = number
        yield paper


def _paper(row: Any) -> tuple[str, Paper]:
    if not isinstance(row, dict):
        raise ValueError("no JSON object")
    missing = [name for name in ("id", "title", "decision") if row.get(name) in (None, "")]
    if missing:
        raise ValueError(f"`{missing[0]}` is missing")
    texts = [row[name] for name in ("abstract", "text") if row.get(name)]
    wrong = [text for text in (row["title"], *texts) if not isinstance(text, str)]
    if wrong:
        raise ValueError("title, abstract and text must be texts")
    decision = str(row["decision"]).strip().lower()
    if decision not in DECISIONS:
        raise ValueError(f"the decision is {row['decision']!r}; accept and reject are allowed")
    text = TELLTALE.sub("", "\n\n".join(texts)).strip()
    if not text:
        raise ValueError("there is neither an abstract nor a text")
    return str(row["id"]), Paper(row["title"].strip(), text, decision)


def _content(paper: Paper) -> str:
    """What makes two papers the same one."""
    return " ".join(f"{paper.title} {paper.text}".lower().split())


def made(count: int, seed: int) -> list[Paper]:
    """`count` different papers, half of them accepted."""
    rng, found = random.Random(f"papers {seed}"), {}
    wanted = dict.fromkeys(DECISIONS, (count + 1) // 2)
    while len(found) < count:
        paper = summary(rng)
        if wanted[paper.decision] and _content(paper) not in found:
            wanted[paper.decision] -= 1
            found[_content(paper)] = paper
    return list(found.values())


def summary(rng: random.Random) -> Paper:
    """A paper."""
    levels = {aspect: rng.randrange(4) for aspect in SENTENCES}
    method, problem = rng.choice(METHODS), rng.choice(PROBLEMS)
    told = [rng.choice(SENTENCES[aspect][level]) for aspect, level in levels.items()]
    told += rng.sample(BESIDE, 2)
    rng.shuffle(told)
    claim = rng.choice(CLAIMS).format(method=method, problem=problem)
    return Paper(f"{method.capitalize()} for {problem}", " ".join([claim, *told]), decided(rng, levels))


def decided(rng: random.Random, levels: dict[str, int]) -> str:
    """What the committee says of a paper of these levels."""
    accepted = quality(levels) + rng.gauss(0, SPREAD) > BAR and levels["soundness"] > 0
    return DECISIONS[accepted == (rng.random() < NOISE)]


def quality(levels: dict[str, int]) -> float:
    """From 0 to 1."""
    return sum(WEIGHTS[aspect] * level for aspect, level in levels.items()) / 3


WEIGHTS = {"soundness": 0.35, "evidence": 0.3, "novelty": 0.2, "comparison": 0.15}
SENTENCES = {
    "soundness": (
        (
            "The central lemma is contradicted by a small counterexample.",
            "Test labels are used when the model is selected, so the reported errors mean little.",
            "The estimator is biased in just the case that the method is meant for.",
        ),
        (
            "The argument rests on an independence assumption that the data plainly violate.",
            "Two steps of the derivation are stated without a reason, and one of them looks doubtful.",
            "The objective that is optimised is not the one that is analysed.",
        ),
        (
            "The derivation holds, though one assumption is stronger than it need be.",
            "The method does what it says; its failure cases are mentioned in passing.",
            "The analysis is correct in the linear case and a sketch beyond it.",
        ),
        (
            "Every step of the proof can be checked, and its assumptions hold in the experiments.",
            "The design separates the causes that it claims to separate.",
            "The analysis is complete, and a simulation confirms its constants.",
        ),
    ),
    "evidence": (
        (
            "There is one experiment, on one data set, run once.",
            "Results are shown as three hand-picked examples.",
            "No number in the main table has an error bar, and differences are within rounding.",
        ),
        (
            "Two data sets of similar kind are used, with two seeds each.",
            "Gains are reported on average, while a third of the tasks get worse.",
            "The ablation leaves out the component that is said to matter most.",
        ),
        (
            "Four data sets are used with five seeds; the effect is clear on three of them.",
            "Ablations cover the main choices, and intervals are given for most results.",
            "The effect is seen at two scales out of three.",
        ),
        (
            "Nine data sets from four fields show the effect, with intervals over ten seeds.",
            "Each claim has an experiment that could have refuted it, registered beforehand.",
            "The effect was measured again by a second group with its own code.",
        ),
    ),
    "novelty": (
        (
            "The same algorithm was published two years ago under another name.",
            "It changes a constant of a well-known method.",
            "The idea is a textbook exercise.",
        ),
        (
            "It joins two known techniques in the expected manner.",
            "The step beyond earlier work is small and was announced there as future work.",
            "A known idea is carried over to neighbouring data.",
        ),
        (
            "The view of the problem is unusual, though its parts are known.",
            "It removes a restriction that earlier methods shared.",
            "It connects two lines of work that did not cite each other.",
        ),
        (
            "Nobody had posed the question in this form.",
            "The mechanism has no counterpart in earlier work.",
            "It overturns what was assumed about the problem.",
        ),
    ),
    "comparison": (
        (
            "It is compared with nothing but chance.",
            "No other method is run.",
            "The only rival is a weakened copy of the method itself.",
        ),
        (
            "Rivals are run with their default settings, the method with tuned ones.",
            "The baselines are ten years old.",
            "Numbers of rivals are copied from papers that used other splits.",
        ),
        (
            "Three recent methods are tuned on the same grid, but one strong one is missing.",
            "Rivals get the same budget, and a simple baseline is lacking.",
            "Most competitors are run by the authors under one protocol.",
        ),
        (
            "The strongest rivals and a simple baseline are tuned with the same budget.",
            "Authors of the rival methods supplied their settings.",
            "All published competitors are run under one protocol, with code.",
        ),
    ),
}
"""What a summary says of each aspect, from the worst level to the best."""
CLAIMS = (
    "We present a breakthrough in {problem} by {method}.",
    "This work transforms {problem} once and for all through {method}.",
    "We are the first to solve {problem}, by means of {method}.",
    "We study {method} for {problem}.",
    "This note looks at whether {method} can help with {problem}.",
    "We report some observations on {problem} with {method}.",
)
BESIDE = (
    "The paper has 9 pages and 14 figures.",
    "Code is promised after publication.",
    "The appendix is longer than the paper.",
    "The writing is fluent and the figures are elegant.",
    "There are several typing errors in the introduction.",
    "The authors thank a large computing centre.",
    "The related work is listed by year.",
    "Training takes two days on four accelerators.",
    "A demonstration video is announced.",
    "The title is a pun.",
)
METHODS = (
    "sparse gating", "latent replay", "spectral pruning", "contrastive distillation", "adaptive quantisation",
    "hierarchical attention", "evolved augmentation", "implicit regularisation", "causal masking", "random features",
    "graph diffusion", "energy-based scoring", "curriculum sampling", "kernel smoothing",
)  # fmt: skip
PROBLEMS = (
    "few-shot recognition", "long-term forecasting", "robot grasping", "protein folding", "speech separation",
    "program repair", "climate downscaling", "molecule retrieval", "traffic control", "document ranking",
    "medical triage", "open-ended exploration", "sign translation", "fault detection", "wildlife counting",
)  # fmt: skip
