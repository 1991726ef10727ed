"""The agents that lines of descent begin with: files beside this one, never imported here."""

from pathlib import Path

from aiga.agents.domain import Files


def first() -> Files:
    """A coding agent with a shell and an editor."""
    return packaged("first")


def hyper(coding: bool = False) -> Files:
    """A task agent and a meta agent in one program; `coding`: its tasks are folders, which the former works in."""
    files = {**first(), **packaged("hyper")}
    worker = files.pop("coding_task_agent.py")
    return {**files, "task_agent.py": worker} if coding else files


def packaged(name: str) -> Files:
    """The files of a folder beside this file."""
    root = Path(__file__).parent / name
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
