"""What a program makes of hidden cases: it gives raw values in the sandbox, and we compare them here.

The cases go into the sandbox without what is expected.  A program shares its interpreter with the driver below, and can
make it say anything: all that it gains is another wrong value.  It can find what it is asked, never what is right.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiga.data.polyglot import Case, Step
from aiga.sandbox.protocol import Limits, Sandbox

PATIENCE = 4
"""Seconds of processor time of a case; of the clock, three times as many, so that a busy machine changes no score."""
LIMITS = Limits(seconds=60.0, output_kb=1024)
SHOWN = 5
"""Wrong cases of a verdict."""
LONGEST = 400
"""Characters of a value in a verdict."""
LARGEST = 1e300
"""A whole number beyond is no float."""
WORK = "work"


class Verdict(NamedTuple):
    """How some files did; only for `search` may an agent ever read the text."""

    share: float
    """Of what was checked, how much was right."""
    text: str
    """What was wrong, and what would have been right."""

    @property
    def score(self) -> float:
        """All or nothing, as in the benchmarks."""
        return float(self.share == 1.0)


async def judged(sandbox: Sandbox, files: Mapping[str, bytes], cases: Sequence[Case]) -> Verdict:
    """The verdict on the files of a program."""
    wrong = list(filter(None, await faults(sandbox, files, cases)))
    lines = [f"{len(cases) - len(wrong)} of {len(cases)} hidden cases are right."]
    lines += [f"\nWrong:\n{fault}" for fault in wrong[:SHOWN]]
    lines += [f"\nand {len(wrong) - SHOWN} more."] * (len(wrong) > SHOWN)
    return Verdict(1 - len(wrong) / len(cases), "\n".join(lines))


async def faults(sandbox: Sandbox, files: Mapping[str, bytes], cases: Sequence[Case]) -> list[str]:
    """For each case what is wrong with what came of it, in words; empty: it is right."""
    asked = [[{"does": step.does, "keep": step.keep, "checked": step.checked} for step in case] for case in cases]
    inside = {f"{WORK}/{name}": content for name, content in files.items()}
    inside |= {"driver.py": DRIVER.encode(), "cases.json": json.dumps(asked).encode()}
    words = ["python", "-I", "-B", "driver.py", str(PATIENCE)]
    result = await sandbox.run(words, files=inside, limits=LIMITS)
    return [_fault(case, given) for case, given in zip(cases, _given(result.stdout, len(cases)), strict=True)]


def _given(stdout: str, cases: int) -> list[Any]:
    """For each case what came out, the steps' values; what cannot be read is None."""
    given: list[Any] = [None] * cases
    for line in stdout.splitlines():
        try:
            number, steps = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            continue
        if isinstance(number, int) and 0 <= number < cases and isinstance(steps, list | str):
            given[number] = steps
    return given


def _fault(case: Case, given: Any) -> str:
    """The first wrong step of a case and all before it."""
    if not isinstance(given, list):
        before = "; ".join(step.text for step in case)
        return f"  {before}\n  {given[:LONGEST] if isinstance(given, str) else 'there was no result'}"
    for k, step in enumerate(case):
        found = given[k] if k < len(given) and isinstance(given[k], dict) else {"raised": ["nothing was given"]}
        if fault := _wrong(step, found):
            return "".join(f"  {done.text}\n" for done in case[: k + 1]) + f"  {fault}"
    return ""


def _wrong(step: Step, found: Mapping[str, Any]) -> str:
    """What is wrong with what came of a step; empty: nothing."""
    raised = found.get("raised")
    names = [name for name in raised if isinstance(name, str)] if isinstance(raised, list) else []
    if step.raises:
        if step.raises in names:
            return ""
        return f"should raise {step.raises}; it {_said(found)}"
    if names:
        return f"should be {_short(step.want)}; it {_said(found)}" if step.checked else f"it {_said(found)}"
    if step.checked and not ("value" in found and same(step.want, found["value"])):
        return f"should be {_short(step.want)}; it {_said(found)}"
    return ""


