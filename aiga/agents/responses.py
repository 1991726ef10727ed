"""Agents that are asked for a response: `{"response": ...}` is what they return for a task."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiga.agents.attempt import work
from aiga.agents.domain import Attempt, Failure, Files, Outcome
from aiga.agents.exchange import Allowance
from aiga.agents.program import derived
from aiga.core.texts import Finished
from aiga.fm.messages import FM
from aiga.sandbox.protocol import Limits, Sandbox

SHORT = Allowance(calls=8, tokens=200_000, seconds=60.0, limits=Limits(memory_mb=1024, files_mb=16, processes=16))
"""For tasks whose response is a few words."""
LONGEST = 4_000
"""Characters of what is handed in that are kept."""
FORM = 'return {"response": ...} from the entry'


class Response(NamedTuple):
    """What an agent said to a task."""

    attempt: Attempt
    text: str = ""
    """Empty if there is none that is a text."""
    failure: Failure = ""
    why: str = ""

    def outcome(self, task: str, score: float = 0.0, *, verdict: str = "", failure: Failure = "") -> Outcome:
        """How it did, with a score and a verdict that are not its own."""
        attempt, answer = self.attempt, self.attempt.answer
        said = self.text or ("" if answer is None else shown(answer))
        failure = self.failure or failure
        return Outcome(task, score, said[:LONGEST], attempt.transcript, verdict, failure, attempt.usd, attempt.tokens)


class Asking(NamedTuple):
    """Where agents are asked, and what they may use."""

    fm: FM
    sandbox: Sandbox
    label: str
    """The `task` of their calls."""
    entry: str = "task_agent:solve"
    allowance: Allowance = SHORT
    finished: Finished | None = None
    """Where attempts are kept."""
    at_once: int = 8
    """Attempts of one agent that are under way together."""

    async def responses(self, agent: Files, tasks: Mapping[str, Mapping[str, Any]], *, seed: int) -> list[Response]:
        """What an agent says to each task, given by name as the dict that it sees; in their order."""
        room = asyncio.Semaphore(self.at_once)

        async def one(name: str) -> Response:
            async with room:
                attempt = await work(
                    agent,
                    self.entry,
                    tasks[name],
                    {},
                    fm=self.fm,
                    sandbox=self.sandbox,
                    allowance=self.allowance,
                    seed=derived(seed, name),
                    label=self.label,
                    wanted="answer",
                    finished=self.finished,
                )
            return responded(attempt)

        return list(await asyncio.gather(*map(one, tasks)))


def responded(attempt: Attempt) -> Response:
    """The response in an attempt."""
    if attempt.failure:
        return Response(attempt, failure=attempt.failure, why=attempt.why)
    answer = attempt.answer
    if not isinstance(answer, dict) or "response" not in answer:
        return Response(attempt, failure="format", why=f"the answer is {shown(answer)[:200]}; {FORM}")
    if not isinstance(answer["response"], str):
        why = f"the response is {shown(answer['response'])[:200]}; it must be a text"
        return Response(attempt, failure="format", why=why)
    return Response(attempt, answer["response"])


def shown(value: Any) -> str:
    """JSON as a text."""
    return json.dumps(value, ensure_ascii=False)
