"""What is installed, and what imports what."""

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("ltogp", "rankpool", "l21", "microexpr")


def test_the_wheel_holds_the_four_packages_and_nothing_else(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
        sources = {str(path.relative_to(ROOT)) for path in (ROOT / package).glob("**/*.py")}
        assert {name for name in names if name.startswith(f"{package}/")} == sources | {f"{package}/py.typed"}
    assert any(name.endswith("LICENSE") for name in names)
    (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    shown = zipfile.ZipFile(wheel).read(metadata).decode()
    assert "Project-URL: Source, https://" in shown
    links = re.findall(r"\]\(([^)]+)\)", shown) + re.findall(r"(?m)^\[[^\]]+\]: (\S+)$", shown)
    assert any(link.endswith("docs/pipeline.svg") for link in links)
    for link in links:  # a package index has no files beside the README
        assert link.startswith(("https://", "#")), link


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
