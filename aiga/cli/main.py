"""The command line: `aiga COMMAND ...`.

A command's options are the signature of the function that carries it out; those of `aiga run SYSTEM` are the signature
of the system's own `make`.  What is slow to import is imported by the command that needs it.
"""

import importlib.metadata
import importlib.util
import json as encoder
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from pathlib import Path
from typing import Any, Literal

from aiga.cli import show as shown
from aiga.cli.reports import compare, export, report
from aiga.core.errors import UsageError
from aiga.runs import catalogue

CHECKOUT = Path(__file__).parents[2]


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command line; the exit code is 0, 1 (a claim does not hold), 2 (wrong usage) or 130 (Ctrl-C)."""
    try:
        return dispatch(list(sys.argv[1:] if argv is None else argv))
    except UsageError as error:
        sys.stderr.write(f"aiga: {error}\n")
        return 2
    except PermissionError as error:
        sys.stderr.write(
            f"aiga: {error.filename} cannot be opened ({error.strerror}): allow it, or name another place.\n"
        )
        return 2
    except SystemExit as left:  # tyro, after a help page
        return int(left.code or 0)
    except KeyboardInterrupt:
        sys.stderr.write("aiga: interrupted.\n")
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def dispatch(arguments: list[str]) -> int:
    """Call the command that the first argument names with the rest."""
    command, *rest = arguments or ["--help"]
    if command in ("-h", "--help", "help"):
        shown.overview(COMMANDS)
        return 0
    if command == "--version":
        sys.stdout.write(f"aiga {importlib.metadata.version('aiga')}\n")
        return 0
    if command == "run":
        return run(*rest)
    if command not in COMMANDS:
        raise UsageError(f"there is no command `{command}`; {catalogue.suggest(command, COMMANDS, 'aiga --help')}.")
    from aiga.cli.parse import parse, usage

    use = usage(COMMANDS[command])
    return invoke(COMMANDS[command], use.parameters, parse(f"aiga {command}", use, rest))


def list_systems(*, json: bool = False) -> int:
    """Show the catalogue of systems."""
    entries = catalogue.entries()
    if json:
        write_json([entry._asdict() for entry in entries])
    else:
        shown.entries(entries)
    return 0


def run(*words: str) -> int:
    """Run a system of the catalogue, or one of your own.

    Args:
        words: The system, then options.
    """
    from aiga.cli.parse import Usage, parse, usage
    from aiga.runs import loop

    common = usage(loop.run)
    shared = {n: p for n, p in common.parameters.items() if n != "system" and p.kind is not Parameter.VAR_KEYWORD}
    if words[:1] in (("-h",), ("--help",)):
        summary = "Run a system of the catalogue, or one of your own; `aiga run SYSTEM --help` shows its options too."
        parse("aiga run SYSTEM", Usage(summary, shared, common.descriptions), ["--help"])
    if not words or words[0].startswith("-"):
        raise UsageError("`aiga run` needs the system first, as in `aiga run map_elites --seed 1`; see `aiga list`.")
    system, *rest = words
    module, prog = catalogue.find(system), f"aiga run {system}"
    preset = parse(prog, Usage("", {"preset": shared["preset"]}, {}), rest, strict=False)["preset"]
    paper = getattr(module, "PAPER", {}) if preset == "paper" else {}
    own = {n: p.replace(default=paper.get(n, p.default)) for n, p in catalogue.options(module.make).items()}
    make = usage(module.make)
    everything = Usage(make.summary, shared | own, {**make.descriptions, **common.descriptions})
    done = loop.run(system, **parse(prog, everything, rest))
    shown.finished(done.directory, done.reason if done.status == "budget" else "")
    return 0


def resume(
    directory: Path,
    /,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    pool: str | None = None,
    workers: int | Literal["auto"] | None = None,
    address: str | None = None,
    budget: float | None = None,
    budget_tokens: int | None = None,
    budget_calls: int | None = None,
    budget_evaluations: int | None = None,
    approve: str | None = None,
) -> int:
    """Go on with a run where its last checkpoint left it.

    Args:
        directory: The run directory.
        steps: Stop after so many steps, those before included.
        minutes: Stop after so many minutes, those before included.
        pool: Where work runs, if not where it did before: local, ray or threads.
        workers: How many workers, or `auto`, if not as many as before.
        address: Of a running Ray, if not the one of before.
        budget: Dollars that foundation models may cost, those spent before included.
        budget_tokens: Tokens, those before included.
        budget_calls: Calls, those before included.
        budget_evaluations: Programs in the sandbox, those before included.
        approve: Who says whether what agents wrote may be evaluated, if not who did before.
    """
    from aiga.runs import loop

    done = loop.resume(
        directory,
        steps=steps,
        minutes=minutes,
        pool=pool,
        workers=workers,
        address=address,
        budget=budget,
        budget_tokens=budget_tokens,
        budget_calls=budget_calls,
        budget_evaluations=budget_evaluations,
        approve=approve,
    )
    shown.finished(done.directory, done.reason if done.status == "budget" else "")
    return 0


def approve(directory: Path, name: str = "", answer: Literal["", "yes", "no"] = "", /, *, reason: str = "") -> int:
    """Show what waits for a person's approval in a run, or answer.

    Args:
        directory: The run directory.
        name: One of the candidates that wait; without an answer, all of its changes are shown.
        answer: `yes`: it may be evaluated; `no`: it may not.
        reason: Why not.
    """
    from aiga.runs.store import check_schema
    from aiga.safety import pending

    check_schema(directory)
    waiting = pending.unanswered(directory / "approvals")
    if not name:
        shown.waiting(directory, waiting)
        return 0
    paper = next((p for p in waiting if name in (p.name, p.proposed.name)), None)
    if paper is None:
        raise UsageError(f"no `{name}` waits in {directory}: `aiga approve {directory}` shows what does.")
    if answer:
        paper.answer(answer == "yes", reason)
    else:
        from aiga.safety.person import show

        show(paper)
    return 0


def show(directory: Path, /, *, json: bool = False) -> int:
    """Summarise a run, also one that is still going.

    Args:
        directory: The run directory.
        json: The summary as JSON.
    """
    from aiga.runs import record

    summary = record.Run(directory).summary()
    if json:
        write_json(summary)
    else:
        shown.summary(directory, summary)
    return 0


def claim(
    system: str,
    /,
    *,
    seeds: int = 5,
    which: int | None = None,
    out: Path | None = None,
    workers: int | None = None,
    write: bool = False,
    json: bool = False,
) -> int:
    """Test a paper's claims against their controls; exit code 1 if one does not hold.

    Args:
        system: A system with a claim.
        seeds: Runs of each arm, with seeds 0, 1, ...
        which: Of several claims only the first, second, ...; default: all, one after the other.
        out: Folder of the runs, also one that holds a part of them; default: a new one below `runs/`.
        workers: Worker processes of each run.
        write: Write the table into the system's documentation page.
        json: The result as JSON; several as a list.
    """
    from aiga.runs import claims

    numbers = range(1, len(claims.stated(system)) + 1) if which is None else [which]
    folder = out or claims.default_folder(system)
    results = [claims.claim(system, seeds, which=n, out=folder, workers=workers, write=write) for n in numbers]
    told = [result._asdict() for result in results]
    if json:
        write_json(told[0] if len(told) == 1 else told)
    else:
        for result in told:
            shown.claim(result)
    return 0 if all(result.holds for result in results) else 1


def bench(name: str = "", /, *, json: bool = False) -> int:
    """Measure speed against peers and budgets; a ratio over 1 is better.

    Args:
        name: One benchmark; all, if not given.
        json: The rows as JSON.
    """
    files = {path.stem.removeprefix("bench_"): path for path in sorted((CHECKOUT / "benchmarks").glob("bench_*.py"))}
    if not files:
        raise UsageError("the benchmarks are not installed with the package; run `aiga bench` in a source checkout.")
    if name and name not in files:
        raise UsageError(f"there is no benchmark `{name}`; {catalogue.suggest(name, files, 'ls benchmarks')}.")
    rows = [row for path in ([files[name]] if name else files.values()) for row in _script(path).rows()]
    if json:
        write_json(rows)
    else:
        shown.table(rows)
    return 0


def fm(action: Literal["check", "export"], what: str, /, *, out: Path | None = None) -> int:
    """Try a foundation model, or write what a run asked of one as JSON lines.

    Args:
        action: `check`: one cheap call for each capability; `export`: prompts and replies of a run.
        what: To check, `PROVIDER:MODEL`; to export, a run directory.
        out: File of the export; default: `calls.jsonl` in the run directory.
    """
    if action == "check":
        import asyncio

        from aiga.fm import check

        rows = asyncio.run(check.check(what))
        shown.table([row._asdict() for row in rows])
        return 0 if rows[0].state == "ok" else 1
    from aiga.runs import outside, record

    path = out or Path(what) / "calls.jsonl"
    count = outside.export(record.Run(what), path)
    sys.stdout.write(f"{path}: {count:,} requests\n")
    return 0


def dashboard(
    directory: Path = Path("runs"),
    /,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str = "",
    trust: bool = False,
    open: bool = False,
) -> int:
    """Show runs in the browser, also while they write; Ctrl-C ends it, with exit code 0.

    Args:
        directory: The folder that holds the runs.
        host: The address to listen on; beyond this machine a token is asked for.
        port: Default: 8420, or the next free one.
        token: What the browser must show; default: a new one where the host is not this machine alone.
        trust: Let systems that are files, not of the catalogue, run their own code for figures and replays.
        open: Open the browser.
    """
    from aiga.dashboard.serve import serve

    serve(directory, shown.say, host=host, port=port, token=token, trust=trust, open_browser=open)
    return 0


def doctor(*, ray: bool = False) -> int:
    """Show what works on this machine, and how to mend what does not.

    Args:
        ray: Also start a Ray and run a task on it, which takes some seconds.
    """
    from aiga.cli import doctor

    return doctor.main(ray)


COMMANDS: dict[str, Callable[..., int]] = {
    "list": list_systems,
    "run": run,
    "resume": resume,
    "approve": approve,
    "show": show,
    "report": report,
    "compare": compare,
    "export": export,
    "dashboard": dashboard,
    "claim": claim,
    "bench": bench,
    "fm": fm,
    "doctor": doctor,
}


def invoke(function: Callable[..., int], parameters: Mapping[str, Parameter], values: dict[str, Any]) -> int:
    """Call a command with its parsed values, the positional ones by place."""
    by_place: list[Any] = []
    for name, parameter in parameters.items():
        if parameter.kind is Parameter.VAR_POSITIONAL:
            by_place.extend(values.pop(name))
        elif parameter.kind is Parameter.POSITIONAL_ONLY:
            by_place.append(values.pop(name))
    return function(*by_place, **values)


def write_json(value: Any) -> None:
    """Write JSON to the standard output."""
    sys.stdout.write(encoder.dumps(value, indent=2, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _script(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # as for any script: it imports what lies beside it
    sys.modules[path.stem] = module  # worker processes look its functions up by name
    spec.loader.exec_module(module)
    return module
