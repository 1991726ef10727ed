"""How to empty a folder in which a hostile program has written; also read inside the sandbox, so it imports little."""

import itertools
import os


def wipe(folder: str) -> None:
    """Remove all that is in `folder`; nothing may write to it meanwhile.

    Trees may be deeper than a path can be long, and locked: each folder found is unlocked, moved up to the top, and
    emptied there.  Links are removed, never followed.
    """
    numbers = itertools.count()
    folders = [entry for entry in os.listdir(folder) if not _removed(os.path.join(folder, entry))]
    while folders:
        inner = os.path.join(folder, folders.pop())
        for name in os.listdir(inner):
            path = os.path.join(inner, name)
            if not _removed(path):
                moved = _unused(folder, numbers)
                os.rename(path, os.path.join(folder, moved))
                folders.append(moved)
        os.rmdir(inner)


def _removed(path: str) -> bool:
    """Whether it was no folder, and is gone; a folder is unlocked."""
    if os.path.isdir(path) and not os.path.islink(path):
        os.chmod(path, 0o700)
        return False
    os.unlink(path)
    return True


def _unused(folder: str, numbers: "itertools.count[int]") -> str:
    return next(name for name in map("wiped {}".format, numbers) if not os.path.lexists(os.path.join(folder, name)))
