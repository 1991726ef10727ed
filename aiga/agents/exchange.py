"""Between an agent in the sandbox and the model: what it asks is checked, counted and kept, all out of its reach."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiga.agents.domain import Failure
from aiga.agents.program import derived
from aiga.agents.turns import asked, problem, told
from aiga.fm.client import CHARACTERS_A_TOKEN
from aiga.fm.messages import FM, ModelFailed, Reply
from aiga.sandbox.protocol import Limits

REPLY = 4096
"""Tokens of a reply, where the agent does not say."""
PATIENCE = 500
"""Refusals; who asks on is ended."""
NOTED = 50
"""Refusals that the transcript has; more are only counted."""
CAUSES: Mapping[str, Failure] = {
    "context": "context",
    "calls": "budget",
    "tokens": "budget",
    "budget": "budget",
    "model": "model",
}
"""From the kind of a refusal to the failure that comes of it."""


class Allowance(NamedTuple):
    """What one attempt may use.

    Zhang et al. (2025), https://arxiv.org/abs/2505.22954: 30 minutes for a modification.  Zhang et al. (2026),
    Hyperagents: 40 tool calls.  Tokens, dollars and the window are ours.
    """

    calls: int = 40
    """Of the model."""
    tokens: int = 1_000_000
    """In and out, of all calls together."""
    usd: float | None = None
    """None: no cap.  The price of a call is known after it: one call may pass the cap, none is made after it."""
    seconds: float = 1800.0
    """Of the agent itself; the time of the model does not count."""
    window: int = 60_000
    """Tokens that a request may have, by an estimate; a longer one is refused as a model would, by `context`."""
    limits: Limits = Limits(memory_mb=2048, files_mb=64, processes=64)
    """Of the sandbox; its seconds are replaced by those above."""


USUAL = Allowance()


class Pestered(Exception):
    """An agent does not stop to ask for what it may not have."""


class Exchange:
    """Answers one agent: what `broker.ask` calls in the sandbox.

    A call's seed is made of the attempt's, of what is asked, and of how often the same was asked before, so that it
    does not depend on the order in which several threads of an agent come.  They are served one after the other.
    """

    def __init__(self, fm: FM, allowance: Allowance, seed: int, *, label: str, about: Any = None) -> None:
        self.fm, self.allowance, self.seed, self.label, self.about = fm, allowance, seed, label, about
        self.calls, self.tokens, self.usd = 0, 0, 0.0
        self.refused = ""
        """The kind of the last answer's refusal; empty: it was none."""
        self.why = ""
        self._refusals = 0
        self._transcript = Transcript()
        self._before: Counter[str] = Counter()
        self._turn = asyncio.Lock()

    @property
    def transcript(self) -> str:
        """A line of JSON for each question, reply and refusal."""
        return "".join(f"{line}\n" for line in self._transcript.lines)

    @property
    def cause(self) -> Failure:
        """The failure that the last answer is the cause of, if the agent gave up after it."""
        return CAUSES.get(self.refused, "")

    async def __call__(self, request: Any) -> dict[str, Any]:
        """`{"text", "calls", "finish", "usage", "left"}`, or `{"error": sentence, "kind": ...}`."""
        async with self._turn:
            if fault := problem(request):
                return self._refuse("request", fault)
            size = estimate(request)
            if short := self._short(size):
                return self._refuse(*short)
            self._transcript.ask(self.calls, request)
            reply = await self._reply(request, size)
            return self._refuse("model", reply) if isinstance(reply, str) else self._told(reply)

    def _short(self, size: int) -> tuple[str, str] | None:
        """Of what there is too little for a request."""
        most = self.allowance
        if size > most.window:
            return "context", f"the request has about {size} tokens; the window of the model has {most.window}"
        if self.calls >= most.calls:
            return "calls", f"all {most.calls} calls of this attempt are used"
        if self.tokens + size >= most.tokens:
            return "tokens", f"{self.tokens} of {most.tokens} tokens are used; this request has about {size}"
        if most.usd is not None and self.usd >= most.usd:
            return "budget", f"the {most.usd:g} dollars of this attempt are used"
        return None

    async def _reply(self, request: Mapping[str, Any], size: int) -> Reply | str:
        """The model's reply, or why there is none."""
        said = asked(request)._replace(number=self.calls, about=self.about)
        name = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        self.calls, self._before[name] = self.calls + 1, self._before[name] + 1
        try:
            reply = await self.fm.generate(
                said.messages,
                seed=derived(self.seed, name, self._before[name]),
                task=self.label,
                facts=said,
                tools=said.tools or None,
                temperature=said.temperature,
                max_tokens=min(said.max_tokens or REPLY, self.allowance.tokens - self.tokens - size),
            )
        except ModelFailed as error:
            return f"the model gave no usable reply ({error.kind})"
        self.tokens, self.usd = self.tokens + sum(reply.usage), self.usd + reply.cost
        return reply

    def _told(self, reply: Reply) -> dict[str, Any]:
        self.refused = self.why = ""
        answer = told(reply)
        self._transcript.reply(self.calls - 1, answer)
        left = {"calls": self.allowance.calls - self.calls, "tokens": max(0, self.allowance.tokens - self.tokens)}
        return answer | {"left": left}

    def _refuse(self, kind: str, why: str) -> dict[str, Any]:
        self.refused, self.why, self._refusals = kind, why, self._refusals + 1
        if self._refusals > PATIENCE:
            self.refused = ""  # it did not give up
            raise Pestered(f"it was refused {PATIENCE} times and asked again")
        answer = {"error": why, "kind": kind} | ({"window": self.allowance.window} if kind == "context" else {})
        if self._refusals <= NOTED:
            self._transcript.refusal(answer)
        return answer


class Transcript:
    """What was said, without saying twice what a request repeats of the one before.

    `{"call": 3, "kept": 7, "messages": [...]}`: the first 7 messages are those of before, the last reply among them.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._messages: list[Any] = []
        self._others: dict[str, Any] = {}

    def ask(self, number: int, request: Mapping[str, Any]) -> None:
        """A question that goes to the model."""
        messages = [{"calls": [], "answers": "", **message} for message in request["messages"]]
        same = [now == before for now, before in zip(messages, self._messages, strict=False)]
        kept = [*same, False].index(False)
        others = {key: value for key, value in request.items() if key != "messages"}
        added = {} if others == self._others else others
        self._write({"call": number, "kept": kept, "messages": request["messages"][kept:], **added})
        self._messages, self._others = messages, others

    def reply(self, number: int, answer: Mapping[str, Any]) -> None:
        """What the model answered."""
        self._write({"reply": number, **answer})
        self._messages.append({"role": "assistant", "text": answer["text"], "calls": answer["calls"], "answers": ""})

    def refusal(self, answer: Mapping[str, Any]) -> None:
        """That the model was not asked, or did not answer."""
        self._write(answer)

    def _write(self, line: Mapping[str, Any]) -> None:
        self.lines.append(json.dumps(line, ensure_ascii=False).encode(errors="replace").decode())


def estimate(request: Mapping[str, Any]) -> int:
    """Tokens of a request, rather too many than too few."""
    counted = [request["messages"], request.get("tools", [])]
    return len(json.dumps(counted, ensure_ascii=False).encode()) // CHARACTERS_A_TOKEN + 1
