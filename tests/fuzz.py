"""Call every public function that takes arrays on random input: `python tests/fuzz.py --minutes 30`.

A call may give an answer that is finite and of the right shape, raise a TypeError or a ValueError that
says something, or warn. Everything else is a finding and ends in exit status 1: another exception, a NaN, a
gap above the tolerance without a ConvergenceWarning, a RuntimeWarning of our own, more than a minute for one
call, a crash of the process. `python tests/fuzz.py --only NAME --seed N` repeats one call.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

import l21
import ltogp
import microexpr
import rankpool

sys.path.insert(0, str(Path(__file__).parent))  # for pytest, which looks for doctests in this file, too
from fuzz_arguments import array, labels, matrix, number, options, sometimes

OURS = r"(ltogp|rankpool|l21|microexpr)\b"
LONGEST = 60  # seconds for one call, a compilation included


# -------------------------------------------------------------------------------------------------- functions
#
# Each takes a random generator and returns a call and a check of its answer: a text that says what is wrong.


def finite(shape=None):
    def check(answer, caught):
        answer = np.asarray(answer)
        if shape is not None and answer.shape != shape:
            return f"shape {answer.shape}, expected {shape}"
        return None if np.isfinite(answer).all() else "not finite"

    return check


def images(rng):
    """Images, and `channel_axis` where they have one."""
    shape = [int(rng.integers(1, 5)), int(rng.integers(1, 20)), int(rng.integers(1, 20))]
    if rng.random() < 0.3:
        del shape[0]
    if rng.random() < 0.05:
        shape[0] = 0
    if rng.random() < 0.15:
        axis = int(rng.integers(len(shape) + 1))
        shape.insert(axis, int(rng.integers(1, 5)))
        return array(rng, tuple(shape)), {"channel_axis": axis}
    return array(rng, tuple(shape)), {}


def blocks(rng):
    good, bad = [(1, 1), (1, 2), (2, 3)], [(0, 1), (10**9, 1), 4]
    return (good if rng.random() < 0.9 else bad)[rng.integers(3)]


def texture_options(rng):
    return options(
        rng,
        radius=([1, 2, 7], [0, 10**9, 1.5]),
        mode=(["nearest", "reflect", "mirror", "constant", "wrap"], ["edge"]),
        templates=([None, "ltogp", "lbp", "central", rng.standard_normal((8, 3, 3))], ["x", np.ones(3)]),
        mapping=(["default", "ror", "uniform", "nri_uniform"], ["x"]),
        n_jobs=([None, 1, 2, -1, -2], [0]),
    )


def histogram_options(rng):
    chosen = texture_options(rng) | {"blocks": blocks(rng)}
    return chosen | options(
        rng,
        overlap=([0.0, 0.5, 0.999999], [1.0, np.nan]),
        normalize=([None, "l1", "l2", "l1-sqrt"], ["l3"]),
    )


def encode(rng):
    image, axis = images(rng)
    chosen = texture_options(rng) | axis
    return lambda: ltogp.encode(image, **chosen), finite(np.shape(image))


def encode_tiles(rng):
    image, axis = images(rng)
    chosen = texture_options(rng) | axis | options(rng, tile=([None, 1, 7, (3, 9)], [0, "x"]))
    return lambda: ltogp.encode_tiles(image, **chosen), finite(np.shape(image))


def histogram_map(rng):
    image, axis = images(rng)
    chosen = texture_options(rng) | axis
    chosen |= options(
        rng,
        tile=([None, 7, (3, 9)], [0, "x"]),
        normalize=([None, "l1", "l2", "l1-sqrt"], ["l3"]),
    )
    window, stride = (
        [1, 4, (3, 9), 10**6, 0, 1.5][rng.integers(6)],
        [1, 5, (2, 7), 10**6, 0][rng.integers(5)],
    )
    return lambda: ltogp.histogram_map(image, window, stride, **chosen), finite()


def histogram(rng):
    image, axis = images(rng)
    chosen = histogram_options(rng) | axis
    return lambda: ltogp.histogram(image, **chosen), finite()


def histogram_top(rng):
    image, axis = images(rng)
    chosen = histogram_options(rng) | axis
    return lambda: ltogp.histogram_top(image, **chosen), finite()


def LTOGP(rng):
    image, axis = images(rng)
    chosen = histogram_options(rng) | axis
    return lambda: ltogp.LTOGP(**chosen).fit_transform(image), finite()


def frames(rng):
    return matrix(rng, int(rng.integers(1, 12)), int(rng.integers(1, 9)))


def times(rng, T):
    t = rng.integers(0, 5, T)
    return [t, t / 3, t.astype("datetime64[s]"), np.arange(T) * 1e300, np.full(T, np.nan), t[1:]][
        rng.integers(6)
    ]


def ranking_options(rng, T):
    chosen = options(
        rng,
        loss=(["hinge", "squared_hinge"], ["x"]),
        tol=([1e-6, 1e-3, 1e-12], [0.0]),
        max_iter=([1, 100], [0]),
    )
    if rng.random() < 0.3:
        chosen["times"] = times(rng, T)
    return chosen


def pooling_options(rng):
    return options(
        rng,
        smoothing=([None, "tvm", "ma"], ["x"]),
        window=([1, 2, 3], [10**9, 0]),
        feature_map=([None, "ssr", "posneg", "hellinger", "tanh", "chi2"], ["x"]),
        normalize=([None, "l1", "l2"], ["l3"]),
        direction=(["forward", "reverse", "both"], ["x"]),
        method=(["ranksvm", "approximate", "svr"], ["x"]),
    )


def rank_svm(rng):
    V, C = frames(rng), number(rng)
    chosen = ranking_options(rng, rows(V))
    if rng.random() < 0.2:
        chosen["groups"] = rng.integers(0, 3, rows(V))

    def check(result, caught):
        if not (np.isfinite(result.u).all() and result.u.shape == (np.shape(V)[1],)):
            return "u is not finite or has the wrong shape"
        return wrong_gap(result.gap, chosen.get("tol", 1e-6), caught)

    return lambda: rankpool.rank_svm(V, C, **chosen), check


def held_out_scores(rng):
    V, C = frames(rng), number(rng)
    chosen = ranking_options(rng, 0) | options(rng, n_folds=([None, 2, 3], [0, 10**9]))
    chosen = {name: value for name, value in chosen.items() if name not in ("times", "max_iter")}

    def check(found, caught):
        if rows(V) >= 4 and not np.isfinite(found.scores).all():
            return "a score is not finite"
        return None if np.isnan(found.tau) or abs(found.tau) <= 1 else f"tau is {found.tau}"

    return lambda: rankpool.held_out_scores(V, C, **chosen), check


def rank_pool(rng):
    V, C = frames(rng), number(rng)
    chosen = ranking_options(rng, rows(V)) | pooling_options(rng)
    return lambda: rankpool.rank_pool(V, C, **chosen), finite()


def approximate_rank_pool(rng):
    V = frames(rng)
    chosen = {"times": times(rng, rows(V))} if rng.random() < 0.3 else {}
    return lambda: rankpool.approximate_rank_pool(V, **chosen), finite((np.shape(V)[1],))


def hierarchical_rank_pool(rng):
    V, C = frames(rng), number(rng)
    chosen = pooling_options(rng) | options(
        rng, stride=([1, 2], [10**9, 0]), depth=([1, 2, 3], [10**6, 0]), window=([2, 3], [1])
    )
    return lambda: rankpool.hierarchical_rank_pool(V, C, **chosen), finite()


def dynamic_image(rng):
    image, C = images(rng)[0], number(rng)
    return lambda: rankpool.dynamic_image(image, C), finite()


def RankPooling(rng):
    d = int(rng.integers(1, 6))
    clips = [matrix(rng, int(rng.integers(1, 8)), d) for _ in range(rng.integers(1, 4))]
    chosen = options(rng, n_jobs=([1, 2, -2], [0])) | pooling_options(rng)
    return lambda: rankpool.RankPooling(number(rng), **chosen).fit_transform(clips), finite()


def HierarchicalRankPooling(rng):
    d = int(rng.integers(1, 6))
    clips = [matrix(rng, int(rng.integers(2, 12)), d) for _ in range(rng.integers(1, 4))]
    chosen = options(
        rng, n_jobs=([1, 2], [0]), stride=([1, 2], [0]), depth=([1, 2], [9]), window=([2, 5], [1])
    )
    return lambda: rankpool.HierarchicalRankPooling(number(rng), **chosen).fit_transform(clips), finite()


def RankSVM(rng):
    n = int(rng.integers(1, 12))
    X, y = matrix(rng, n, int(rng.integers(1, 6))), labels(rng, n)
    groups = sometimes(rng, 0.4, rng.integers(0, 3, n))

    def call():
        model = rankpool.RankSVM(number(rng)).fit(X, y, groups=groups)
        return [*model.coef_, *model.predict(X), model.score(X, y, groups=groups)]

    return call, finite()


def data_and_gamma(rng):
    n, d, c = (int(rng.integers(1, 12)), int(rng.integers(1, 15)), int(rng.integers(1, 4)))
    X = matrix(rng, n, d)
    Y = l21.one_hot(rng.integers(0, c, n))[0] if rng.random() < 0.6 else array(rng, (n, c))
    return X, Y, [number(rng), number(rng), 10.0 ** rng.uniform(-3, 3, n)][rng.integers(3)]


def solver(function):
    def build(rng):
        X, Y, gamma = data_and_gamma(rng)
        chosen = options(rng, tol=([1e-6, 1e-3, 1e-12], [0.0]), max_iter=([1, 100], [0]))
        shape = np.shape(X)[1], np.shape(Y)[1]
        if rng.random() < 0.2:
            chosen["W0"] = array(rng, shape)
        if function is l21.solve and rng.random() < 0.3:
            chosen["solver"] = "irls"

        def check(result, caught):
            if not (np.isfinite(result.W).all() and result.W.shape == shape):
                return "W is not finite or has the wrong shape"
            return wrong_gap(result.gap, chosen.get("tol", 1e-6), caught)

        return lambda: function(X, Y, gamma, **chosen), check

    return build


def path(rng):
    X, Y, _ = data_and_gamma(rng)
    gammas = [number(rng) for _ in range(3)]
    return lambda: np.concatenate([result.W for result in l21.path(X, Y, gammas, progress=False)]), finite()


def critical_gamma(rng):
    X, Y, _ = data_and_gamma(rng)

    def check(gamma, caught):
        return None if gamma > 0 else f"{gamma} is not above 0"  # infinity where W = 0 is always optimal

    return lambda: l21.critical_gamma(X, Y), check


def objective(rng):
    X, Y, gamma = data_and_gamma(rng)
    W = array(rng, (np.shape(X)[1], np.shape(Y)[1]))

    def check(value, caught):
        return None if value >= 0 else f"{value} is no value of it"  # infinite where it overflows

    return lambda: l21.objective(X, Y, W, gamma), check


def feasible_dual(rng):
    X, Y, gamma = data_and_gamma(rng)
    dual = array(rng, np.shape(Y))
    return lambda: l21.feasible_dual(X, dual, gamma), finite(np.shape(Y))


def relative_gap(rng):
    X, Y, gamma = data_and_gamma(rng)
    W, dual = array(rng, (np.shape(X)[1], np.shape(Y)[1])), array(rng, np.shape(Y))

    def check(gap, caught):
        return None if gap >= 0 or np.isnan(gap) else f"{gap} is negative"

    return lambda: l21.relative_gap(X, Y, W, dual, gamma), check


def L21Selector(rng):
    n = int(rng.integers(4, 16))
    X, y = matrix(rng, n, int(rng.integers(1, 15))), labels(rng, n)
    chosen = options(
        rng,
        n_features_to_select=([1, 0.5, None], [99]),
        gamma=([1.0, ("critical", 5.0), "cv", number(rng)], ["x"]),
        loss=(["l21", "squared", "logistic"], ["x"]),
        n_jobs=([1, -2], [0]),
    ) | {"cv": 2, "gammas": 2}
    return lambda: l21.L21Selector(**chosen).fit(X, y).coef_, finite()


def describe(rng):
    image, C = images(rng)[0], number(rng)
    chosen = options(
        rng,
        mode=(["nearest", "wrap"], ["x"]),
        loss=(["hinge", "squared_hinge"], ["x"]),
        pooling=(["rank", "mean", "mean+rank", "energy"], ["x", 3]),
    )
    chosen["blocks"] = blocks(rng)
    return lambda: microexpr.describe(image, C=C, **chosen), finite()


def make_classifier(rng):
    n = int(rng.integers(4, 16))
    X, y = matrix(rng, n, int(rng.integers(2, 10))), labels(rng, n)
    n_features, gamma = [1, 2, "all", None][rng.integers(4)], number(rng)
    chosen = options(rng, classifier=(["svm", "lda"], ["x"]), class_weight=(["balanced"], ["x", 3]))
    made = lambda: microexpr.make_classifier(n_features, gamma, **chosen)  # noqa: E731
    return lambda: made().fit(X, y).decision_function(X), finite()


def loso(rng):
    n = int(rng.integers(4, 16))
    X, y, groups = matrix(rng, n, int(rng.integers(2, 10))), labels(rng, n), labels(rng, n, 4)
    classifier = microexpr.make_classifier(1)
    return lambda: microexpr.loso(X, y, groups, classifier).accuracy, finite()


FUNCTIONS = [
    encode, encode_tiles, histogram, histogram_map, histogram_top, LTOGP,
    rank_svm, held_out_scores, rank_pool, approximate_rank_pool, hierarchical_rank_pool, dynamic_image,
    RankPooling, HierarchicalRankPooling, RankSVM,
    path, critical_gamma, objective, feasible_dual, relative_gap, L21Selector,
    describe, make_classifier, loso,
]  # fmt: skip
BUILDERS = {function.__name__: function for function in FUNCTIONS} | {
    function.__name__: solver(function) for function in (l21.solve, l21.solve_squared, l21.solve_logistic)
}


def rows(V):
    return V.shape[0] if hasattr(V, "shape") else len(V)


def wrong_gap(gap, tol, caught):
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        return "the gap is negative" if gap < 0 else None
    return None if 0 <= gap <= tol else f"gap {gap} above tol {tol} without a ConvergenceWarning"


# ------------------------------------------------------------------------------------------------------- runs


def run(name, seed):
    """One call; return "answer", "refused" or what is wrong."""
    rng = np.random.default_rng([seed, *name.encode()])
    call, check = BUILDERS[name](rng)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("error", category=RuntimeWarning, module=OURS)
        try:
            answer = call()
        except (TypeError, ValueError) as error:
            return "refused" if str(error) else f"{type(error).__name__} without a word"
        except Exception:
            return traceback.format_exc()
    return check(answer, caught) or "answer"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=0.5, help="how long, compilations aside (0.5)")
    parser.add_argument("--only", choices=sorted(BUILDERS), help="one function")
    parser.add_argument("--seed", type=int, help="one call, or with --minutes the first of many")
    parser.add_argument(
        "--last", type=Path, help="file that says which call it is, for one that does not return"
    )
    arguments = parser.parse_args()
    names = [arguments.only] if arguments.only else list(BUILDERS)
    faulthandler.enable()
    if arguments.only and arguments.seed is not None:
        print(run(arguments.only, arguments.seed))
        return 0

    first = int.from_bytes(os.urandom(4)) if arguments.seed is None else arguments.seed
    counts, findings, slowest = collections.Counter(), [], collections.Counter()
    seconds, seed = 60 * arguments.minutes, first
    while seconds > 0:
        for name in names:
            if sys.stderr.isatty():
                print(f"\r{name} {seed}".ljust(40), end="", file=sys.stderr)
            if arguments.last:
                arguments.last.write_text(f"--only {name} --seed {seed}")
            # Ctrl-C does not end a loop in compiled code; this does, and says where.
            faulthandler.dump_traceback_later(LONGEST, exit=True)
            start = time.monotonic()
            outcome = run(name, seed)
            faulthandler.cancel_dump_traceback_later()
            elapsed = time.monotonic() - start
            slowest[name] = max(slowest[name], elapsed)
            seconds -= min(elapsed, 0.5)  # not what is compiled on the way
            if outcome not in ("answer", "refused"):
                findings.append((name, seed, outcome))
                outcome = "finding"
            counts[name, outcome] += 1
        seed += 1

    if sys.stderr.isatty():
        print("\r" + " " * 40, file=sys.stderr)
    print(f"{'function':<26}{'answers':>9}{'refused':>9}{'findings':>9}{'slowest':>10}")
    for name in names:
        columns = "".join(f"{counts[name, outcome]:>9}" for outcome in ("answer", "refused", "finding"))
        print(f"{name:<26}{columns}{slowest[name]:>8.2f} s")
    for name, seed, outcome in findings[:20]:
        print(f"\n--only {name} --seed {seed}: {outcome}")
    never = [name for name in names if not counts[name, "answer"] and seed - first > 20]
    if never and not arguments.only:
        print(f"\nnever an answer, so nothing was tried: {', '.join(never)}")
    return 1 if findings or (never and not arguments.only) else 0


if __name__ == "__main__":
    sys.exit(main())
