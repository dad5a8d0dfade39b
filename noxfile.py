"""Every way in which the tests have to pass. `nox` runs the default one, `nox -l` lists all.

    nox                          as a new user: a fresh environment, the newest dependencies
    nox -s alone                 the same from a clone into an empty folder
    nox -s oldest                the oldest dependencies that pyproject.toml declares
    nox -s python                every Python from 3.11 on that is installed
    nox -s processor             kernels compiled for a Haswell, and for any x86-64
    nox -s blas                  OpenBLAS as on a Haswell, a Skylake-X, a Zen
    nox -s conformance           scikit-learn's checks with its array API's
    nox -s aeon                  aeon's checks
    nox -s interpreted           kernels as plain Python, where that ends in minutes
    nox -s data -- FOLDER        also the tests on real data in FOLDER
    nox -s fuzz -- 30            every public function on random input, for 30 minutes
    nox -s packages              the wheel in fresh environments: ltogp alone, the core, each extra alone
    nox -s doctests              the examples in the docstrings
    nox -s coverage              which lines the tests run, as a report
    nox -s bench -- -k ltogp     the benchmarks, beside what they are measured against
    nox -s docs                  the site, into docs/_build/html: no warning, no dead link
    nox -s lint                  ruff
    nox -s types                 mypy

`pip install nox` and, for `oldest`, `pip install uv`. Arguments after `--` go to pytest.
"""

import shutil
import tempfile
from pathlib import Path

import nox

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = False
ROOT = Path(__file__).parent


@nox.session
def tests(session: nox.Session) -> None:
    """The newest dependencies."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def alone(session: nox.Session) -> None:
    """Test what is committed, in a clone with nothing beside it."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "microexpr"
        session.run("git", "clone", "--quiet", str(ROOT), str(clone), external=True)
        session.chdir(clone)
        session.install("-e", ".[test]")
        session.run("pytest", *session.posargs)


@nox.session
def oldest(session: nox.Session) -> None:
    """Take the lower bounds of pyproject.toml; what they need in turn is the newest."""
    session.run(
        "uv", "pip", "install", "--python", session.virtualenv.location, "--resolution", "lowest-direct",
        "-e", ".[test]", external=True,
    )  # fmt: skip
    session.run("pytest", *session.posargs)


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def python(session: nox.Session) -> None:
    """One Python after the other."""
    tests(session)


@nox.session
@nox.parametrize(("name", "features"), [("haswell", "+avx2"), ("generic", "")])
def processor(session: nox.Session, name: str, features: str) -> None:
    """No instruction that `name` lacks. Without CPU_FEATURES Numba would still use those of this machine."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs, env={"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features})


@nox.session
@nox.parametrize("kernels", ["Haswell", "SkylakeX", "Zen"])
def blas(session: nox.Session, kernels: str) -> None:
    """OpenBLAS's own kernels, which round differently."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs, env={"OPENBLAS_CORETYPE": kernels})


@nox.session
def interpreted(session: nox.Session) -> None:
    """NUMBA_DISABLE_JIT: an index out of bounds is an error then."""
    session.install("-e", ".[test]")
    session.run("pytest", *(session.posargs or INTERPRETED), env={"NUMBA_DISABLE_JIT": "1"})


INTERPRETED = [
    "tests/test_l21.py",
    "tests/test_l21_path.py",
    "tests/test_ltogp_errors.py",
    "tests/test_ltogp_images.py",
    "tests/test_packaging.py",
]


@nox.session
def conformance(session: nox.Session) -> None:
    """SciPy reads the variable when it is imported, for good: the other tests do without."""
    session.install("-e", ".[test]")
    session.run("pytest", "tests/test_conformance.py", env={"SCIPY_ARRAY_API": "1"})


@nox.session
def aeon(session: nox.Session) -> None:
    """In an environment of its own, with the Numba that aeon asks for."""
    session.install("-e", ".[aeon]", "pytest")
    session.run("pytest", "tests/test_rankpool_aeon.py", "rankpool/aeon.py")


@nox.session
def data(session: nox.Session) -> None:
    """Only the tests that read a folder of real data."""
    folder, *arguments = session.posargs
    session.install("-e", ".[test]")
    session.run("pytest", "-m", "data", *arguments, env={"MICROEXPR_DATA": str(Path(folder).resolve())})


@nox.session
def fuzz(session: nox.Session) -> None:
    """Random input, for as many minutes as said."""
    minutes = session.posargs[0] if session.posargs else "30"
    session.install("-e", ".[test]")
    session.run("python", "tests/fuzz.py", "--minutes", minutes)


EXTRAS = ["video", "face", "eyes", "datasets", "plot", "store", "s3", "dask", "completion", "all"]


@nox.session
@nox.parametrize("extra", ["ltogp", "core", *EXTRAS])
def packages(session: nox.Session, extra: str) -> None:
    """Run the wheel alone, from another folder, and type-check against it; `ltogp` with numba and numpy."""
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, str(ROOT))
        (wheel,) = Path(folder).glob("*.whl")
        if extra == "ltogp":
            session.install("numba", "numpy")
            session.install("--no-deps", str(wheel))
        else:
            session.install(str(wheel) if extra == "core" else f"{wheel}[{extra}]")
        for script in ("installed.py", "user_script.py"):
            shutil.copy(ROOT / "tests" / script, folder)
        session.chdir(folder)
        session.run("python", "installed.py", extra)
        if extra != "ltogp":
            session.run("python", "user_script.py")
        if extra == "core":
            session.install("mypy")
            session.run("mypy", "--strict", "user_script.py")


@nox.session
def doctests(session: nox.Session) -> None:
    """Only the examples in the docstrings."""
    session.install("-e", ".[test]")
    session.run("pytest", "ltogp", "rankpool", "l21", "microexpr", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Report which lines the tests run; no threshold. It sees neither compiled code nor other processes."""
    session.install("-e", ".[test]", "pytest-cov")
    packages = ("ltogp", "rankpool", "l21", "microexpr")
    options = [f"--cov={package}" for package in packages]
    session.run(
        "pytest", *options, "--cov-report=term-missing:skip-covered", "--cov-report=html", *session.posargs
    )


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks; nothing else should run on the machine meanwhile."""
    session.install("-e", ".[bench]")
    session.run("pytest", "bench", "--benchmark-only", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site; each example of the gallery runs."""
    session.install("-e", ".[docs]")
    session.run("sphinx-build", "-W", "-b", "html", *session.posargs, "docs", "docs/_build/html")


@nox.session
def lint(session: nox.Session) -> None:
    """As CI does."""
    session.install("ruff>=0.17,<0.18")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """As CI does: mypy reads what is installed."""
    session.install("-e", ".[test,lint]")
    session.run("mypy")
