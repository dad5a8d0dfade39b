"""Each algorithm package with nothing installed but what its functions compute with."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Runs in a process of its own: there, no other top-level module is to be had than those named.
REFUSE = """
import sys, warnings
import numpy as np

class Only:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names | ALLOWED or top.startswith("_sysconfigdata"):
            return self.finder.find_spec(name, path, target)

for name in [name for name in sys.modules if name.partition(".")[0] in ("sklearn", "tqdm", "joblib", "PIL")]:
    raise AssertionError(f"{name} is loaded already")
sys.meta_path[:] = map(Only, sys.meta_path)
random = np.random.default_rng(0)
"""

LTOGP = """
import ltogp
from ltogp import *
frames = random.integers(0, 256, (3, 64, 64)).astype(np.uint8)
assert ltogp.histogram(frames).shape == (3, 16384)
assert ltogp.encode(frames).shape == frames.shape
assert ltogp.histogram_top(frames, (2, 2)).shape == (3 * 4 * 256,)
assert (encode_tiles(frames[0]) == ltogp.encode(frames[0])).all()
assert ltogp.histogram_map(frames[0], window=9, stride=4).shape[-1] == 256
try:
    ltogp.LTOGP
except ModuleNotFoundError as error:
    assert "sklearn" in str(error)
else:
    raise AssertionError("where is scikit-learn from?")
"""

RANKPOOL = """
import rankpool
from rankpool import *
V = random.standard_normal((30, 64)).cumsum(axis=0)
assert rankpool.rank_svm(V).gap <= 1e-6
assert rankpool.rank_pool(V, feature_map="ssr", smoothing="tvm").shape == (64,)
assert approximate_rank_pool(V).shape == (64,)
assert rankpool.held_out_scores(V).tau > 0
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    rankpool.rank_svm(random.standard_normal((30, 64)), max_iter=1)
assert [warning.category for warning in caught] == [UserWarning], caught
assert "raise tol or max_iter" in str(caught[0].message)
"""

L21 = """
import l21
from l21 import *
X = random.standard_normal((30, 64))
Y, classes = l21.one_hot(np.arange(30) % 3)
assert l21.solve(X, Y).gap <= 1e-6
assert critical_gamma(X, Y) > 0
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    l21.solve(X, Y, 1.0, max_iter=1)
assert [warning.category for warning in caught] == [UserWarning], caught
assert "raise max_iter" in str(caught[0].message)
"""


@pytest.mark.parametrize(
    ("package", "needed", "code"),
    [
        ("ltogp", {"numba", "numpy", "llvmlite"}, LTOGP),
        ("rankpool", {"numba", "numpy", "llvmlite", "scipy", "threadpoolctl"}, RANKPOOL),
        ("l21", {"numpy", "scipy", "threadpoolctl"}, L21),
    ],
)
def test_a_package_alone(package, needed, code):
    allowed = f"ALLOWED = {needed | {package}!r}"
    done = subprocess.run(
        [sys.executable, "-c", allowed + REFUSE + code], capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
