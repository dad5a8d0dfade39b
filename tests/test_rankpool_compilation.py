"""Kernels compile where nothing can be cached, and are never served stale."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rankpool
from rankpool import _compilation

PACKAGE = Path(rankpool.__file__).parent

USE_EVERYTHING = """
import warnings
warnings.simplefilter("error")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import rankpool
    import numpy as np
    V = np.cumsum(np.random.default_rng(0).normal(size=(12, 3)), axis=0)
    y = np.arange(12) % 3
    long = np.random.default_rng(0).normal(size=(501, 2))
    for options in ({}, {"loss": "squared_hinge"}, {"groups": y}):
        assert rankpool.rank_svm(V, **options).gap <= 1e-6
    assert rankpool.rank_svm(long, tol=1e-3).gap <= 1e-3
    for function in (rankpool.rank_pool, rankpool.approximate_rank_pool, rankpool.hierarchical_rank_pool):
        assert np.isfinite(function(V)).all()
    assert rankpool.dynamic_image(V[:, None]).shape == (1, 3)
    for pooling in (rankpool.RankPooling(), rankpool.HierarchicalRankPooling()):
        assert pooling.fit_transform([V, V]).shape == (2, 3)
    assert 0 <= rankpool.RankSVM().fit(V, y).score(V, y) <= 1
    print(rankpool.__file__)
for warning in caught:
    print(warning.category.__name__, warning.message)
"""


def run(code, package_folder, **options):
    """Run code in a process of its own that sees this copy of the package, and no setting of the cache's."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_DISABLE_JIT" and "NUMBA_CACHE" not in k}
    environment |= {"PYTHONPATH": str(package_folder), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= options.pop("env", {})
    options.setdefault("cwd", package_folder)  # python -c looks there first
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, **options
    )


