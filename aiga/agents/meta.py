"""A meta agent writes agents: what it is told, and the conversation in which a proposal comes about."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from aiga.agents.grammar import Facts
from aiga.agents.seeds import Proposal
from aiga.fm.messages import FM, Message

TEMPERATURE = 0.8


class Entry(NamedTuple):
    """An agent of the archive."""

    name: str
    thought: str
    code: str
    fitness: float
    interval: tuple[float, float]
    calls: float

    def shown(self) -> str:
        low, high = self.interval
        fitness = f"95% bootstrap interval of accuracy ({low:.1%}, {high:.1%}), mean {self.fitness:.1%}"
        said = [f"## {self.name}", f"Thought: {self.thought}", f"Fitness: {fitness}; {self.calls:.1f} texts a task"]
        return "\n".join([*said, f"```python\n{self.code.strip()}\n```"])


class Conversation:
    """One proposal's conversation; each turn sees those before it."""

    def __init__(self, fm: FM, calls: int, example: str, known: Sequence[Entry]) -> None:
        archive = "\n\n".join(entry.shown() for entry in known) or "(not shown)"
        briefing = BRIEFING.format(calls=calls, example=example, archive=archive)
        self.fm = fm
        self.facts = Facts(tuple(known), calls)
        self.said = [Message("system", SYSTEM), Message("user", briefing)]

    async def propose(self, seed: int) -> Proposal:
        """The first draft."""
        return await self._turn("adas/propose", seed)

    async def reflect(self, proposal: Proposal, number: int, seed: int) -> Proposal:
        """The draft after one of the two reflections."""
        self.said.append(Message("user", REFLECTIONS[number]))
        return await self._turn("adas/reflect", seed, proposal)

    async def mend(self, proposal: Proposal, failure: str, seed: int) -> Proposal:
        """The program after it was seen to fail."""
        self.said.append(Message("user", MEND.format(failure=failure)))
        return await self._turn("adas/mend", seed, proposal)

    async def _turn(self, task: str, seed: int, proposal: Proposal | None = None) -> Proposal:
        facts = self.facts._replace(proposal=proposal)
        options: dict[str, Any] = {"seed": seed, "task": task, "facts": facts, "schema": Proposal}
        reply = await self.fm.generate(list(self.said), temperature=TEMPERATURE, **options)
        self.said.append(Message("assistant", reply.text))
        return reply.parsed


SYSTEM = (
    "You invent agents: programs that solve tasks by asking a language model, the worker. You know how such programs "
    "are built, and look for designs that nobody has tried."
)
BRIEFING = """Write an agent that solves more tasks than those of the archive below.

An agent is a Python program (standard library only) with a function `forward(task)` that returns its answer; \
`task["question"]` is the question. It asks the worker like this:

```python
from broker import ask

texts = ask({{"prompt": "...", "system": "...", "temperature": 0.7, "k": 3}})["texts"]
```

`prompt` is needed, the rest is not; `k` is how many texts come back. A task has {calls} texts in all; who asks for \
more gets an exception. The program runs alone: no network, no files, nothing but the worker. Only what `forward` \
returns counts.

A task looks like this:

{example}

# The archive, and how its agents did

{archive}

# Your reply

`thought`: what you learned from the archive and what your design makes of it. `name`: a short name of its own. \
`code`: the whole program. `based_on`: names of the agents that it builds on, separated by semicolons, or nothing."""
REFLECTIONS = (
    "Look at your proposal again. Is it more than a variation of what the archive has? Is there a mistake in it, or a "
    "part without effect? Reply with a better one, or with the same if it cannot be improved.",
    "Read the program line by line, as the interpreter will: does it import `ask` from `broker`, stay within the "
    "number of texts, take the answer out of the worker's text, also if that is not as expected, and return it? Reply "
    "with the final program.",
)
MEND = "The program failed: {failure}\n\nFind the cause, and reply with a mended program."
