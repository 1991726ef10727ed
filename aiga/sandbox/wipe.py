"""How to empty a folder in which a hostile program has written; also read inside the sandbox, so it imports little."""

import contextlib
import os
import stat


def wipe(folder: str) -> None:
    """Remove all that is in `folder`; nothing may write to it meanwhile.

    Walks step by step, since trees may be deeper than a path can be long. Locked folders are unlocked, links removed.
    """
    here = os.open(folder, os.O_RDONLY)
    trail = [("", _emptied(here))]
    try:
        while trail:
            name, folders = trail[-1]
            if folders:
                here = _step(here, folders[-1])
                trail.append((folders.pop(), _emptied(here)))
                continue
            trail.pop()
            if trail:
                here = _step(here, "..")
                os.rmdir(name, dir_fd=here)
    finally:
        os.close(here)


def _step(here: int, name: str) -> int:
    there = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
    os.close(here)
    return there


def _emptied(here: int) -> list[str]:
    """Remove what is no folder; the names of the folders that are left, unlocked."""
    folders = []
    for name in os.listdir(here):
        if not stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=here)
            continue
        with contextlib.suppress(PermissionError):  # modes may be out of reach; what matters fails later
            os.chmod(name, 0o700, dir_fd=here)
        folders.append(name)
    return folders
