"""A person at the terminal who answers with single keys."""

import contextlib
import os
import select
import sys
import termios
from collections.abc import Iterator

QUIT = ("q", "\x03", "\x04", "")
"""Also Ctrl-C, Ctrl-D, and a terminal that has gone."""


def attended() -> bool:
    """Whether somebody can be asked: standard input and output are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def key(patience: float | None = None) -> str | None:
    """The next key, in lower case; None if there is none within so many seconds."""
    if patience is not None and not select.select([sys.stdin], [], [], patience)[0]:
        return None
    return os.read(sys.stdin.fileno(), 1).decode(errors="replace").lower()


@contextlib.contextmanager
def keys() -> Iterator[None]:
    """Keys are read one by one, unseen, Ctrl-C as well; what was typed before is not lost."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    during = termios.tcgetattr(descriptor)
    during[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
    termios.tcsetattr(descriptor, termios.TCSANOW, during)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


def forget() -> None:
    """Drop what was typed before it was asked for."""
    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
