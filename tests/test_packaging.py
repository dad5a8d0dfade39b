"""What is installed, and what imports what."""

import ast
import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("ltogp", "rankpool", "l21", "microexpr")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_algorithm_packages_stand_alone(package):
    allowed = set(PACKAGES) if package == "microexpr" else {package}
    for path in (ROOT / package).glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] not in set(PACKAGES) - allowed, f"{path} imports {name}"
                if package == "microexpr" and name.split(".")[0] in PACKAGES[:3]:
                    assert "." not in name, f"{path} imports {name}: public names only"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_documented(package):
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name).__doc__
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


def test_each_package_says_the_version_of_the_distribution():
    versions = {importlib.import_module(package).__version__ for package in PACKAGES}
    assert versions == {importlib.metadata.version("microexpr")}


def test_importing_costs_only_what_is_needed():
    for package, heavy in {
        "ltogp": ("sklearn", "scipy.linalg", "scipy.ndimage", "joblib"),
        "microexpr": ("sklearn", "numba", "pandas"),
    }.items():
        code = f"import sys, {package}; print([m for m in {heavy} if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == "[]", package


def test_what_two_packages_need_alike_stays_alike():
    """Neither may import the other."""
    assert (ROOT / "rankpool/_blas.py").read_text() == (ROOT / "l21/_blas.py").read_text()
