"""The control without a foundation model: grammars that propose, seeded and free.

A system brings a small proposer for each of its tasks, and uses them when no model is given.  This is a model of
nothing and reports say so: "no foundation model was used".
"""

import dataclasses
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiga.fm.messages import Message, Reply, Tool

Proposer = Callable[[random.Random, Any], Any]
"""From a seeded generator and the call's `facts` to a text, an instance of the call's schema, or a whole `Reply`."""


class Offline:
    """An `FM` that answers from a proposer for each task."""

    name = "offline"

    def __init__(self, proposers: Mapping[str, Proposer]) -> None:
        self.proposers = dict(proposers)

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        seed: int,
        task: str = "",
        facts: Any = None,
        schema: type | None = None,
        tools: Sequence[Tool] | None = None,
        images: Sequence[bytes] | None = None,
        logprobs: int | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> Reply:
        """The answer of the task's proposer; the same for the same seed, task and facts."""
        del messages, tools, images, logprobs, temperature, max_tokens
        answer = self.proposers[task](random.Random(f"{seed} {task}"), facts)
        if isinstance(answer, Reply):
            return answer
        if schema is None:
            return Reply(answer, model=self.name)
        return Reply(json.dumps(dataclasses.asdict(answer)), answer, model=self.name)
