"""An agent is a program, `forward(task) -> answer`, that reaches a model only by asking us.

    from broker import ask

    def forward(task):
        return ask({"prompt": task["question"]})["texts"][0]

It runs in a sandbox, without a key and without a network.  What comes back is its raw answers: they are scored
elsewhere, by code that no program can touch.
"""

import asyncio
import hashlib
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiga.fm.messages import FM, Message, ModelFailed
from aiga.sandbox.protocol import Limits, Sandbox

TOGETHER = 16
"""Tasks that share a process."""
USUAL = Limits(seconds=10.0, processes=16 + TOGETHER * (os.cpu_count() or 1))
"""Seconds are for one task; those in which the model answers do not count.  Threads are processes, all of one user."""
LONGEST = 50_000
"""Characters of a prompt."""
LONGEST_FAILURE = 600


class Attempt(NamedTuple):
    """What an agent made of a task."""

    answer: Any = None
    """As the program returned it; None if it failed."""
    failure: str = ""
    """Why there is no answer."""
    calls: int = 0
    """Texts that it asked the model for."""


class Asked(NamedTuple):
    """One request of a program, as `facts` for a proposer without a model."""

    system: str
    prompt: str
    temperature: float | None
    about: Any
    """What we know of the task, which the program does not."""


class Broker:
    """Answers one program about its tasks, and counts what it asks."""

    def __init__(self, fm: FM, seed: int, most: int, *, label: str, about: Mapping[str, Any]) -> None:
        self.fm, self.seed, self.most, self.label, self.about = fm, seed, most, label, about
        self.calls = dict.fromkeys(about, 0)

    async def __call__(self, request: Any) -> dict[str, Any]:
        """`{"texts": [...]}`, or `{"error": sentence}`."""
        wrong = problem(request, self.about)
        if wrong:
            return {"error": wrong}
        task, k = request["task"], request.get("k", 1)
        first = self.calls[task]
        if first + k > self.most:
            return {"error": f"a task has {self.most} calls, {first} of which are used; {k} more were asked for"}
        self.calls[task] += k
        try:
            replies = await asyncio.gather(*(self._reply(request, first + i) for i in range(k)))
        except ModelFailed as error:
            return {"error": f"the model gave no usable reply ({error.kind})"}
        return {"texts": replies}

    async def _reply(self, request: Mapping[str, Any], number: int) -> str:
        system, prompt, temperature = request.get("system", ""), request["prompt"], request.get("temperature")
        said = [Message("system", system)] if system else []
        reply = await self.fm.generate(
            [*said, Message("user", prompt)],
            seed=derived(self.seed, request["task"], number),
            task=self.label,
            facts=Asked(system, prompt, temperature, self.about[request["task"]]),
            temperature=temperature,
        )
        return reply.text


def problem(request: Any, tasks: Mapping[str, Any]) -> str:
    """What is wrong with a program's request; empty: nothing."""
    if not isinstance(request, dict) or not isinstance(request.get("prompt"), str) or not request["prompt"].strip():
        return 'ask for {"prompt": text} and, if wanted, "system", "temperature" and "k"'
    unknown = sorted(request.keys() - {"prompt", "system", "temperature", "k", "task"})
    if unknown:
        return f"unknown: {', '.join(unknown)}; known: prompt, system, temperature, k"
    if request.get("task") not in tasks:
        return "this task is not one of yours"
    if not isinstance(request.get("system", ""), str):
        return "`system` must be a text"
    if any(0xD800 <= ord(character) < 0xE000 for character in request["prompt"] + request.get("system", "")):
        return "prompt or system has half a character"
    if len(request["prompt"]) + len(request.get("system", "")) > LONGEST:
        return f"prompt and system have more than {LONGEST} characters"
    temperature, k = request.get("temperature"), request.get("k", 1)
    if temperature is not None and not (_number(temperature) and 0 <= temperature <= 2):
        return "`temperature` must be a number from 0 to 2"
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        return "`k`, how many texts are wanted, must be a whole number from 1"
    return ""


