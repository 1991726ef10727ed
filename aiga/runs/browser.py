"""The system's Chromium, Chrome or Edge, without a window: it shows one page and is asked about it.

Requests and answers of the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/) pass through a pair
of pipes, so that nobody else can reach the browser.  It has a profile of its own that is thrown away.
"""

import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

from aiga.core.errors import UsageError

NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge",
)  # fmt: skip
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
OPTIONS = (
    "--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--disable-sync", "--window-size=900,1200",
)  # fmt: skip
READY = "document.readyState == 'complete' && document.documentElement.dataset.drawn"
LIMIT = 180.0
"""Seconds for one page."""


def found() -> str | None:
    """The program, if there is one."""
    return next((path for name in (*NAMES, *PLACES) if (path := shutil.which(name))), None)


class Page:
    """A page that the browser shows."""

    def __init__(self, program: str, receive: int, send: int) -> None:
        self._program, self._receive, self._send = program, receive, send
        self._numbers, self._read = itertools.count(1), b""
        self._deadline = time.monotonic() + LIMIT
        self._session: dict[str, str] = {}
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to a request."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **self._session}
        with contextlib.suppress(BrokenPipeError):  # it has ended: reading says so
            os.write(self._send, json.dumps(message).encode() + b"\0")
        while (answer := json.loads(self._message())).get("id") != number:  # events are of no interest
            pass
        if "result" not in answer:
            raise UsageError(f"{self._program} refused `{method}` ({answer.get('error')}): give --format html.")
        return answer["result"]

    def value(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def close(self) -> None:
        self._session = {}
        self.ask("Browser.close")

    def _message(self) -> bytes:
        while b"\0" not in self._read:
            left = self._deadline - time.monotonic()
            if left <= 0 or not select.select([self._receive], [], [], left)[0]:
                raise UsageError(f"{self._program} took over {LIMIT:.0f} seconds for the page: give --format html.")
            part = os.read(self._receive, 1 << 20)
            if not part:
                raise UsageError(f"{self._program} ended before it showed the page: give --format html.")
            self._read += part
        message, _, self._read = self._read.partition(b"\0")
        return message


@contextlib.contextmanager
def showing(program: str, text: str) -> Iterator[Page]:
    """A page of our own, when its figures are drawn."""
    with tempfile.TemporaryDirectory(prefix="aiga-page-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "page.html"
        file.write_text(text, encoding="utf-8")
        with _started(program, Path(folder) / "profile") as page:
            page.ask("Page.navigate", url=file.as_uri())
            while not (state := page.value(READY)):
                time.sleep(0.05)
            if state != "all":
                raise UsageError(f"{program} cannot draw the figures ({state}): give --format html.")
            yield page


@contextlib.contextmanager
def _started(program: str, profile: Path) -> Iterator[Page]:
    options = [*OPTIONS, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with contextlib.ExitStack() as stack:
        theirs, send = map(stack.enter_context, _pipe())
        receive, answers = map(stack.enter_context, _pipe())
        script = f'exec "$0" "$@" 3</dev/fd/{theirs.fileno()} 4>/dev/fd/{answers.fileno()}'  # where it expects them
        process = subprocess.Popen(
            ["/bin/sh", "-c", script, program, *options, "about:blank"],
            pass_fds=(theirs.fileno(), answers.fileno()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        answers.close()  # so that the end of theirs is seen
        try:
            page = Page(program, receive.fileno(), send.fileno())
            yield page
            page.close()
            process.wait(10)
        finally:
            process.kill()
            process.wait()


def _pipe() -> tuple[FileIO, FileIO]:
    """Two ends, whose numbers are in nobody's way."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return FileIO(high[0], "rb"), FileIO(high[1], "wb")
