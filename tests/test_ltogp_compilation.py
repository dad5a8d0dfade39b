"""What ltogp costs to import, and its compiled kernels: cached where they can be, and never stale."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ltogp

IMAGE = np.random.default_rng(0).integers(0, 256, (25, 30)).astype(np.uint8)


def run_python(code, cwd=None, **environment):
    """Run code in a new process, which compiles kernels even if this one does not."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, "NUMBA_DISABLE_JIT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def copy_package(folder):
    """Copy the package into a folder, and return what makes a process use that copy."""
    package = folder / "ltogp"
    shutil.copytree(Path(ltogp.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    return {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_DEBUG_CACHE": "1"}


# ---------------------------------------------------------------------------------------------- import


def test_import_loads_neither_scikit_learn_nor_scipy():
    out = run_python(
        """
import sys, numba
loaded = set(sys.modules)  # numba looks at scipy's version
import ltogp
ltogp.histogram
assert "LTOGP" in dir(ltogp)
print(sorted({"sklearn", "scipy", "joblib", "pandas"} & {m.split(".")[0] for m in set(sys.modules) - loaded}))
ltogp.LTOGP
assert "sklearn" in sys.modules
"""
    )
    assert out.strip() == "[]"


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="module 'ltogp' has no attribute 'lbp'"):
        ltogp.lbp  # noqa: B018


# ------------------------------------------------------------------------------------------------ cache

USE_KERNELS = """
import os, sys, warnings
import numpy as np, ltogp

assert ltogp.__file__.startswith(os.environ["PYTHONPATH"])
image = np.random.default_rng(0).integers(0, 256, (25, 30)).astype(np.uint8)
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    codes, counts = ltogp.encode(image), ltogp.histogram(image, normalize="l1")
print("sums", codes.sum(), counts.sum())
for warning in warned:
    print("warned", warning.category.__name__, warning.message)
"""


def sums():
    return f"sums {ltogp.encode(IMAGE).sum()} {ltogp.histogram(IMAGE, normalize='l1').sum()}"


@pytest.mark.parametrize("user_cache", ["writable", "missing"])
def test_package_in_a_directory_without_write_permission(tmp_path, user_cache):
    environment = copy_package(tmp_path / "site-packages")
    # Nothing can be written to a file; permissions would not stop root.
    (tmp_path / "site-packages" / "ltogp" / "__pycache__").touch()
    cache = tmp_path / "cache"
    if user_cache == "missing":
        cache.touch()
    environment |= {"HOME": str(cache), "XDG_CACHE_HOME": str(cache), "NUMBA_CACHE_DIR": ""}
    out = run_python(USE_KERNELS, tmp_path, **environment)
    assert sums() in out
    warned = [line for line in out.splitlines() if line.startswith("warned")]
    if user_cache == "missing":
        (warning,) = warned  # of three kernels
        assert warning.startswith(
            "warned UserWarning ltogp cannot cache its compiled kernels (cannot cache function"
        )
        assert "no locator available" in warning
        assert "set the environment variable NUMBA_CACHE_DIR to a folder that can be written to" in warning
        return
    assert not warned
    assert f"data saved to '{cache}" in out
    out = run_python(USE_KERNELS, tmp_path, **environment)
    assert sums() in out
    assert f"data loaded from '{cache}" in out
    assert "data saved" not in out


@pytest.mark.skipif(sys.platform == "win32", reason="no limit to the size of files on this system")
def test_full_disk(tmp_path):
    use_kernel = USE_KERNELS.replace(
        'codes, counts = ltogp.encode(image), ltogp.histogram(image, normalize="l1")',
        "codes = counts = ltogp.encode(image)",
    )
    total = int(ltogp.encode(IMAGE).sum())
    expected = f"sums {total} {total}"
    environment = copy_package(tmp_path / "site-packages")
    environment["NUMBA_CACHE_DIR"] = str(tmp_path / "cache")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"  # empty files only
    out = run_python(limit + use_kernel, tmp_path, **environment)
    assert expected in out
    (warning,) = [line for line in out.splitlines() if line.startswith("warned")]
    assert warning.startswith("warned UserWarning ltogp cannot cache its compiled kernels ([Errno")
    # Once there is room, the cache works: nothing half-written is left.
    out = run_python(use_kernel, tmp_path, **environment)
    assert expected in out
    assert "warned" not in out
    assert "data loaded" not in out
    assert "data saved" in out


ONE_KERNEL_OF_EACH_FILE = """
import numpy as np, ltogp
from ltogp import _compilation
image = np.random.default_rng(0).integers(0, 256, (25, 30)).astype(np.uint8)
_compilation.counts_bits = lambda: True  # without the instruction this is only slow
# It comes first, for the kernels that it calls are linked to what is loaded later, too.
print("counts", ltogp.histogram(image, (1, 1)).astype(int).tolist())
print("codes", ltogp.encode(image).ravel().tolist())
"""


def test_changed_kernel_is_not_served_stale(tmp_path):
    environment = {**copy_package(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def run():
        out = run_python(ONE_KERNEL_OF_EACH_FILE, tmp_path, **environment)
        shown = [line.partition(" ")[2] for line in out.splitlines() if line.startswith(("counts", "codes"))]
        return out, [json.loads(line) for line in shown]

    def assert_describes(image, shown):
        counts = ltogp.histogram(image, (1, 1)).tolist()
        assert shown == [counts, ltogp.encode(image).ravel().tolist()]

    out, shown = run()
    assert_describes(IMAGE, shown)
    assert out.count("data saved") == 2
    out, shown = run()
    assert_describes(IMAGE, shown)
    assert out.count("data loaded") == 2
    assert "data saved" not in out
    # Both kernels call this one, from the other file and its own. Changed, it negates the image.
    kernels = tmp_path / "ltogp" / "_kernels.py"
    before = "padded[o + left + x] = flip - frames[f, v, x]"
    assert kernels.read_text().count(before) == 2
    kernels.write_text(kernels.read_text().replace(before, "padded[o + left + x] = frames[f, v, x]"))
    out, shown = run()
    assert_describes(255 - IMAGE, shown)
    assert out.count("data saved") == 2


# ---------------------------------------------------------------------------------------- no compilation


def test_kernels_mean_the_same_without_compilation():
    image = np.random.default_rng(0).integers(0, 256, (25, 30)).astype(np.uint8)
    expected = [ltogp.histogram(x, (1, 2)) for x in (image, image.astype(np.float32), np.zeros_like(image))]
    code = """
import numpy as np, ltogp
image = np.random.default_rng(0).integers(0, 256, (25, 30)).astype(np.uint8)
for x in (image, image.astype(np.float32), np.zeros_like(image)):
    print(ltogp.histogram(x, (1, 2)).astype(int).tolist())
"""
    out = run_python(code, NUMBA_DISABLE_JIT="1", PYTHONWARNINGS="ignore")
    np.testing.assert_array_equal([json.loads(line) for line in out.splitlines()], expected)
