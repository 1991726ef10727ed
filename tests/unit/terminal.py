import contextlib
import os
import pty
import sys
import threading

import pytest


@contextlib.contextmanager
def person(*keys):
    """Somebody at a pseudo-terminal, in place of standard input and output, who presses `keys`, some per question.

    Gives the list of what was on the screen.
    """
    keyboard, screen = pty.openpty()
    seen = []

    def watch_and_type():
        for pressed in keys:
            seen.append("")
            while "to go on later" not in seen[-1]:
                seen[-1] += os.read(keyboard, 100_000).decode(errors="replace")
            os.write(keyboard, pressed)

    typist = threading.Thread(target=watch_and_type, daemon=True)
    typist.start()
    with os.fdopen(screen, "r+b", buffering=0) as end, os.fdopen(os.dup(screen), "w", encoding="utf-8") as output:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", end)
            patch.setattr(sys, "stdout", output)
            patch.setenv("COLUMNS", "80")
            patch.setenv("LINES", "25")
            yield seen
        typist.join(timeout=60)
        assert not typist.is_alive(), "the program never asked what was to be answered"
    os.close(keyboard)
