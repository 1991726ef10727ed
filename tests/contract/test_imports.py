"""What may be imported when: start-up stays light, and the public names are the promised ones."""

import subprocess
import sys
from pathlib import Path

import pytest

import aiga

HEAVY = ("jax", "equinox", "ale_py", "plotly", "scipy")


def imported_by(code: str) -> set[str]:
    """The heavy modules that a fresh process has imported after `code`."""
    script = f"import sys\n{code}\nprint(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("imports") / "run"
    aiga.run(str(Path(__file__).parents[1] / "toys" / "wander.py"), steps=1, out=directory)
    return directory


def test_import_aiga_imports_nothing_heavy():
    assert imported_by("import aiga") == set()
    assert "jax" in imported_by("import aiga; aiga.run")


@pytest.mark.parametrize("words", [["--help"], ["list"], ["list", "--json"], ["list", "--help"], ["show", "--help"]])
def test_listing_and_help_import_nothing_heavy(words):
    assert imported_by(f"from aiga.cli.main import main; assert main({words!r}) == 0") == set()


def test_show_imports_nothing_heavy(finished_run):
    assert imported_by(f"from aiga.cli.main import main; assert main(['show', {str(finished_run)!r}]) == 0") == set()


def test_the_public_names_are_sorted_and_exist():
    assert aiga.__all__ == sorted(aiga.__all__) == ["claim", "load", "resume", "run"]
    assert dir(aiga) == aiga.__all__
    assert all(callable(getattr(aiga, name)) for name in aiga.__all__)
    with pytest.raises(AttributeError, match="claim, load, resume, run"):
        _ = aiga.runn  # pyright: ignore[reportAttributeAccessIssue]


def test_models_the_sandbox_and_budgets_start_without_jax():
    modules = [
        f"aiga.{folder}.{path.stem}"
        for folder in ("fm", "sandbox", "safety")
        for path in sorted((Path(aiga.__file__).parent / folder).glob("[!_]*.py"))
        if path.stem not in ("zygote", "child")  # these run inside the sandbox, and import only each other
    ]
    assert len(modules) > 20
    heavy = imported_by("import " + ", ".join(modules))
    assert heavy == set()