@pytest.fixture
def copy(tmp_path):
    """A folder with a copy of the package in it."""
    shutil.copytree(PACKAGE, tmp_path / "rankpool", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.fixture
def unwritable(copy):
    """The same, which may not be written."""
    for folder in (copy / "rankpool", copy):
        folder.chmod(0o555)
    yield copy
    for folder in (copy, copy / "rankpool"):
        folder.chmod(0o755)


def obey_modes():
    """Give up what lets root write where the mode forbids it: CAP_DAC_OVERRIDE, which is 1."""
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(24, 1, 0, 0, 0) != 0:  # PR_CAPBSET_DROP, from exec on
        os.setuid(65534)


@pytest.mark.skipif(sys.platform == "win32", reason="folders are made unwritable by their mode")
def test_everything_works_where_no_folder_can_be_written(unwritable):
    home = str(unwritable / "rankpool" / "home")
    env = {"HOME": home, "XDG_CACHE_HOME": home, "NUMBA_OPT": "0"}  # its optimiser off: a third of the time
    plain = (
        "import numba, rankpool._frames\n"
        "try: numba.njit(cache=True)(rankpool._frames.gram)\n"
        "except RuntimeError as error: print(error)"
    )
    child = run(plain, unwritable, env=env, preexec_fn=obey_modes)
    assert "no locator available" in child.stdout, child.stderr  # so it is
    child = run(USE_EVERYTHING, unwritable, env=env, preexec_fn=obey_modes)
    assert child.returncode == 0, child.stderr
    file, *caught = child.stdout.splitlines()
    assert file.startswith(str(unwritable))
    assert len(caught) == 1
    assert re.match(r"UserWarning rankpool cannot cache .*no locator available.*NUMBA_CACHE_DIR", caught[0])


@pytest.mark.parametrize(
    ("call", "file", "before", "after", "results"),
    [
        (
            "(x := _kernels.hinge_sum)(np.zeros(3), np.arange(1, 4), np.full(3, 3), 2)",
            "_kernels.py",
            "acc += h * h",
            "acc += h + h",
            ("3.0", "6.0"),
        ),
        (  # what is changed is a kernel of another file, which the one that is cached calls
            "((x := _kernels.add_gram)(np.eye(2), 0, 1.0, np.zeros((12, 64)), K), K[1, 1])[1]",
            "_dense_kernels.py",
            "K[i + a, j + b] += c[a][b]",
            "K[i + a, j + b] -= c[a][b]",
            ("2.0", "-2.0"),
        ),
    ],
)
def test_a_changed_kernel_is_not_served_stale(copy, call, file, before, after, results):
    """Not even where its file has the size and the time that it had, which is all that Numba looks at."""
    code = (
        "import numpy as np\n"
        "from rankpool import _kernels\n"
        "K = np.zeros((12, 12))\n"
        f"print({call})\n"
        "print(sum(x.stats.cache_hits.values()))"
    )
    env = {"NUMBA_CACHE_DIR": str(copy / "cache"), "NUMBA_OPT": "1"}  # with 0 the second one is not cached
    assert run(code, copy, env=env).stdout.split() == [results[0], "0"]
    assert run(code, copy, env=env).stdout.split() == [results[0], "1"]
    source = copy / "rankpool" / file
    status, text = source.stat(), source.read_text(encoding="utf-8")
    assert text.count(before) == 1
    source.write_text(text.replace(before, after), encoding="utf-8")
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert source.stat().st_size == status.st_size
    assert run(code, copy, env=env).stdout.split() == [results[1], "0"]


def test_every_file_with_kernels_is_in_the_digest():
    decorated = re.compile(r"^@(kernel|exact|njit)|njit\(", re.MULTILINE)
    with_kernels = {path.name for path in PACKAGE.glob("*.py") if decorated.search(path.read_text("utf-8"))}
    assert with_kernels == set(_compilation.SOURCES)


FULL = """
import sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    {before}
    import rankpool
    {after}
    print(rankpool.approximate_rank_pool([[0.0], [4.0]]), rankpool.approximate_rank_pool([[1], [3]]))
for warning in caught:
    print(warning.message)
"""


def test_a_full_disk_is_seen_before_it_is_written_to(copy):
    before = "import shutil, types; shutil.disk_usage = lambda folder: types.SimpleNamespace(free=1000)"
    env = {"NUMBA_CACHE_DIR": str(copy / "cache"), "NUMBA_OPT": "0"}
    child = run(FULL.format(before=before, after=""), copy, env=env)
    result, *caught = child.stdout.splitlines()
    assert result == "[4.] [2.]", child.stderr
    assert len(caught) == 1
    assert re.match(r"rankpool cannot cache .* 16 MB are free in .*NUMBA_CACHE_DIR", caught[0])
    assert not list((copy / "cache").rglob("*.nb?"))


@pytest.mark.skipif(sys.platform == "win32", reason="the disk is full by a limit of the process")
def test_a_disk_that_fills_after_the_import(copy):
    after = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"  # empty files only
    env = {"NUMBA_CACHE_DIR": str(copy / "cache"), "NUMBA_OPT": "0"}
    child = run(FULL.format(before="", after=after), copy, env=env)
    result, *caught = child.stdout.splitlines()
    assert result == "[4.] [2.]", child.stderr
    assert len(caught) == 1
    assert re.match(r"rankpool cannot cache .*File too large.*NUMBA_CACHE_DIR", caught[0])


def test_arrays_of_every_kind_of_memory_share_one_compilation():
    """Read-only, unaligned, strided and turned frames: compiling for each again would take seconds."""
    V = np.cumsum(np.random.default_rng(0).normal(size=(14, 5)), axis=0)
    expected = rankpool.rank_svm(V).u
    kernels = [rankpool._kernels.add_gram, rankpool._kernels.weigh]
    if not hasattr(kernels[0], "signatures"):
        return  # NUMBA_DISABLE_JIT: plain functions
    before = [len(kernel.signatures) for kernel in kernels]
    fixed = V.copy()
    fixed.flags.writeable = False
    odd = np.empty(V.nbytes + 1, np.uint8)[1:].view(np.float64).reshape(V.shape)
    odd[:] = V
    for form in (fixed, odd, np.asfortranarray(V), np.repeat(V, 2, axis=0)[::2], V[::-1][::-1]):
        np.testing.assert_array_equal(rankpool.rank_svm(form).u, expected)
    rankpool.hierarchical_rank_pool(V.astype(np.float32))
    assert [len(kernel.signatures) for kernel in kernels] == before
