"""How to empty a folder in which a hostile program has written; also read inside the sandbox, so it imports little."""

import contextlib
import os
import stat
from typing import Any

Standing = dict[str, Any]
"""Folders that stay, by name, with those that stay in them; None: another file system, which is left alone."""


def wipe(folder: str, standing: Standing | None = None) -> None:
    """Remove all that is in `folder` but for what was `standing`; nothing may write to it meanwhile.

    Walks step by step, since trees may be deeper than a path can be long. Locked folders are unlocked, links removed.
    """
    here = os.open(folder, os.O_RDONLY)
    kept = standing or {}
    trail = [("", kept, _emptied(here, kept))]
    try:
        while trail:
            name, kept, folders = trail[-1]
            if folders:
                inner = folders.pop()
                here = _step(here, inner)
                below = kept.get(inner, {})
                trail.append((inner, below, _emptied(here, below)))
                continue
            trail.pop()
            if trail:
                here = _step(here, "..")
                if name not in trail[-1][1]:
                    os.rmdir(name, dir_fd=here)
    finally:
        os.close(here)


def stands(folder: str) -> Standing:
    """What is in a folder before any program: where mounts are, if our files lie below it."""
    device = os.stat(folder).st_dev
    inner = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    return {entry.name: stands(entry.path) if entry.stat().st_dev == device else None for entry in inner}


def _step(here: int, name: str) -> int:
    there = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
    os.close(here)
    return there


def _emptied(here: int, kept: Standing) -> list[str]:
    """Remove what is no folder; the names of the folders that are to be entered, unlocked."""
    folders = []
    for name in os.listdir(here):
        if not stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=here)
        elif kept.get(name, {}) is not None:
            with contextlib.suppress(PermissionError):  # modes may be out of reach; what matters fails later
                os.chmod(name, 0o700, dir_fd=here)
            folders.append(name)
    return folders
