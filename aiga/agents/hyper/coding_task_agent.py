"""The task agent for tasks that are folders of files: a conversation with tools in that folder."""

import agent  # pyright: ignore[reportMissingImports]: it lies beside this file where this runs


def solve(task):
    """Do what `task["instruction"]` asks for, in the current folder; {"response": a sentence on how it went}."""
    return {"response": agent.solve(task)}
