"""The command line: ``microexpr demo``, ``simulate``, ``describe``, ``extract``, ``evaluate``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from . import __version__
from ._extras import is_installed, require

# What NumPy, Numba and scikit-learn cost to import is paid by the commands that use them, not by --help.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    0 done, 1 done but some clips had to be left out (extract), 2 cannot be done, 130 stopped by the user.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except (OSError, ValueError, ModuleNotFoundError, MemoryError) as error:
        words = " ".join(str(error).split())  # a library's message may have several lines
        if isinstance(error, MemoryError):
            words = f"not enough memory: {words}"
        print(f"microexpr {options.name}: {words}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"microexpr {options.name}: stopped", file=sys.stderr)
        return 130


def _demo(options: argparse.Namespace) -> None:
    _check_parent(options.out)
    if options.out.is_dir():
        raise IsADirectoryError(f"{options.out} is a folder; --out is the file to write")
    require("this command", "datasets")
    import numpy as np

    from .data import read_casme2, simulate
    from .experiment import loso
    from .extraction import extract
    from .pipeline import make_classifier

    started = time.perf_counter()
    if options.n_features > 16384:
        raise ValueError(f"n_features is {options.n_features}; 8 x 8 blocks give 16384 features")
    classifiers = {
        "all features": make_classifier("all", options.gamma, options.C),
        f"{options.n_features} selected": make_classifier(options.n_features, options.gamma, options.C),
    }
    with tempfile.TemporaryDirectory(prefix="microexpr-") as temporary:
        root = simulate(options.keep or Path(temporary) / "data", **_simulation(options))
        clips = extract(read_casme2(root), n_jobs=options.jobs)
    X, table = clips.X, clips.table
    y, subjects = table["emotion"].to_numpy(dtype=str), table["subject"].to_numpy(dtype=str)
    results = {}
    for name, classifier in classifiers.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            results[name] = loso(X, y, subjects, classifier)
        _say_once(caught)

    labels, counts = np.unique(y, return_counts=True)
    faces = f"portraits from {options.faces}" if options.faces else "drawn faces"
    print(
        f"Simulated clips, not real micro-expressions: {len(y)} clips of {len(set(subjects))} subjects"
        f" ({faces}), seed {options.seed}.\n"
        f"LTOGP, rank pooling, linear SVM; leave-one-subject-out, predictions pooled.\n"
    )
    print(f"{'simulated data':<22}{'accuracy':>10}{'UF1':>8}{'UAR':>8}")
    for name, scores in results.items():
        print(f"{name:<22}{100 * scores.accuracy:>8.1f} %{scores.uf1:>8.3f}{scores.uar:>8.3f}")
    print(f"{'always ' + labels[counts.argmax()]!r:<22}{100 * counts.max() / len(y):>8.1f} %")
    print()
    _save_confusions(results, options.out)
    print(f"done in {time.perf_counter() - started:.0f} s")


def _simulate(options: argparse.Namespace) -> None:
    require("this command", "datasets")
    from .data import simulate

    root = simulate(options.out, **_simulation(options))
    print(f"{root}: simulated {options.clips} clips of {options.subjects} subjects, CASME II's layout")


def _describe(options: argparse.Namespace) -> None:
    path = Path(options.path)
    prefix = options.out or (path.resolve().name if path.is_dir() else path.stem)
    _check_parent(prefix)
    is_video = path.is_file()
    finds_face = is_video if options.face is None else options.face
    require("this command", *["video"] * is_video, *["face"] * finds_face)
    import numpy as np

    from .data import read_clip
    from .pipeline import describe

    started = time.perf_counter()
    frames = read_clip(path, face=options.face, margin=options.margin)
    try:
        clip = describe(frames, blocks=options.blocks, C=options.C, full_output=True)
    except ValueError as error:
        raise ValueError(f"{options.path}: {error}") from error
    np.savez_compressed(
        f"{prefix}.npz", u=clip.u, scores=clip.scores, blocks=options.blocks, C=options.C, gap=clip.gap
    )
    print(
        f"{options.path}: {len(frames)} frames -> u of length {len(clip.u)}, {clip.method}, relative"
        f" duality gap {clip.gap:.1e}, {time.perf_counter() - started:.1f} s\nwrote {prefix}.npz"
    )
    if _matplotlib_is_there():
        from .plots import plot_description

        title = f"{path.resolve().name}: LTOGP and rank pooling"
        figure = plot_description(frames, clip.u, blocks=options.blocks, scores=clip.scores, title=title)
        figure.savefig(f"{prefix}.png", dpi=150)
        print(f"wrote {prefix}.png")


def _extract(options: argparse.Namespace) -> int:
    require("this command", "datasets", "store")
    from .data import read_dataset, report
    from .extraction import extract
    from .store import FeatureStore

    started = time.perf_counter()
    path = options.store or Path(f"{options.dataset.lower()}.zarr")
    blocks = options.blocks or [(8, 8)]
    table = read_dataset(options.dataset, options.root, strict=options.strict)
    print(report(table), flush=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clips = extract(
            table,
            path,
            blocks=blocks,
            size=options.size,
            stabilise=options.stabilise,
            n_frames=options.frames,
            n_jobs=options.jobs,
        )
    _say_once(caught)
    grids = ", ".join(f"{down} x {across}" for down, across in dict.fromkeys(map(tuple, blocks)))
    print(
        f"\n{path}: {clips.n_computed} clips described in {grids} blocks, "
        f"{clips.n_skipped} skipped (there already), {time.perf_counter() - started:.1f} s"
    )
    broken = clips.problems
    others = len(FeatureStore(path).table) - len(table)
    if others:
        print(f"{others} other clip{'s' * (others > 1)} in it: of other data sets, or no longer in this one")
    if broken:
        count = f"{len(broken)} clip{'s' * (len(broken) > 1)}"
        print(f"{count} could not be described; mend the files and run this again:", *broken, sep="\n  ")
    if broken and options.strict:
        raise ValueError(
            f"{len(broken)} of the clips could not be described (--strict); the first: {broken[0]}"
        )
    return 1 if broken or table.attrs["problems"] else 0


def _evaluate(options: argparse.Namespace) -> None:
    _check_parent(options.out)
    require("this command", "datasets", "store")
    from .data import report
    from .experiment import Settings, extract_and_evaluate, read, repeat, save_evaluation

    started = time.perf_counter()
    if (options.dataset is None) != (options.root is None):
        raise ValueError(f"{options.dataset} needs its folder: microexpr evaluate DATASET ROOT")
    sources = [(options.dataset, options.root), *options.others] if options.dataset else list(options.others)
    given = {name: getattr(options, name) for name in _SETTINGS if getattr(options, name) is not None}
    differences: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if options.file is not None:
            if given or options.classes:
                names = ", ".join([*given, *(["classes"] if options.classes else [])])
                raise ValueError(f"{options.file} says what {names} is; give no other beside --from")
            evaluation, differences = repeat(
                options.file, sources=sources or None, store=options.store, n_jobs=options.jobs
            )
        else:
            if not sources:
                raise ValueError("evaluate what? Give DATASET ROOT, or --from FILE")
            settings = Settings(**given)
            table = read(sources, options.classes)
            print(report(table) + "\n", flush=True)
            evaluation = extract_and_evaluate(table, settings, store=options.store, n_jobs=options.jobs)
    _say_once(caught)
    print(evaluation)
    written = save_evaluation(evaluation, options.out)
    if _matplotlib_is_there():
        from . import plots

        written += plots.save_evaluation(evaluation, options.out)
    print(f"\nwrote {len(written)} files into {options.out}; done in {time.perf_counter() - started:.0f} s")
    if options.file is not None:
        if differences:
            raise ValueError(f"not what {options.file} has: {'; '.join(differences)}")
        print(f"the same as {options.file}, bit for bit")


def _save_confusions(results: dict, path: Path) -> None:
    if not _matplotlib_is_there():
        return
    from matplotlib.figure import Figure

    from .plots import plot_confusion

    figure = Figure(figsize=(9, 4.6), layout="constrained")
    for (name, scores), ax in zip(results.items(), figure.subplots(1, len(results)), strict=True):
        plot_confusion(scores, ax, title=name)
    figure.suptitle("LOSO on simulated clips")
    figure.savefig(path, dpi=150)
    print(f"wrote {path}")


def _check_parent(path: str | Path) -> None:
    """Raise before the work is done rather than after it."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder to write into")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder.resolve()}: this folder may not be written into; --out names another")