async def evaluate(
    code: str,
    tasks: Mapping[str, Any],
    *,
    fm: FM,
    sandbox: Sandbox,
    seed: int,
    calls: int = 16,
    together: int = TOGETHER,
    at_once: bool = True,
    limits: Limits = USUAL,
    label: str = "agents/answer",
    about: Mapping[str, Any] | None = None,
) -> list[Attempt]:
    """What a program makes of each task, in order; all processes are in flight.

    Args:
        code: A program with `forward`.
        tasks: What the program is given, JSON, by a name of each task.
        fm: Whom it asks.
        sandbox: Where it runs.
        seed: With a task's name and the number of the call, what the seed of every call is made of.
        calls: Texts that the program may ask for, for each task.
        together: Tasks that share a process; each has the program anew.
        at_once: Whether they are at work at once, so that the model is never waited for; else one after the other.
        limits: Of a process; seconds, however, are for one task, and tasks that share a process share their sum.
        label: The `task` of the calls.
        about: What an offline proposer may know of each task, which the program does not.
    """
    names, about = list(tasks), about or {}
    parts = [names[i : i + together] for i in range(0, len(names), together)]

    async def one(part: list[str]) -> list[Attempt]:
        broker = Broker(fm, seed, calls, label=label, about={name: about.get(name) for name in part})
        threads = len(part) if at_once else 1
        within = limits._replace(seconds=limits.seconds * len(part))
        given = [[name, tasks[name]] for name in part]
        result = await sandbox.call(HARNESS, "run", [code, given, threads], limits=within, serve=broker)
        return attempts(result, broker.calls)

    return [attempt for part in await asyncio.gather(*map(one, parts)) for attempt in part]


def attempts(result: Any, calls: Mapping[str, int]) -> list[Attempt]:
    """A sandbox's result, a program's own words, as attempts."""
    value, n = result.value, len(calls)
    if result.outcome != "ok":
        lines = result.stderr.strip().splitlines()
        why = " ".join([f"the program ended with {result.outcome!r}", *lines[-1:]])
        return [Attempt(None, why[:LONGEST_FAILURE], used) for used in calls.values()]
    pairs = value if isinstance(value, list) and len(value) == n else []
    if not pairs or not all(isinstance(p, list) and len(p) == 2 and isinstance(p[1], str) for p in pairs):
        return [Attempt(None, "the program forged its result", used) for used in calls.values()]
    told = [(answer, failure[:LONGEST_FAILURE]) for answer, failure in pairs]
    return [Attempt(*pair, used) for pair, used in zip(told, calls.values(), strict=True)]


def derived(*parts: Any) -> int:
    """A seed made of several things; the same for the same things."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


HARNESS = """
import builtins
import json
import threading
import traceback
import types
from concurrent.futures import ThreadPoolExecutor

import broker


def connected(task):
    def ask(request):
        reply = broker.ask({**request, "task": task} if isinstance(request, dict) else request)
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply

    module = types.ModuleType("broker")
    module.ask = ask
    return module


def said(error):
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"line {frame.lineno}" for frame in frames if frame.filename == "agent.py"]
    place = lines[-1:] or ([f"line {error.lineno}"] if isinstance(error, SyntaxError) else [])
    return " ".join([f"{type(error).__name__}: {error}"[:500], *place])


def attempt(program, name, task):
    module = connected(name)

    def load(wanted, *arguments):
        return module if wanted == "broker" else builtins.__import__(wanted, *arguments)

    space = {"__name__": "agent", "__builtins__": {**vars(builtins), "__import__": load}}
    try:
        exec(program, space)
        if "forward" not in space:
            return [None, "there is no function `forward`"]
        answer = space["forward"](task)
        json.dumps(answer, allow_nan=False)
    except Exception as error:
        return [None, said(error)]
    return [answer, "" if answer is not None else "`forward` returned None"]


def run(source, tasks, threads):
    try:
        program = compile(source, "agent.py", "exec")
    except Exception as error:
        return [[None, said(error)] for _ in tasks]
    if threads == 1:
        return [attempt(program, name, task) for name, task in tasks]
    threading.stack_size(1 << 20)
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda task: attempt(program, *task), tasks))
"""
"""What runs inside the sandbox; each task has the program anew, with a `broker` of its own."""
