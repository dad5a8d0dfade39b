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
    nox -s docs                  the site, into docs/_build/html: no warning, no dead link
    nox -s lint                  ruff and mypy

`pip install nox` and, for `oldest`, `pip install uv`. Arguments after `--` go to pytest.
"""

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


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site; each example of the gallery runs."""
    session.install("-e", ".[docs]")
    session.run("sphinx-build", "-W", "-b", "html", *session.posargs, "docs", "docs/_build/html")


@nox.session
def lint(session: nox.Session) -> None:
    """As CI does."""
    session.install("-e", ".[test,lint]")  # mypy reads what is installed
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
