"""The wheel and the sdist: what they hold, and that it works where nothing else of the project is."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("ltogp", "rankpool", "l21", "microexpr")
# But pandas, which scikit-learn imports wherever it is there.
OPTIONAL = ("av", "cv2", "dask", "distributed", "matplotlib", "openpyxl", "s3fs", "shtab", "skimage", "zarr")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder that wheel and sdist were built into; without pip, which would want an index."""
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The folder that the wheel was unpacked into, as an installer does it."""
    folder = tmp_path_factory.mktemp("site")
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def run(command, cwd, **variables):
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=cwd, env={**os.environ, **variables}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_four_packages_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
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


def test_the_sdist_holds_all_that_git_has_and_builds_the_same_wheel(built, tmp_path):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    kept = set(run(["git", "ls-files"], ROOT).split("\n")) - {""} if (ROOT / ".git").exists() else set()
    missing = {name for name in kept if not (source / name).exists() and (ROOT / name).exists()}
    assert {name for name in missing if not name.startswith(".ci/")} == set()
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again"], cwd=source)
    contents = [
        {name: archive.read(name) for name in archive.namelist()}
        for folder in (built, tmp_path / "again")
        for archive in [zipfile.ZipFile(*folder.glob("*.whl"))]
    ]
    assert contents[0] == contents[1]


def test_the_wheel_runs_a_users_script_from_another_folder(installed, tmp_path):
    script = shutil.copy(ROOT / "tests" / "user_script.py", tmp_path)
    # Kernels as plain Python: in a new folder all would be compiled. `nox -s packages` has them compiled.
    variables = {"PYTHONPATH": str(installed), "NUMBA_DISABLE_JIT": "1"}
    shown = run([sys.executable, script, *OPTIONAL], tmp_path, **variables)
    for package in PACKAGES:
        assert str(installed / package) in shown
    assert shown.endswith("loaded:\n")  # no optional package


def test_a_users_script_is_type_checked_against_the_wheel(installed, tmp_path):
    script = shutil.copy(ROOT / "tests" / "user_script.py", tmp_path)
    types = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache"]
    shown = run([*types, script], tmp_path, PYTHONPATH=str(installed))
    assert shown == "Success: no issues found in 1 source file\n"
    (tmp_path / "wrong.py").write_text(
        "import ltogp, rankpool, l21, microexpr\n"
        "a: str = ltogp.encode([[1]])\n"
        "b: str = rankpool.rank_pool([[1]])\n"
        "c: str = l21.critical_gamma([[1]], [[1]])\n"
        "d: str = microexpr.describe([[[1]]])\n"
    )
    done = subprocess.run(
        [*types, "wrong.py"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
    )
    wrong = [int(number) for number in re.findall(r"wrong.py:(\d): error: Incompatible", done.stdout)]
    assert wrong == [2, 3, 4, 5], done.stdout
    assert "Found 4 errors" in done.stdout


def test_no_optional_package_is_imported_before_it_is_needed(tmp_path):
    for command, used in [
        ("--help", set()),
        ("evaluate --help", set()),
        ("simulate data --subjects 3 --clips 6 --frames 4 5 --size 64 56", {"openpyxl"}),
        ("describe {clip} --out u", {"matplotlib"}),
        ("extract casme2 data --store store.zarr --blocks 2 2", {"openpyxl", "zarr"}),
    ]:
        clip = next((tmp_path / "data" / "Cropped").glob("*/*"), "")
        words = command.format(clip=clip).split()
        code = (
            f"import sys\nfrom microexpr.cli import main\ntry:\n    status = main({words!r})\n"
            f"except SystemExit as stopped:\n    status = stopped.code\n"
            f"print('loaded:', *(m for m in {OPTIONAL!r} if m in sys.modules))\nsys.exit(status)"
        )
        shown = run([sys.executable, "-c", code], tmp_path)
        assert set(shown.splitlines()[-1].split()[1:]) == used, command
