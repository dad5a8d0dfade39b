"""Imports inside the packages: one way, and no private name of another file."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("ltogp", "rankpool", "l21", "microexpr")


class Import(NamedTuple):
    source: str  # what follows `from`, or `import`, in full
    name: str | None  # what follows `from ... import`
    line: int


def modules_of(root, package):
    """Path of each module, by its full name; packages are the modules that their `__init__.py` is."""
    paths = {}
    for path in sorted((root / package).glob("**/*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return paths


def imports_of(module, path, inside_functions):
    """Every import of a file but those for type checkers, and those inside functions only if asked for."""
    found, package = [], module if path.name == "__init__.py" else module.rpartition(".")[0]
    nodes = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found += [Import(alias.name, None, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            found += [Import(source, alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            nodes += node.orelse
        elif inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            nodes += ast.iter_child_nodes(node)
    return found


def loaded_by(module, statement, modules):
    """Which modules the statement has Python load: what it names, and the packages around that.

    Not those around `module` itself, whose `__init__.py` runs already.
    """
    asked = statement.source
    if statement.name and f"{asked}.{statement.name}" in modules:
        asked = f"{asked}.{statement.name}"
    around = set(packages_around(asked)) - {module, *packages_around(module)}
    return {name for name in (asked, *around) if name in modules}


def packages_around(module):
    return [module[:i] for i, character in enumerate(module) if character == "."]


def circle_in(root, package, inside_functions=False):
    """A circle of imports, as "a imports b imports a", or None."""
    modules = modules_of(root, package)
    assert modules
    needs = {
        module: {
            name
            for statement in imports_of(module, path, inside_functions)
            for name in loaded_by(module, statement, modules)
        }
        for module, path in modules.items()
    }
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return " imports ".join(reversed(error.args[1]))
    return None


def private_names_in(root, package, packages=PACKAGES):
    """Each "file:line name" that another file of ours keeps to itself; underscored modules are no names."""
    modules, found = modules_of(root, package), []
    for module, path in modules.items():
        for source, name, line in imports_of(module, path, inside_functions=True):
            if source.split(".")[0] not in packages or name is None or f"{source}.{name}" in modules:
                continue
            if name.startswith("_") and not name.endswith("__"):
                found.append(f"{path.relative_to(root)}:{line} {source}.{name}")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle_of_imports(package):
    # Nor one that is held open only by an import inside a function.
    assert circle_in(ROOT, package, inside_functions=True) is None


@pytest.mark.parametrize("package", PACKAGES)
def test_no_private_name_of_another_file(package):
    assert private_names_in(ROOT, package) == []


# ------------------------------------------------------------------------------------- the tests' own test


@pytest.fixture
def write(tmp_path):
    """Write files of a made-up package `house`; return the folder it is in."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / "house" / f"{name.replace('__in__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("files", "circle"),
    [
        ({"__init__": "", "a": "from .b import x", "b": "import house.a"}, ["house.a", "house.b"]),
        ({"__init__": "", "a": "from . import b", "b": "from . import a"}, ["house.a", "house.b"]),
        ({"__init__": "from .a import x", "a": "from . import y"}, ["house", "house.a"]),
        ({"__init__": "", "a": "try:\n    from house import a\nexcept ImportError:\n    pass"}, ["house.a"]),
        (
            {
                "__init__": "",
                "a": "from .b import x",
                "b": "from .c import x",
                "c": "class C:\n    from .a import x",
            },
            ["house.a", "house.b", "house.c"],
        ),
        # A file of a package, imported from outside, brings the package's __init__.py, and what that imports.
        (
            {
                "__init__": "",
                "a": "from .room.chair import x",
                "room__in____init__": "from ..a import y",
                "room__in__chair": "",
            },
            ["house.a", "house.room"],
        ),
        (
            {
                "__init__": "",
                "room__in____init__": "",
                "room__in__chair": "from . import table",
                "room__in__table": "from ..room.chair import x",
            },
            ["house.room.chair", "house.room.table"],
        ),
    ],
)
def test_a_circle_is_found(write, files, circle):
    found = circle_in(write(**files), "house")
    assert found is not None
    assert sorted(set(found.split(" imports "))) == circle


def test_what_is_no_circle(write):
    root = write(
        __init__="from .a import x\nfrom . import b, room",
        a="from .b import x\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .room import c",
        b="import os, numpy.linalg\n\ndef f():\n    from . import a",
        room__in____init__="from .c import x\nfrom .d import y",
        room__in__c="from .d import y\nfrom ..b import x",
        room__in__d="",
    )
    assert circle_in(root, "house") is None
    held_open = circle_in(root, "house", inside_functions=True)
    assert sorted(set(held_open.split(" imports "))) == ["house.a", "house.b"]


def test_a_private_name_is_found(write):
    root = write(
        __init__="from ._a import x\nfrom ._a import __version__",
        _a="from os import _exit",
        b="from . import _a\n\ndef f():\n    from ._a import x, _y",
        c="import house._a\nfrom other import _z",
    )
    assert private_names_in(root, "house", packages=("house", "other")) == [
        "house/b.py:4 house._a._y",
        "house/c.py:2 other._z",
    ]