def _matplotlib_is_there() -> bool:
    if not is_installed("plot"):
        print("no plot: install microexpr[plot] for one", file=sys.stderr)
    return is_installed("plot")


def _say_once(caught: list[warnings.WarningMessage]) -> None:
    """Print a warning that several folds gave once, with how many gave it."""
    by_place: dict[tuple[str, int], list[str]] = {}
    for warning in caught:
        if issubclass(warning.category, DeprecationWarning | PendingDeprecationWarning):
            continue  # a library's, for those who call it
        by_place.setdefault((warning.filename, warning.lineno), []).append(str(warning.message))
    for messages in by_place.values():
        more = f" (and {len(messages) - 1} more like it)" if len(messages) > 1 else ""
        print(f"warning: {messages[0]}{more}", file=sys.stderr)


def _simulation(options: argparse.Namespace) -> dict:
    names = ("subjects", "clips", "faces", "noise", "motion", "drift", "frames", "size", "seed")
    return {name: getattr(options, name) for name in names} | {"n_jobs": options.jobs}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line, as every other error is said."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _jobs(text: str) -> int:
    """Read a number of threads or processes: what joblib takes, and no more than a machine could start."""
    try:
        jobs = int(text)
    except ValueError:
        jobs = 0
    if not -1000 <= jobs <= 1000 or jobs == 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number from 1 to 1000, or below 0 (-1: every core, -2: all but one)"
        )
    return jobs


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="microexpr", description="Micro-expression recognition by temporal order (Niu et al., 2019)."
    )
    parser.add_argument("--version", action="version", version=f"microexpr {__version__}")
    commands = parser.add_subparsers(title="commands", dest="name", metavar="COMMAND", required=True)

    demo = _command(
        commands, "demo", _demo, "simulate a small data set, run the whole experiment on it, print the table"
    )
    _add_simulation(demo, subjects=8, clips=80, frames=(20, 40))
    demo.add_argument(
        "--n-features", type=int, default=450, metavar="N", help="features to select (%(default)s)"
    )
    demo.add_argument("--gamma", type=float, default=1.0, help="weight of the loss in Eq. (4) (%(default)s)")
    demo.add_argument("--C", type=float, default=1.0, help="penalty of the SVM (%(default)s)")
    demo.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the simulated data set in this new folder"
    )
    demo.add_argument(
        "--out", type=Path, default=Path("microexpr-demo.png"), metavar="FILE", help="pictures (%(default)s)"
    )

    simulate = _command(
        commands,
        "simulate",
        _simulate,
        "write a simulated data set in CASME II's layout, spreadsheet included",
    )
    simulate.add_argument("out", type=Path, metavar="OUT", help="folder to write into; new or empty")
    _add_simulation(simulate, subjects=26, clips=246, frames=(40, 90))

    describe = _command(
        commands,
        "describe",
        _describe,
        "a face video or a folder of frames -> its representation, and a plot",
    )
    describe.add_argument("path", metavar="VIDEO", help="video file or folder of images")
    describe.add_argument(
        "--face",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="crop to the largest face, or not (default: videos yes, folders no)",
    )
    describe.add_argument(
        "--margin", type=float, default=0.1, help="border around the face, as a fraction of it (%(default)s)"
    )
    describe.add_argument(
        "--blocks", type=int, nargs=2, default=(8, 8), metavar=("DOWN", "ACROSS"), help="(8 8)"
    )
    describe.add_argument("--C", type=float, default=1.0, help="penalty of rank pooling (%(default)s)")
    describe.add_argument(
        "--out", metavar="PREFIX", help="write PREFIX.npz and PREFIX.png (VIDEO's name, here)"
    )

    _add_extraction(_command(commands, "extract", _extract, "every clip of a data set -> a feature store"))
    _add_evaluation(
        _command(
            commands,
            "evaluate",
            _evaluate,
            "a data set -> the paper's tables and Fig. 4, with what makes them comparable",
        )
    )
    return parser


