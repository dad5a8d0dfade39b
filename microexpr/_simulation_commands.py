"""The commands ``microexpr demo`` and ``microexpr simulate``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._command_line import check_writable, matplotlib_is_there, print_json, warned_once
from ._extras import require
from ._spotting_options import LONG_SIMULATION
from ._temporary import temporary_folder
from ._wording import option

if TYPE_CHECKING:
    from .experiment import Scores

_OF_CLIPS = ("subjects", "clips", "difficulty", "frames")  # and not of long videos


def demo(options: argparse.Namespace) -> None:
    """Run the whole experiment on clips simulated for it."""
    check_writable(options.out)
    require("this command", "datasets")
    from . import data
    from .experiment import loso
    from .extraction import extract
    from .pipeline import make_classifier

    started = time.perf_counter()
    if options.n_features > 16384:
        raise ValueError(f"n_features is {options.n_features}; 8 x 8 blocks give 16384 features")
    chosen: dict[str, Any] = {
        "classifier": options.classifier or "svm",
        "class_weight": options.class_weight,
    }
    classifiers = {
        name: make_classifier(n, options.gamma, options.C, **chosen)
        for name, n in (("all features", "all"), (f"{options.n_features} selected", options.n_features))
    }
    with temporary_folder() as temporary:
        root = data.simulate(options.keep or temporary / "data", **_simulation(options))
        clips = extract(data.read_casme2(root), n_jobs=options.jobs)
    X, table = clips.X, clips.table
    y, subjects = table["emotion"].to_numpy(dtype=str), table["subject"].to_numpy(dtype=str)
    results = {}
    for name, classifier in classifiers.items():
        with warned_once():
            results[name] = loso(X, y, subjects, classifier)

    if options.json:
        scored = {
            name: {measure: getattr(scores, measure) for measure in ("accuracy", "uf1", "uar")}
            for name, scores in results.items()
        }
        about: dict[str, Any] = {
            "simulated": True,
            "clips": len(y),
            "subjects": len(set(subjects)),
            "seed": options.seed,
        }
    else:
        _print_scores(results, options)
    drawn = _save_confusions(results, options.out)
    seconds = time.perf_counter() - started
    if options.json:
        files = [options.out] if drawn else []
        print_json({**about, "scores": scored, "seconds": seconds, "files": files})
        return
    if drawn:
        print(f"wrote {options.out}")
    print(f"done in {seconds:.0f} s")


def simulate(options: argparse.Namespace) -> None:
    """Write a simulated data set, of clips or of long videos."""
    require("this command", "datasets")
    from . import data

    given = {name for name, *_ in LONG_SIMULATION if getattr(options, name) is not None}
    if not options.long:
        for name in sorted(given) + ["video"] * bool(options.video):
            raise ValueError(f"{option(name)} is of long videos: give --long")
        root = data.simulate(options.out, **_simulation(options))
        if options.json:
            names = ("clips", "subjects", "difficulty", "seed")
            print_json({"simulated": True, "folder": root, **{n: getattr(options, n) for n in names}})
            return
        print(f"{root}: simulated {options.clips} clips of {options.subjects} subjects, CASME II's layout")
        return
    for name, default in (("subjects", 26), ("clips", 246), ("difficulty", "easy"), ("frames", (40, 90))):
        if getattr(options, name) != default:
            raise ValueError(f"{option(name)} is of clips, and has no part in --long")
    common = {name: value for name, value in _simulation(options).items() if name not in _OF_CLIPS}
    manifest = data.simulate_long(
        options.out, **common, **{name: getattr(options, name) for name in given}, video=bool(options.video)
    )
    if options.json:
        print_json(
            {"simulated": True, "manifest": manifest, "fps": options.fps or 200.0, "seed": options.seed}
        )
        return
    rate = "" if options.video else f" --fps {options.fps or 200:g}"
    print(f"{manifest}: simulated long videos; `microexpr spot manifest {manifest}{rate}` spots in them")


def _print_scores(results: dict[str, Scores], options: argparse.Namespace) -> None:
    import numpy as np

    first = next(iter(results.values()))
    labels, counts = np.unique(first.y, return_counts=True)
    n = len(first.y)
    classifier = {"svm": "linear SVM", "lda": "shrinkage LDA"}[options.classifier or "svm"]
    if options.class_weight:
        classifier += ", classes balanced"
    faces = f"portraits from {options.faces}" if options.faces else "drawn faces"
    print(
        f"Simulated clips, not real micro-expressions: {n} clips of {len(set(first.groups))} subjects"
        f" ({faces}), seed {options.seed}.\n"
        f"LTOGP, rank pooling, {classifier}; leave-one-subject-out, predictions pooled.\n"
    )
    print(f"{'simulated data':<22}{'accuracy':>10}{'UF1':>8}{'UAR':>8}")
    for name, scores in results.items():
        print(f"{name:<22}{100 * scores.accuracy:>8.1f} %{scores.uf1:>8.3f}{scores.uar:>8.3f}")
    print(f"{'always ' + labels[counts.argmax()]!r:<22}{100 * counts.max() / n:>8.1f} %")
    print()


def _save_confusions(results: dict[str, Scores], path: Path) -> bool:
    """Draw the confusions; return whether there is a matplotlib to draw with."""
    if not matplotlib_is_there():
        return False
    from matplotlib.figure import Figure

    from .plots import plot_confusion

    figure = Figure(figsize=(9, 4.6), layout="constrained")
    for (name, scores), ax in zip(results.items(), figure.subplots(1, len(results)), strict=True):
        plot_confusion(scores, ax, title=name)
    figure.suptitle("LOSO on simulated clips")
    figure.savefig(path, dpi=150)
    return True


def _simulation(options: argparse.Namespace) -> dict[str, Any]:
    names = ("subjects", "clips", "difficulty", "faces", "noise", "motion", "drift", "frames", "size", "seed")
    given = {name: getattr(options, name) for name in names} | {"n_jobs": options.jobs}
    return {name: value for name, value in given.items() if name != "drift" or value is not None}
