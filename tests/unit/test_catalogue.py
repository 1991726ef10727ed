"""The catalogue reads systems without importing them, and finds a user's own."""

import sys

import pytest

from aiga.core.errors import UsageError
from aiga.runs import catalogue

SYSTEM = '''"""A walk to nowhere.

More.
"""

raise RuntimeError("imported")
ABOUT = {"papers": (1, 2), "pillar": "environments", "needs": ("atari",)}
'''


@pytest.fixture
def own(tmp_path):
    """Writes a Python file of the user's own; forgets it afterwards."""
    before = list(sys.path)

    def write(name, text):
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        return str(path)

    yield write
    sys.path[:] = before
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def test_entries_come_from_the_text_of_a_file_that_is_not_imported(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "SYSTEMS", tmp_path)
    (tmp_path / "walk.py").write_text(SYSTEM)
    (tmp_path / "__init__.py").write_text('"""Nothing."""')
    assert catalogue.entries() == [catalogue.Entry("walk", "A walk to nowhere", (1, 2), "environments", ("atari",))]


def test_a_users_file_is_found_under_a_name_that_other_processes_can_import(own):
    path = own("my_first_walk", "def make():\n    return 1\n")
    module = catalogue.find(path)
    assert module.make() == 1
    assert module is catalogue.find(path)
    assert sys.modules["my_first_walk"] is module


def test_a_file_with_the_name_of_another_module_is_refused(own):
    with pytest.raises(UsageError, match="rename the file"):
        catalogue.find(own("json", "def make(): ..."))
    with pytest.raises(UsageError, match="rename the file"):
        catalogue.find(own("this", "def make(): ..."))  # not imported yet


def test_a_file_without_make_is_refused(own):
    with pytest.raises(UsageError, match="no function `make`"):
        catalogue.find(own("makeless", "x = 1"))


def test_the_failure_of_an_import_inside_a_users_module_is_not_hidden(own):
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        catalogue.find(own("needs_more", "import no_such_library"))


def test_unknown_names_are_answered_with_the_nearest(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "SYSTEMS", tmp_path)
    (tmp_path / "map_elites.py").touch()
    with pytest.raises(UsageError, match="did you mean `map_elites`"):
        catalogue.find("mapelites")


def test_options_are_the_parameters_of_make_without_the_resources():
    def make(cells: int = 3, pool: object = None): ...

    assert {name: (p.annotation, p.default) for name, p in catalogue.options(make).items()} == {"cells": (int, 3)}


def test_an_option_without_a_type_has_that_of_its_default():
    def make(scale=2.0, name=None, **others): ...

    assert {name: p.annotation for name, p in catalogue.options(make).items()} == {"scale": float, "name": str}


@pytest.mark.parametrize("name", ["../json", "map-elites", "a..b", "", "__init__"])
def test_what_is_no_name_is_no_system(name):
    with pytest.raises(UsageError, match="there is no system"):
        catalogue.find(name)


def test_options_that_make_does_not_have_are_refused(own):
    module = catalogue.find(own("small_walk", "def make(scale: float = 1.0, pool=None): ..."))
    catalogue.check(module, {"scale": 2.0})
    with pytest.raises(UsageError, match="did you mean `scale`"):
        catalogue.check(module, {"scales": 2.0})
    with pytest.raises(UsageError, match="no option `pool`"):
        catalogue.check(module, {"pool": 1})


TWO = """PAPER, PAPER_DEEP = {"scale": 3.0}, {"scale": 4.0}

def make(scale: float = 1.0):
    return scale

def make_deep(scale: float = 2.0):
    "A deep walk."
    return -scale
"""


def test_a_second_make_of_a_file_is_a_variant_with_parts_of_its_own(own):
    path = own("two_walks", TWO)
    first, deep = catalogue.find(path), catalogue.find(f"{path}:deep")
    assert (first.make(), deep.make()) == (1.0, -2.0)
    assert (first.PAPER, deep.PAPER) == ({"scale": 3.0}, {"scale": 4.0})
    assert deep.CLAIM == ()
    assert catalogue.address(f"{path}:deep") == f"{path}:deep"
    with pytest.raises(UsageError, match="did you mean `deep`"):
        catalogue.find(f"{path}:deeep")


def test_entries_name_the_variants_after_their_system(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "SYSTEMS", tmp_path)
    (tmp_path / "two.py").write_text(TWO)
    assert [(entry.name, entry.title) for entry in catalogue.entries()] == [("two", "two"), ("two:deep", "A deep walk")]
    assert (catalogue.page("two:deep"), catalogue.label("two:deep")) == ("two", "two-deep")
    assert catalogue.label("a/walk.py") == "walk"
