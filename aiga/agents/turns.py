"""A conversation as an agent writes it: JSON from a program that nobody has read, checked before anything else sees it.

    {"messages": [{"role": "user", "text": "..."},
                  {"role": "assistant", "text": "", "calls": [{"id": "1", "name": "shell", "arguments": {...}}]},
                  {"role": "tool", "text": "...", "answers": "1"}],
     "tools": [{"name": "shell", "description": "...", "parameters": {a JSON schema}}],
     "temperature": 0.5, "max_tokens": 1000}

Only `messages` must be there, and of a message only `role` and `text`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiga.agents.schemas import plain
from aiga.fm.messages import Message, Reply, Tool, ToolCall

FORM = 'ask for {"messages": [{"role": ..., "text": ...}, ...]} and, if wanted, "tools", "temperature", "max_tokens"'
FIELDS = {"": ("role", "text"), "assistant": ("role", "text", "calls"), "tool": ("role", "text", "answers")}
ROLES = ("system", "user", "assistant", "tool")
DEEP = 32
"""Lists in lists."""
MOST_TOOLS = 64
LONGEST_REPLY = 32_768
"""Tokens."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


class Asked(NamedTuple):
    """A request, and what else an offline proposer may go by, as its `facts`."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    temperature: float | None = None
    max_tokens: int | None = None
    number: int = 0
    """Of the call, from 0."""
    about: Any = None
    """What we know of the task, which the agent does not."""


def asked(request: Mapping[str, Any]) -> Asked:
    """A request in which `problem` found nothing."""
    messages = tuple(
        Message(m["role"], m["text"], tuple(ToolCall(**call) for call in m.get("calls", ())), m.get("answers", ""))
        for m in request["messages"]
    )
    tools = tuple(Tool(**tool) for tool in request.get("tools", ()))
    return Asked(messages, tools, request.get("temperature"), request.get("max_tokens"))


def told(reply: Reply) -> dict[str, Any]:
    """A reply as an agent gets it; whatever the model gave, the agent may say it again."""
    calls = [
        {"id": call.id[:200], "name": call.name[:200] or "unnamed", "arguments": _told(call.arguments)}
        for call in reply.calls
    ]
    if len({call["id"] for call in calls} - {""}) < len(calls):
        calls = [{**call, "id": f"call_{number}"} for number, call in enumerate(calls)]
    usage = {"in": reply.usage.tokens_in, "out": reply.usage.tokens_out}
    return {"text": reply.text, "calls": calls, "finish": reply.finish, "usage": usage}


def _told(arguments: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(arguments)
    return {"unreadable": str(given).encode(errors="replace").decode()} if unclean([[[[given]]]]) else given


def problem(request: Any) -> str:
    """What is wrong with a request; empty: nothing."""
    if not isinstance(request, dict) or not isinstance(request.get("messages"), list) or not request["messages"]:
        return FORM
    if unclean(request):
        return f"the request {unclean(request)}"
    if unknown := sorted(request.keys() - {"messages", "tools", "temperature", "max_tokens"}):
        return f"unknown: {', '.join(unknown)[:200]}; {FORM}"
    return _settings(request) or _tools(request.get("tools", [])) or _messages(request["messages"])


def unclean(value: Any) -> str:
    """Why a value cannot be kept as text, as the end of a sentence; empty: it can."""
    if _deep(value, DEEP):
        return f"has more than {DEEP} lists in lists"
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return "has half a character"
    except (TypeError, ValueError):
        return "is no JSON"
    return ""


def _deep(value: Any, left: int) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left == 0 or any(_deep(part, left - 1) for part in parts if isinstance(part, dict | list))


def _settings(request: Mapping[str, Any]) -> str:
    temperature, most = request.get("temperature"), request.get("max_tokens")
    if temperature is not None and not (_number(temperature, int | float) and 0 <= temperature <= 2):
        return "`temperature` must be a number from 0 to 2"
    if most is not None and not (_number(most, int) and 1 <= most <= LONGEST_REPLY):
        return f"`max_tokens` must be a whole number from 1 to {LONGEST_REPLY}"
    return ""


def _number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _tools(tools: Any) -> str:
    if not isinstance(tools, list) or len(tools) > MOST_TOOLS:
        return f"`tools` must be a list of at most {MOST_TOOLS}"
    for tool in tools:
        if not isinstance(tool, dict) or set(tool) != {"name", "description", "parameters"}:
            return 'a tool is {"name": ..., "description": ..., "parameters": ...}'
        if not isinstance(tool["name"], str) or not NAME.fullmatch(tool["name"]):
            return "the name of a tool has 1 to 64 letters, digits, _ or -, and begins with no digit"
        if not isinstance(tool["description"], str):
            return f"the description of the tool {tool['name']} must be a text"
        if not plain(tool["parameters"]) or tool["parameters"].get("type") != "object":
            return f'the parameters of the tool {tool["name"]} are no plain JSON schema {{"type": "object", ...}}'
    if len({tool["name"] for tool in tools}) < len(tools):
        return "two tools have one name"
    return ""


def _messages(messages: Sequence[Any]) -> str:
    """Each message by itself, and that all calls are answered where providers look for the answers."""
    open_calls: set[str] = set()
    for place, message in enumerate(messages):
        if fault := _message(message):
            return f"message {place}: {fault}"
        if message["role"] == "tool":
            if message["answers"] not in open_calls:
                return f"message {place}: it answers no open call; `answers` is the id of a call of the message before"
            open_calls.remove(message["answers"])
        elif open_calls:
            return f"message {place}: calls before it have no answer: give one message of `tool` for each"
        open_calls |= {call["id"] for call in message.get("calls", ())}
    if open_calls or messages[-1]["role"] not in ("user", "tool"):
        return "the last message must be of `user`, or of `tool` with all calls answered"
    return ""


def _message(message: Any) -> str:
    if not isinstance(message, dict) or message.get("role") not in ROLES or not isinstance(message.get("text"), str):
        return f'it must be {{"role": ..., "text": ...}}, and the role one of {", ".join(ROLES)}'
    role, text, calls = message["role"], message["text"], message.get("calls", [])
    if unknown := sorted(message.keys() - set(FIELDS.get(role, FIELDS[""]))):
        return f"unknown for {role}: {', '.join(unknown)[:200]}"
    if role == "tool":
        return "" if isinstance(message.get("answers"), str) else "`answers` must be the id of a call"
    if not isinstance(calls, list) or not all(map(_is_call, calls)):
        return 'a call is {"id": text, "name": text, "arguments": {...}}'
    if len({call["id"] for call in calls}) < len(calls):
        return "two calls have one id"
    return "" if text.strip() or calls else "it says nothing"


def _is_call(call: Any) -> bool:
    if not isinstance(call, dict) or set(call) != {"id", "name", "arguments"}:
        return False
    named = all(isinstance(call[key], str) and 0 < len(call[key]) <= 256 for key in ("id", "name"))
    return named and isinstance(call["arguments"], dict)
