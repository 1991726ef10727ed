"""Asks a model two questions a step, and a program one: the smallest system that uses the world outside."""

import asyncio
from typing import Any, NamedTuple

import jax
import numpy as np

from aiga.core.texts import Memory, Recent
from aiga.fm.messages import Message
from aiga.fm.offline import Offline

ABOUT = {"papers": (), "pillar": "", "needs": ()}
PROGRAM = "def main(x):\n    return 2 * x"


class Asked(NamedTuple):
    """How many replies came, and the last."""

    replies: Any
    last: Any


class Asker:
    """Asks the model, and doubles the length of what it says in the sandbox, if it has one."""

    def __init__(self, fm, sandbox, texts, second, finished):
        self.fm, self.sandbox, self.texts, self.second, self.finished = fm, sandbox, texts, second, finished

    def init(self, key):
        return Asked(np.zeros((), int), np.zeros(16, np.uint8))

    async def step(self, key, state):
        seeds = jax.random.randint(key, (2,), 0, 2**30).tolist()
        first = Message("user", f"question {int(state.replies)}")
        messages = [first, Message("user", self.second) if self.second else first]
        asked = zip(messages, seeds, strict=True)
        calls = (self.fm.generate([message], seed=seed, task="toy/ask", max_tokens=50) for message, seed in asked)
        replies = await asyncio.gather(*calls)
        length = len(replies[1].text)
        doubled = (await self.sandbox.call(PROGRAM, arguments=[length])).value if self.sandbox else 2 * length
        task, before = f"step {int(state.replies)}", self.finished.get(f"step {int(state.replies)}")
        self.finished.put(task, before or replies[0].text)
        info = {
            "toy/before": before or "",
            "toy/said": replies[0].text,
            "toy/doubled": doubled,
            "toy/cached": sum(r.cached for r in replies),
        }
        return Asked(state.replies + 2, self.texts.put(replies[1].text)), info


def make(programs: bool = False, second: str = "", *, fm=None, sandbox=None, texts=None, finished=None):
    """Ask.

    Args:
        programs: Whether to use the sandbox.
        second: The second question, if it is not the first again.
    """
    fm = fm or Offline({"toy/ask": lambda random, facts: f"grammar {random.random():.3f}"})
    return Asker(fm, sandbox if programs else None, texts or Memory(), second, finished or Recent())


PAPER: dict[str, Any] = {}