def _add_extraction(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="casme, casme2, smic, samm, casme3 or manifest")
    parser.add_argument("root", metavar="ROOT", help="its folder (manifest: its CSV file)")
    parser.add_argument(
        "--store",
        type=Path,
        metavar="FILE",
        help="feature store to fill; what it holds already is skipped (DATASET.zarr)",
    )
    parser.add_argument(
        "--blocks",
        type=int,
        nargs=2,
        action="append",
        metavar=("DOWN", "ACROSS"),
        help="(8 8); may be repeated, the frames are decoded once for all",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(128, 128),
        metavar=("HEIGHT", "WIDTH"),
        help="that frames are resized to, pixels (128 128)",
    )
    parser.add_argument(
        "--stabilise",
        choices=("integer", "subpixel"),
        help="move every frame back onto the first, by phase correlation (default: off)",
    )
    parser.add_argument(
        "--frames",
        type=int,
        metavar="N",
        help="resample each clip in time to N frames, linearly (default: as they are)",
    )
    parser.add_argument("--strict", action="store_true", help="fail if any clip cannot be read or described")
    parser.add_argument("--jobs", type=_jobs, default=-1, metavar="J", help="threads (-1: every core)")


# Options of `evaluate` that are fields of `experiment.Settings`, which has their defaults.
_SETTINGS = {
    "protocol": {
        "choices": ("loso", "lovo", "kfold", "composite", "cross"),
        "help": "leave out one subject (loso, the default), one video, a k-th of the subjects, or one "
        "subject of all data sets together; or train on the first data set and test on each other one",
    },
    "blocks": {"type": int, "metavar": "B", "help": "blocks down and across, for the tables (8)"},
    "n_features": {"type": int, "metavar": "N", "help": "features for the tables (casme 325, others 450)"},
    "gamma": {"type": float, "help": "weight of the loss in Eq. (4) (1)"},
    "C": {"type": float, "help": "penalty of the SVM (1)"},
    "sweep": {"action": argparse.BooleanOptionalAction, "help": "Fig. 4 (default: yes)"},
    "nested": {
        "action": argparse.BooleanOptionalAction,
        "help": "choose C and N inside the training folds too (default: yes)",
    },
    "sweep_blocks": {"type": int, "nargs": "+", "metavar": "B", "help": "of Fig. 4 (4 6 8 10 12)"},
    "sweep_n_features": {
        "type": int,
        "nargs": "+",
        "metavar": "N",
        "help": "of Fig. 4, and what N is chosen from (75 200 ... 950)",
    },
    "n_splits": {"type": int, "metavar": "K", "help": "folds of --protocol kfold (10)"},
    "n_resamples": {"type": int, "metavar": "R", "help": "of the bootstrap (10000)"},
    "seed": {"type": int, "help": "of the bootstrap (0)"},
}


