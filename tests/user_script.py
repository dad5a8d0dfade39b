"""What a user writes: run, and checked by mypy --strict, where the packages are installed (test_wheel.py).

It needs what `pip install .` brings, and no extra.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import l21
import ltogp
import microexpr
import rankpool
from microexpr.experiment import Scores, Settings


def textures(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    codes: NDArray[np.uint8] = ltogp.encode(images)
    assert codes.shape == images.shape
    V: NDArray[np.float32] = ltogp.histogram(images, blocks=(2, 2))
    assert np.array_equal(ltogp.LTOGP(blocks=(2, 2)).fit_transform(images), V)
    return V


def order(V: NDArray[np.float32]) -> NDArray[np.float64]:
    result: rankpool.RankSVMResult = rankpool.rank_svm(V, C=1.0)
    gap: float = result.gap
    assert gap <= 1e-6
    u: NDArray[np.float64] = rankpool.rank_pool(V)
    assert np.array_equal(u, result.u)
    return u


def select(X: NDArray[np.float64], y: list[str]) -> NDArray[np.float64]:
    Y, classes = l21.one_hot(y)
    solution: l21.L21Result = l21.solve(X, Y, gamma=2 * l21.critical_gamma(X, Y))
    assert solution.W.shape == (X.shape[1], len(classes))
    selector = l21.L21Selector(n_features_to_select=5, gamma=("critical", 10.0))
    selected: NDArray[np.float64] = selector.fit_transform(X, y)
    return selected


def recognise(X: NDArray[np.float64], y: list[str], groups: list[int]) -> Scores:
    scores: Scores = microexpr.loso(X, y, groups, microexpr.make_classifier(n_features=5), n_jobs=1)
    share: float = scores.accuracy
    assert 0 <= share <= 1
    return scores


def main() -> None:
    random = np.random.default_rng(0)
    clips = random.integers(0, 256, (12, 4, 32, 32), dtype=np.uint8)
    u = order(textures(clips[0]))
    assert np.array_equal(microexpr.describe(clips[0], blocks=(2, 2)), u)
    X = np.stack([microexpr.describe(frames, blocks=(2, 2)) for frames in clips])
    y = ["anger", "joy", "surprise"] * 4
    assert select(X, y).shape == (12, 5)
    print(recognise(X, y, [i // 3 for i in range(12)]))
    settings = Settings(protocol="kfold", n_splits=4)
    print(settings.protocol, microexpr.__version__)
    for package in (ltogp, rankpool, l21, microexpr):
        assert package.__version__ == microexpr.__version__
        print(Path(str(package.__file__)).parent)
    modules: list[str] = [name for name in sys.argv[1:] if name in sys.modules]
    print("loaded:", *modules)


if __name__ == "__main__":
    main()