def _said(found: Mapping[str, Any]) -> str:
    raised = found.get("raised")
    if raised:
        name = raised[0] if isinstance(raised, list) else raised
        return f"raised {_short(name)}: {_short(found.get('says'))}"
    return f"gave {_short(found.get('value'))}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def same(want: Any, given: Any) -> bool:
    """Whether two JSON values are equal; numbers within a billionth, and true is not 1."""
    if isinstance(want, bool) or isinstance(given, bool):
        return want is given
    if isinstance(want, int | float) and isinstance(given, int | float):
        close = float in (type(want), type(given)) and abs(given) < LARGEST
        return want == given or (close and math.isclose(want, given, rel_tol=1e-9, abs_tol=1e-9))
    if isinstance(want, list) and isinstance(given, list):
        return len(want) == len(given) and all(map(same, want, given))
    if isinstance(want, dict) and isinstance(given, dict):
        return want.keys() == given.keys() and all(same(want[name], given[name]) for name in want)
    return type(want) is type(given) and want == given


DRIVER = """
import builtins
import importlib
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time

PATIENCE, MOST, FAILS = int(sys.argv[1]), 1 << 16, 2


def copied(files, folder):
    for name, content in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


def contents(folder):
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def run(name, *words, stdin=""):
    done = subprocess.run([sys.executable, "-B", name, *words], input=stdin, capture_output=True, text=True)
    return {"code": done.returncode, "out": done.stdout}


def named(name, variables):
    if name in variables:
        return variables[name]
    if name == "run":
        return run
    if not (os.path.exists(name + ".py") or os.path.isdir(name)) and hasattr(builtins, name):
        return getattr(builtins, name)
    return importlib.import_module(name)


def evaluated(does, variables):
    if "value" in does:
        return does["value"]
    if "name" in does:
        return named(does["name"], variables)
    if "attribute" in does:
        of = evaluated(does["of"], variables)
        if isinstance(of, type(os)) and not hasattr(of, does["attribute"]) and hasattr(of, "__path__"):
            return importlib.import_module(of.__name__ + "." + does["attribute"])
        return getattr(of, does["attribute"])
    function = evaluated(does["call"], variables)
    args = [evaluated(part, variables) for part in does["args"]]
    return function(*args, **{key: evaluated(part, variables) for key, part in does["options"].items()})


def performed(case):
    variables, given = {}, []
    for step in case:
        try:
            value = evaluated(step["does"], variables)
            if step["keep"]:
                variables[step["keep"]] = value
            given.append({"value": json.loads(json.dumps(value))} if step["checked"] else {})
        except BaseException as error:
            given.append({"raised": [kind.__name__ for kind in type(error).__mro__], "says": str(error)[:300]})
    return given


def live(case, folder, pipe):
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE + 1))
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    os.chdir(folder)
    sys.path.insert(0, os.getcwd())
    for name in os.listdir():
        sys.modules.pop(name.removesuffix(".py"), None)
    sys.argv = [""]
    said = json.dumps(performed(case)).encode()
    if len(said) > MOST:
        said = json.dumps("what it gave is too long").encode()
    said += b"\\n"
    while said:
        said = said[os.write(pipe, said):]


def heard(case, folder):
    source, pipe = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(source)
            live(case, folder, pipe)
        finally:
            os._exit(0)
    os.close(pipe)
    said, end = bytearray(), time.monotonic() + 3 * PATIENCE
    late = False
    while not said.endswith(b"\\n") and len(said) <= 2 * MOST:
        if not select.select([source], [], [], max(0, end - time.monotonic()))[0]:
            late = True
            break
        piece = os.read(source, 1 << 16)
        if not piece:
            break
        said += piece
    for target in (os.kill, os.killpg):
        try:
            target(pid, signal.SIGKILL)
        except OSError:
            pass
    _, status, used = os.wait4(pid, 0)
    os.close(source)
    if late or os.WTERMSIG(status) == signal.SIGXCPU or used.ru_utime + used.ru_stime >= PATIENCE:
        return "it did not end in time", True
    try:
        return json.loads(said), False
    except ValueError:
        return "its process ended early", False


def main():
    with open("cases.json") as file:
        cases = json.load(file)
    files, fails = contents("work"), 0
    for number, case in enumerate(cases):
        if fails == FAILS:
            break
        folder = "case-%d" % number
        os.makedirs(folder, exist_ok=True)
        copied(files, folder)
        given, late = heard(case, folder)
        shutil.rmtree(folder, ignore_errors=True)
        fails += late
        os.write(1, (json.dumps([number, given]) + "\\n").encode())


main()
"""
"""Runs inside the sandbox: each case in a process and a folder of its own, its values as a line of JSON."""