def _add_evaluation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dataset", nargs="?", metavar="DATASET", help="casme, casme2, smic, samm, casme3 or manifest"
    )
    parser.add_argument("root", nargs="?", metavar="ROOT", help="its folder (manifest: its CSV file)")
    parser.add_argument(
        "--with",
        dest="others",
        nargs=2,
        action="append",
        default=[],
        metavar=("DATASET", "ROOT"),
        help="a further data set, for the protocols composite and cross; may be repeated",
    )
    parser.add_argument(
        "--store", type=Path, metavar="FILE", help="feature store to use and fill (default: a temporary one)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("microexpr-evaluation"),
        metavar="DIR",
        help="folder to write into (%(default)s)",
    )
    parser.add_argument(
        "--classes",
        choices=("paper", "composite", "all"),
        help="the paper's subset (default where it has one), negative, positive and surprise (default of "
        "several data sets), or as coded",
    )
    parser.add_argument(
        "--from", dest="file", type=Path, metavar="FILE", help="repeat what this evaluation.json says"
    )
    for name, keywords in _SETTINGS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=None, **keywords)  # type: ignore[arg-type]
    parser.add_argument("--jobs", type=_jobs, default=-1, metavar="J", help="processes (-1: every core)")


def _command(commands, name, function, text):  # type: ignore[no-untyped-def]
    parser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
    )
    parser.set_defaults(command=function)
    return parser


def _add_simulation(
    parser: argparse.ArgumentParser, subjects: int, clips: int, frames: tuple[int, int]
) -> None:
    group = parser.add_argument_group("simulation")
    group.add_argument("--subjects", type=int, default=subjects, help="(%(default)s)")
    group.add_argument("--clips", type=int, default=clips, help="of all subjects together (%(default)s)")
    group.add_argument(
        "--faces", metavar="DIR", help="folder of portraits, one a subject (default: drawn faces)"
    )
    group.add_argument("--noise", type=float, default=1.0, help="sensor noise, grey levels (%(default)s)")
    group.add_argument(
        "--motion",
        type=float,
        nargs=2,
        default=(1.0, 2.0),
        metavar=("LEAST", "MOST"),
        help="peak displacement of a clip, in pixels of a 128 x 128 frame (1 2)",
    )
    group.add_argument(
        "--drift", type=float, default=0.1, help="head drift over a clip, in the same pixels (%(default)s)"
    )
    group.add_argument(
        "--frames",
        type=int,
        nargs=2,
        default=frames,
        metavar=("FEWEST", "MOST"),
        help="from onset to offset ({} {})".format(*frames),
    )
    group.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(128, 128),
        metavar=("HEIGHT", "WIDTH"),
        help="of a frame, pixels (128 128)",
    )
    group.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--jobs", type=_jobs, default=-1, metavar="J", help="threads (-1: every core)")
