"""A coding agent: works in the current folder, with tools, until the model says that the task is done."""

import tools
import window
from broker import ask  # pyright: ignore[reportMissingImports]: it is there where this runs

TURNS = 40
RETRIES = 2
"""Of a request that the model gave no usable reply to."""

SYSTEM = """\
You are a careful programmer. You work on the files in the current folder by calling tools; nobody answers questions.
First look at the files that matter. Then make the smallest change that does what is asked, everywhere it is needed.
Then check it: run the tests that are there, or a short script of your own that you remove again.
Do not change tests to make them pass, unless you are asked to. Call `finish` when the work is done."""


def solve(task, system=SYSTEM):
    """Do what `task["instruction"]` asks for, in the current folder; a sentence on how it went."""
    conversation = window.Conversation(system, opening(task))
    for _ in range(TURNS):
        reply = answered(conversation)
        if "error" in reply:
            return f"stopped ({reply['kind']}): {reply['error']}"
        conversation.said(reply)
        if not reply["calls"]:
            return reply["text"]
        summary = None
        for call in reply["calls"]:
            if call["name"] == "finish":
                summary = str(call["arguments"].get("summary", ""))
            conversation.result(call, tools.run(call["name"], call["arguments"]))
        if summary is not None:
            return summary
    return f"stopped after {TURNS} turns"


def opening(task):
    """What the model is told first."""
    lines = [task["instruction"]]
    if task.get("material"):
        lines.append(f"More to read is in the folder {task['material']}; do not change it.")
    lines.append(f"The current folder has:\n{tools.run('shell', {'command': 'ls -A'})}")
    return "\n\n".join(lines)


def answered(conversation):
    """The reply of the model; asked again with less if it was too much, and once more if nothing usable came."""
    failures = 0
    while True:
        reply = ask({"messages": conversation.messages(), "tools": tools.DESCRIPTIONS})
        kind = reply.get("kind")
        if kind == "context" and conversation.shrink():
            continue
        if kind == "model" and failures < RETRIES:
            failures += 1
            continue
        return reply
