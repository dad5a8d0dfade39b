"""The command line: ``microexpr demo``, ``simulate``, ``describe``, ``extract``, ``check``, ``evaluate``."""

from __future__ import annotations

import argparse
import atexit
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ._command_line import check_parent, matplotlib_is_there, reading_of, say_once
from ._dask import on_dask
from ._extras import require
from ._options import SETTINGS, make_parser
from ._recognition_commands import classify, train
from ._spotting_options import LONG_SIMULATION
from ._temporary import remove_temporary_folders, temporary_folder
from ._wording import command_line, option

# What NumPy, Numba and scikit-learn cost to import is paid by the commands that use them, not by --help.

_OF_CLIPS = ("subjects", "clips", "difficulty", "frames")  # and not of long videos
_process_ends = False  # after the command: what was stopped stays deaf to further signals until then
_STOP = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    0 done, 1 done but for some clips (extract, crop) or something is damaged (check), 2 cannot be done, 130
    stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP (128 and the signal's number), 141 nobody reads what it
    prints any more.
    """
    options = _parser().parse_args(arguments)
    with _signals_stop() as received:
        try:
            with command_line():
                status = options.command(options) or 0
            if sys.stdout is not None:
                sys.stdout.flush()
            return status
        except BaseException as error:
            for number in _STOP:  # of cleaning up nothing is left undone
                if number in received.handled:
                    signal.signal(number, signal.SIG_IGN)
            status = _status(error, received.numbers, f"microexpr {options.name}")
            if status is None:
                raise
            return status


def run() -> None:
    """Run the command of this process, and end it."""
    global _process_ends
    _process_ends = True
    status = 128 + signal.SIGINT
    with suppress(KeyboardInterrupt):  # a second one
        status = main()
        if status == 0:
            return
        # Threads that joblib leaves at work would be ended by Python inside of what they run: where that is
        # C++, it says "terminate called without an active exception", and aborts.
        atexit._run_exitfuncs()
    remove_temporary_folders()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):
            stream.flush()
    os._exit(status)


class _Received(NamedTuple):
    numbers: list[int]
    handled: dict[int, Any]  # signal -> its handler before


@contextmanager
def _signals_stop() -> Iterator[_Received]:
    """Let signals that end a process do so as Ctrl-C does, unless its parent has them ignored (nohup)."""
    received = _Received([], {})

    def stop(number: int, frame: Any) -> None:
        received.numbers.append(number)
        if "multiprocessing" in sys.modules:
            import multiprocessing

            for process in multiprocessing.active_children():  # joblib ends them where it has time to
                process.kill()
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in _STOP:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                received.handled[number] = signal.signal(number, stop)
    try:
        yield received
    finally:
        for number, handler in received.handled.items():
            if not (_process_ends and signal.getsignal(number) is signal.SIG_IGN):
                signal.signal(number, handler)


def _status(error: BaseException, signals: list[int], name: str) -> int | None:
    """Say what has ended a command, and return the status for it, or None if it is a fault of the program."""
    if signals or isinstance(error, KeyboardInterrupt):  # an error may be what cleaning up made of it
        remove_temporary_folders()
        status, words = 128 + (signals[0] if signals else signal.SIGINT), "stopped"
    elif isinstance(error, BrokenPipeError) and _nobody_reads():
        return 141
    elif isinstance(error, (OSError, ValueError, ModuleNotFoundError, MemoryError)):
        status, words = 2, " ".join(str(error).split())  # a library's message may have several lines
        if isinstance(error, MemoryError):
            words = f"not enough memory: {words}"
    else:
        return None
    with suppress(OSError):
        print(f"{name}: {words}", file=sys.stderr)
    return status


def _nobody_reads() -> bool:
    try:
        print(flush=True)  # what could not be written is dropped, so that flushing alone would say nothing
    except BrokenPipeError:
        return True
    return False


def _parser() -> argparse.ArgumentParser:
    functions = {"demo": _demo, "simulate": _simulate, "describe": _describe, "crop": _crop}
    functions |= {"extract": _extract, "check": _check, "evaluate": _evaluate}
    return make_parser({**functions, "train": train, "classify": classify, "spot": _spot})


def _demo(options: argparse.Namespace) -> None:
    check_parent(options.out)
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
    last = options.classifier or "svm"
    chosen: dict[str, Any] = {"classifier": last, "class_weight": options.class_weight}
    classifiers = {
        name: make_classifier(n, options.gamma, options.C, **chosen)
        for name, n in (("all features", "all"), (f"{options.n_features} selected", options.n_features))
    }
    with temporary_folder() as temporary:
        root = simulate(options.keep or temporary / "data", **_simulation(options))
        clips = extract(read_casme2(root), n_jobs=options.jobs)
    X, table = clips.X, clips.table
    y, subjects = table["emotion"].to_numpy(dtype=str), table["subject"].to_numpy(dtype=str)
    results = {}
    for name, classifier in classifiers.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            results[name] = loso(X, y, subjects, classifier)
        say_once(caught)

    labels, counts = np.unique(y, return_counts=True)
    classifier_name = {"svm": "linear SVM", "lda": "shrinkage LDA"}[last]
    if options.class_weight:
        classifier_name += ", classes balanced"
    faces = f"portraits from {options.faces}" if options.faces else "drawn faces"
    print(
        f"Simulated clips, not real micro-expressions: {len(y)} clips of {len(set(subjects))} subjects"
        f" ({faces}), seed {options.seed}.\n"
        f"LTOGP, rank pooling, {classifier_name}; leave-one-subject-out, predictions pooled.\n"
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
    from .data import simulate, simulate_long

    given = {name for name, *_ in LONG_SIMULATION if getattr(options, name) is not None}
    if not options.long:
        for name in sorted(given) + ["video"] * bool(options.video):
            raise ValueError(f"{option(name)} is of long videos: give --long")
        root = simulate(options.out, **_simulation(options))
        print(f"{root}: simulated {options.clips} clips of {options.subjects} subjects, CASME II's layout")
        return
    for name, default in (("subjects", 26), ("clips", 246), ("difficulty", "easy"), ("frames", (40, 90))):
        if getattr(options, name) != default:
            raise ValueError(f"{option(name)} is of clips, and has no part in --long")
    common = {name: value for name, value in _simulation(options).items() if name not in _OF_CLIPS}
    manifest = simulate_long(
        options.out, **common, **{name: getattr(options, name) for name in given}, video=bool(options.video)
    )
    rate = "" if options.video else f" --fps {options.fps or 200:g}"
    print(f"{manifest}: simulated long videos; `microexpr spot manifest {manifest}{rate}` spots in them")


def _describe(options: argparse.Namespace) -> None:
    path = Path(options.path)
    prefix = options.out or (path.resolve().name if path.is_dir() else path.stem)
    check_parent(prefix)
    import numpy as np

    import rankpool

    from .data import read_clip
    from .pipeline import describe

    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frames = read_clip(
            path,
            face=options.face,
            margin=options.margin,
            stabilise=options.stabilise,
            blur=options.blur,
            damaged=options.damaged,
        )
    say_once(caught)
    try:
        recipe = {"blocks": options.blocks, "C": options.C}
        clip = describe(frames, **recipe, full_output=True)  # by rank pooling, which the picture is of
        u = clip.u if options.pooling == "rank" else describe(frames, **recipe, pooling=options.pooling)
        held_out = rankpool.held_out_scores(clip.V, options.C)
    except ValueError as error:
        raise ValueError(f"{options.path}: {error}") from error
    np.savez_compressed(
        f"{prefix}.npz",
        u=u,
        pooling=options.pooling,
        scores=clip.scores,
        held_out=held_out.scores,
        tau=held_out.tau,
        blocks=options.blocks,
        C=options.C,
        gap=clip.gap,
    )
    print(
        f"{options.path}: {len(frames)} frames -> u of length {len(u)}"
        f"{'' if options.pooling == 'rank' else f' by {options.pooling}'}, {clip.method}, relative"
        f" duality gap {clip.gap:.1e}, {held_out}, {time.perf_counter() - started:.1f} s\n"
        f"wrote {prefix}.npz"
    )
    if matplotlib_is_there():
        from .plots import plot_description

        title = f"{path.resolve().name}: LTOGP and rank pooling"
        figure = plot_description(frames, clip.u, blocks=options.blocks, held_out=held_out, title=title)
        figure.savefig(f"{prefix}.png", dpi=150)
        print(f"wrote {prefix}.png")


def _spot(options: argparse.Namespace) -> int:
    from .spotting.command import spot_dataset_command, spot_video_command

    if len(options.source) > 2:
        raise ValueError("spot in what? Give VIDEO, or DATASET ROOT")
    of_dataset = len(options.source) == 2
    source = options.source[0]
    name = source.lower() if of_dataset else Path(source).resolve().stem
    prefix = options.out or f"{name}-spotted"
    check_parent(prefix)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if of_dataset:
            status = spot_dataset_command(options, prefix, reading_of(options))
        elif reading_of(options):
            raise ValueError(f"{option(next(iter(reading_of(options))))} is of a data set: give DATASET ROOT")
        else:
            status = spot_video_command(options, prefix, plot=options.json or matplotlib_is_there())
    say_once(caught)
    return status


def _crop(options: argparse.Namespace) -> int:
    if len(options.source) > 2:
        raise ValueError("crop what? Give VIDEO OUT, or DATASET ROOT OUT")
    require("this command", "datasets", "face")
    from .data import crop_clips, read_dataset, report

    source, problems = options.source[0], []
    if len(options.source) == 2:
        source = read_dataset(*options.source, **reading_of(options))
        problems = source.attrs["problems"]
        print(report(source) + "\n", flush=True)
    elif reading_of(options):
        raise ValueError(f"{option(next(iter(reading_of(options))))} is of a data set: give DATASET ROOT OUT")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cropped = crop_clips(
            source,
            options.out,
            size=tuple(options.size),
            margin=options.margin,
            eyes=options.eyes,
            n_frames=options.frames,
            damaged=options.damaged,
            n_jobs=options.jobs,
        )
    say_once(caught)
    print(cropped)
    print(f"wrote {', '.join(map(str, cropped.sheets))}")
    return 1 if cropped.problems or problems else 0


def _extract(options: argparse.Namespace) -> int:
    require("this command", "datasets", "store")
    from .data import read_dataset, report
    from .extraction import extract
    from .store import FeatureStore

    started = time.perf_counter()
    path = options.store or Path(f"{options.dataset.lower()}.zarr")
    blocks = options.blocks or [(8, 8)]
    table = read_dataset(options.dataset, options.root, strict=options.strict, **reading_of(options))
    print(report(table), flush=True)
    with on_dask(options.dask), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clips = extract(
            table,
            path,
            blocks=blocks,
            size=options.size,
            stabilise=options.stabilise,
            blur=options.blur,
            n_frames=options.frames,
            pooling=options.pooling,
            n_jobs=options.jobs,
        )
    say_once(caught)
    grids = ", ".join(f"{down} x {across}" for down, across in dict.fromkeys(map(tuple, blocks)))
    print(
        f"\n{path}: {clips.n_computed} clips described in {grids} blocks, "
        f"{clips.n_skipped} skipped (there already), {time.perf_counter() - started:.1f} s"
    )
    broken = clips.problems
    others = len(FeatureStore(path)) - len(table)
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


def _check(options: argparse.Namespace) -> int:
    require("this command", "store")
    import json

    from .store import FeatureStore

    report = FeatureStore(options.store).check()
    print(json.dumps(report.to_json(), indent=2) if options.json else report)
    return 0 if report.is_whole else 1


def _evaluate(options: argparse.Namespace) -> None:
    check_parent(options.out)
    require("this command", "datasets", "store")
    from .data import report
    from .experiment import Settings, extract_and_evaluate, read, repeat, save_evaluation

    started = time.perf_counter()
    if (options.dataset is None) != (options.root is None):
        raise ValueError(f"{options.dataset} needs its folder: microexpr evaluate DATASET ROOT")
    if options.dataset is None and reading_of(options):
        raise ValueError(f"{option(next(iter(reading_of(options))))} is of which data set? Give DATASET ROOT")
    first = [(options.dataset, options.root, reading_of(options))] if options.dataset else []
    sources = [*first, *(options.others or [])]
    given = {name: getattr(options, name) for name in SETTINGS if getattr(options, name) is not None}
    differences: list[str] = []
    with on_dask(options.dask), warnings.catch_warnings(record=True) as caught:
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
    say_once(caught)
    written = save_evaluation(evaluation, options.out)
    if matplotlib_is_there():
        from . import plots

        written += plots.save_evaluation(evaluation, options.out)
    print(evaluation)  # comes last: nobody may read it any more
    print(f"\nwrote {len(written)} files into {options.out}; done in {time.perf_counter() - started:.0f} s")
    if options.file is not None:
        if differences:
            raise ValueError(f"not what {options.file} has: {'; '.join(differences)}")
        print(f"the same as {options.file}, bit for bit")


def _save_confusions(results: dict, path: Path) -> None:
    if not matplotlib_is_there():
        return
    from matplotlib.figure import Figure

    from .plots import plot_confusion

    figure = Figure(figsize=(9, 4.6), layout="constrained")
    for (name, scores), ax in zip(results.items(), figure.subplots(1, len(results)), strict=True):
        plot_confusion(scores, ax, title=name)
    figure.suptitle("LOSO on simulated clips")
    figure.savefig(path, dpi=150)
    print(f"wrote {path}")


def _simulation(options: argparse.Namespace) -> dict:
    names = ("subjects", "clips", "difficulty", "faces", "noise", "motion", "drift", "frames", "size", "seed")
    given = {name: getattr(options, name) for name in names} | {"n_jobs": options.jobs}
    return {name: value for name, value in given.items() if name != "drift" or value is not None}
