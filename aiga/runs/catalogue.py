"""The catalogue: which systems there are, read without importing any of them."""

import ast
import difflib
import importlib
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from aiga.core.errors import UsageError

SYSTEMS = Path(__file__).parent.parent / "systems"
RESOURCES = frozenset({"approval", "budget", "embedder", "finished", "fm", "journal", "pool", "sandbox", "texts"})
"""Parameters of a `make` that the run provides; they are no options."""


class Entry(NamedTuple):
    """A system of the catalogue."""

    name: str
    title: str
    """The first line of the module's docstring."""
    papers: tuple[int, ...]
    """Numbers in the paper table of the documentation."""
    pillar: str
    """Of AI-generating algorithms: `architectures`, `learning`, `environments`, or something else."""
    needs: tuple[str, ...]
    """Optional extras."""


def entries() -> list[Entry]:
    """All systems of the catalogue, by name, each before its variants."""
    return [entry for path in sorted(SYSTEMS.glob("[!_]*.py")) for entry in _read(path)]


def find(name: str) -> ModuleType:
    """The module of a system: a catalogue name, a dotted module, or the path of a Python file with a `make`.

    `NAME:VARIANT` is the module with `make_VARIANT`, `PAPER_VARIANT` and `CLAIM_VARIANT` in the places of the first.
    """
    base, _, variant = name.partition(":")
    module = _base(base)
    return _varied(module, variant, name) if variant else module


def page(name: str) -> str:
    """The name of a system without that of the variant: that of its page and its tests."""
    return Path(name.partition(":")[0]).stem


def label(name: str) -> str:
    """The name of a system in those of files."""
    variant = name.partition(":")[2]
    return f"{page(name)}-{variant}" if variant else page(name)


def address(name: str) -> str:
    """The name by which a system is found again from anywhere: a file by its whole path."""
    base, colon, variant = name.partition(":")
    return f"{Path(base).resolve()}{colon}{variant}" if base.endswith(".py") else name


def _varied(module: ModuleType, variant: str, name: str) -> ModuleType:
    make = getattr(module, f"make_{variant}", None)
    if not callable(make):
        known = [other.removeprefix("make_") for other in vars(module) if other.startswith("make_")]
        base = name.partition(":")[0]
        raise UsageError(f"`{base}` has no variant `{variant}`; {suggest(variant, known, 'aiga list')}.")
    own = {
        part: getattr(module, f"{part}_{variant.upper()}", default) for part, default in (("PAPER", {}), ("CLAIM", ()))
    }
    view = ModuleType(name, module.__doc__)
    vars(view).update(vars(module) | own | {"make": make, "__name__": f"{module.__name__}:{variant}"})
    return view


def _base(name: str) -> ModuleType:
    if name.endswith(".py"):
        module = _load(Path(name))
    elif "." in name and all(part.isidentifier() for part in name.split(".")):
        module = _import(name)
    elif name.isidentifier() and not name.startswith("_") and (SYSTEMS / f"{name}.py").exists():
        module = importlib.import_module(f"aiga.systems.{name}")
    else:
        known = [path.stem for path in SYSTEMS.glob("[!_]*.py")]
        raise UsageError(f"there is no system `{name}`; {suggest(name, known, 'aiga list')}.")
    if not callable(getattr(module, "make", None)):
        raise UsageError(f"`{name}` has no function `make` that returns a system; add one.")
    return module


def signature(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function, with their defaults and types; where no type is given, the default's."""
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters
    return {name: p.replace(annotation=hints.get(name, _type(p.default))) for name, p in parameters.items()}


def options(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The options of a system: the parameters of its `make`, without the resources."""
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {n: p for n, p in signature(make).items() if n not in RESOURCES and p.kind not in open_ended}


def resources(make: Callable[..., Any]) -> frozenset[str]:
    """What a `make` wants the run to provide."""
    return RESOURCES.intersection(inspect.signature(make).parameters)


def check(module: ModuleType, given: Iterable[str]) -> None:
    """Refuse options that the `make` of `module` does not have."""
    known = options(module.make)
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in signature(module.make).values()):
        return
    for name in given:
        if name not in known:
            system = module.__name__.rpartition(".")[2]
            raise UsageError(f"`{system}` has no option `{name}`; {suggest(name, known, f'aiga run {system} --help')}.")


def suggest(name: str, known: Iterable[str], command: str) -> str:
    """The end of an error's sentence: the nearest known names, or the command that lists them all."""
    nearest = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    if not nearest:
        return f"`{command}` shows what there is"
    return f"did you mean {' or '.join(f'`{match}`' for match in nearest)}? `{command}` shows what there is"


def _type(default: Any) -> type:
    return str if default is None or default is inspect.Parameter.empty else type(default)


def _read(path: Path) -> list[Entry]:
    tree = ast.parse(path.read_text())
    title = (ast.get_docstring(tree) or path.stem).partition("\n")[0].rstrip(".")
    about: dict[str, Any] = {}
    titles = {path.stem: title}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("make_"):
            said = (ast.get_docstring(node) or title).partition("\n")[0].rstrip(".")
            titles[f"{path.stem}:{node.name.removeprefix('make_')}"] = said
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "ABOUT":
            about = ast.literal_eval(node.value)
    facts = about.get("papers", ()), about.get("pillar", ""), about.get("needs", ())
    return [Entry(name, title, *facts) for name, title in titles.items()]


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise UsageError(
            f"there is no module `{name}` on Python's path; give a file's path or set PYTHONPATH."
        ) from error


def _load(path: Path) -> ModuleType:
    """Import a file under its own name, which worker processes need to find its functions again."""
    path = path.resolve()
    if not path.is_file():
        raise UsageError(f"there is no file {path}; give the path of a Python file with a `make`.")
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    spec = None if loaded else importlib.util.find_spec(path.stem)
    if loaded is not None or (spec is not None and spec.origin != str(path)):
        raise UsageError(f"{path.name} has the name of another Python module, `{path.stem}`; rename the file.")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    return importlib.import_module(path.stem)
