"""The meta agent: a conversation with tools, in which a copy of this whole program may be changed.

`modify(task)` is called once for each new version.  The current folder is the copy; `task["instruction"]` says what is
wanted, and `task["material"]` is a folder with what is known of the versions so far.
"""

import agent  # pyright: ignore[reportMissingImports]: it lies beside this file where this runs

SYSTEM = """\
You improve a program by changing its files, which are in the current folder, with the tools that you are given; nobody
answers questions. First read what is known of earlier versions, and find out what their failures have in common. Then
change the program so that it does better on tasks that nobody has seen. Check that every file still compiles. Call
`finish` when you are done."""


def modify(task):
    """Change the program in the current folder; a sentence on what was done."""
    return agent.solve(task, SYSTEM)
