"""Paper review as a domain: an agent reads a paper and says whether a conference accepted it.

After the paper-review domain of Zhang et al. (2026), Hyperagents, with 100 papers for each split.  There the papers are
of ICLR and NeurIPS; here they are a user's own, or synthetic ones (`aiga.data.reviews`).

What was decided stays on this side: it is in no task, in no folder of the sandbox and in no log.  For a paper of
`search` the verdict says whether a response was right.  A response that is no decision scores 0, and the verdict says
what was expected.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiga.agents.domain import Files, Outcome, Splits
from aiga.agents.responses import Asking, Response
from aiga.data.puzzles import Sealed, Sizes
from aiga.data.reviews import DECISIONS, Paper, divided, made

LABEL = "agents/review"
LONGEST = 60_000
"""Characters of a paper that are shown."""
USUAL = Sizes(100, 100, 100)
"""As in the paper."""
INSTRUCTION = """\
Below is a paper that was submitted to a selective conference. Say whether the conference accepted or rejected it.
The response is one word: accept, or reject."""
EXPECTED = 'no decision: the response must be one word, "accept" or "reject"'
RESPONSE = re.compile(r"[\s\"'`*_.!]*(accept|reject)(?:ed)?[\s\"'`*_.!]*", re.IGNORECASE)


class Reviews:
    """A `Domain` of papers.

    Args:
        asking: Where agents are asked; by custom its label is `LABEL`.
        papers: What they are asked about; None: synthetic papers.
        sizes: Papers of each split, even numbers.
        seed: Of the splits, and of synthetic papers.
    """

    def __init__(
        self, asking: Asking, papers: Sequence[Paper] | None = None, *, sizes: Sizes = USUAL, seed: int = 0
    ) -> None:
        self.asking = asking
        source = "the source" if papers is not None else "the synthetic set"
        parts = divided(made(sum(sizes), seed) if papers is None else papers, sizes, seed, source)
        self._papers = {
            f"{split}-{n}": paper for split, part in parts._asdict().items() for n, paper in enumerate(part, 1)
        }
        names, chosen = tuple(self._papers), sizes.search + sizes.select
        self._splits = Splits(names[: sizes.search], names[sizes.search : chosen], Sealed(names[chosen:]))

    @property
    def name(self) -> str:
        return "reviews"

    @property
    def splits(self) -> Splits:
        return self._splits

    def statement(self, task: str) -> str:
        """The instruction, the title and the text, which is cut if it is very long."""
        paper = self._papers[task]
        text = paper.text if len(paper.text) <= LONGEST else f"{paper.text[:LONGEST]}\n(The rest is left out.)"
        return f"{INSTRUCTION}\n\nTitle: {paper.title}\n\n{text}"

    def shown(self, task: str) -> dict[str, Any]:
        """What the agent's function is called with."""
        return {"instruction": self.statement(task), "responses": list(DECISIONS)}

    async def evaluate(self, agent: Files, tasks: Sequence[str], *, seed: int) -> list[Outcome]:
        """Right (1) or not (0), paper by paper."""
        responses = await self.asking.responses(agent, {task: self.shown(task) for task in tasks}, seed=seed)
        return [self.outcome(task, response) for task, response in zip(tasks, responses, strict=True)]

    def outcome(self, task: str, response: Response) -> Outcome:
        """A response, scored; only for `search` is there a verdict."""
        told = task in self._splits.search
        if response.failure:
            return response.outcome(task, verdict=f"{response.failure}: {response.why}" if told else "")
        decision = parsed(response.text)
        if decision is None:
            return response.outcome(task, verdict=f"format: {EXPECTED}" if told else "", failure="format")
        right = decision == self._papers[task].decision
        return response.outcome(task, float(right), verdict=("right" if right else "wrong") if told else "")


def parsed(text: str) -> str | None:
    """`accept` or `reject`; None: a response that is neither, or more than one word."""
    found = RESPONSE.fullmatch(text)
    return found[1].lower() if found else None


class Rates(NamedTuple):
    """How often an agent was right, beside what it says whatever the paper."""

    accuracy: float
    """Over all papers; one without a decision is wrong."""
    accepts: float
    """The share of its decisions that are `accept`; of the papers it is one half.  NaN: it decided nothing."""
    decided: float
    """The share of papers that it came to a decision on."""


def rates(outcomes: Sequence[Outcome]) -> Rates:
    """The rates of an agent on some papers.

    Models as judges lean to one side: an accuracy near one half may come of accepting everything.
    """
    decisions = [None if outcome.failure else parsed(outcome.handed_in) for outcome in outcomes]
    counts = Counter(decision for decision in decisions if decision)
    accepts = counts["accept"] / counts.total() if counts else float("nan")
    return Rates(sum(outcome.score for outcome in outcomes) / len(outcomes), accepts, counts.total() / len(outcomes))
