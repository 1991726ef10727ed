"""A proposal on trial: run, answered by a subject, and mended by its scientist until it is done."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from aiga.agents import families, scientist
from aiga.agents.families import Broken, Task
from aiga.agents.scientist import Invitation, Proposal
from aiga.data.findings import DIFFICULTIES, Example, Finding
from aiga.fm.messages import FM, Message, ModelFailed
from aiga.sandbox.protocol import Limits, Sandbox, Serve

LONGEST = 8192
"""Tokens of a proposal."""
ASKS = 4
"""How often a family's program may ask its judge, for each submission."""


class Tried(NamedTuple):
    """What became of a proposal."""

    finding: Finding | None
    why: str
    """There is none."""
    answers: int
    """Submissions of the subject, those of trials included."""


class Trial(NamedTuple):
    """Those who take part, and the rules."""

    scientist: FM
    subject: FM
    sandbox: Sandbox
    judge: Callable[[int, int], Serve]
    """From a seed, and how often it may be asked, to what answers a family's program."""
    answers: int
    """Submissions for each task."""
    rounds: int
    threshold: float
    """The share of solutions from which on a family is a success."""
    limits: Limits
    """Of a family's program: once to set its tasks, once to score all submissions."""

    async def __call__(
        self, random: Random, shown: Invitation, drawn: Callable[[Random], Proposal] | None = None
    ) -> Tried:
        """A proposal, tried and mended until the scientist is content; or one that was drawn without a scientist."""
        messages, answers = scientist.opening(shown), 0
        why = "the scientist was never content"
        for _ in range(self.rounds):
            try:
                proposal = drawn(random) if drawn else await self._proposal(random, messages, shown)
                outcome, used = await self._outcome(random, proposal)
            except ModelFailed as error:
                return Tried(None, f"model ({error.kind}): {error}", answers)
            answers += used
            if isinstance(outcome, Finding) and proposal.done:
                return Tried(outcome, "", answers)
            why = f"{outcome.kind}: {outcome.reason}" if isinstance(outcome, Broken) else why
            messages = [*messages, *scientist.answer_to(proposal, outcome)]
        return Tried(None, why, answers)

    async def _proposal(self, random: Random, messages: Sequence[Message], shown: Invitation) -> Proposal:
        seed = random.getrandbits(31)
        reply = await self.scientist.generate(
            messages, seed=seed, task="acd/propose", facts=shown, schema=Proposal, max_tokens=LONGEST
        )
        return reply.parsed

    async def _outcome(self, random: Random, proposal: Proposal) -> tuple[Finding | Broken, int]:
        """How the subject does on a proposed family, and how many submissions that took."""
        tasks = await families.tasks(self.sandbox, proposal.program, self.limits)
        if isinstance(tasks, Broken):
            return tasks, 0
        asked = [task for task in tasks for _ in range(self.answers if proposal.done else 1)]
        seeds, judge = (
            [random.getrandbits(31) for _ in asked],
            self.judge(random.getrandbits(31), ASKS * len(asked) + ASKS * len(tasks)),
        )
        told = (self._submission(task.instructions, seed) for task, seed in zip(asked, seeds, strict=True))
        answered = list(zip(asked, await asyncio.gather(*told), strict=True))
        serve = judge if "judge(" in proposal.program else None
        scores = await families.scores(self.sandbox, proposal.program, answered, self.limits, serve)
        if isinstance(scores, Broken):
            return scores, len(asked)
        return self._finding(proposal, answered, scores), len(asked)

    def _finding(self, proposal: Proposal, answered: Sequence[tuple[Task, str]], scores: Sequence[float]) -> Finding:
        examples = {
            task.name: Example(task.name, task.instructions, submission, score)
            for (task, submission), score in zip(answered, scores, strict=True)
        }
        rate = sum(score >= 1 for score in scores) / len(scores)
        return Finding(
            name=proposal.name,
            description=proposal.description,
            capability=proposal.capability,
            difficulty=min(max(proposal.difficulty, 1), len(DIFFICULTIES)),
            program=proposal.program,
            rate=rate,
            success=rate >= self.threshold,
            examples=tuple(examples.values()),
        )

    async def _submission(self, instructions: str, seed: int) -> str:
        """What follows the last `Answer:` of the subject's reply, or all of it."""
        messages = [Message("system", SUBJECT), Message("user", instructions)]
        reply = await self.subject.generate(messages, seed=seed, task="acd/answer", facts=instructions)
        return reply.text.rpartition("Answer:")[2].strip()


SUBJECT = """\
Solve the task. Think step by step first. Then write "Answer:" and after it your answer alone, complete, as the task
asks for it."""
