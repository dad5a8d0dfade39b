"""The commands for clips: ``microexpr describe``, ``crop``, ``spot``, ``extract`` and ``check``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ._command_line import check_writable, matplotlib_is_there, print_json, reading_of, warned_once
from ._dask import on_dask
from ._extras import is_installed, require
from ._wording import option

if TYPE_CHECKING:
    from .extraction import Extraction


def describe(options: argparse.Namespace) -> None:
    path = Path(options.path)
    prefix = options.out or (path.resolve().name if path.is_dir() else path.stem)
    check_writable(f"{prefix}.npz")
    import numpy as np

    import rankpool

    from .data import read_clip
    from .pipeline import describe

    started = time.perf_counter()
    with warned_once():
        frames = read_clip(
            path,
            face=options.face,
            margin=options.margin,
            stabilise=options.stabilise,
            blur=options.blur,
            damaged=options.damaged,
        )
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
    seconds = time.perf_counter() - started
    if not options.json:
        print(
            f"{options.path}: {len(frames)} frames -> u of length {len(u)}"
            f"{'' if options.pooling == 'rank' else f' by {options.pooling}'}, {clip.method}, relative"
            f" duality gap {clip.gap:.1e}, {held_out}, {seconds:.1f} s\n"
            f"wrote {prefix}.npz"
        )
    written = [f"{prefix}.npz"]
    if matplotlib_is_there():
        from .plots import plot_description

        title = f"{path.resolve().name}: LTOGP and rank pooling"
        figure = plot_description(frames, clip.u, blocks=options.blocks, held_out=held_out, title=title)
        figure.savefig(f"{prefix}.png", dpi=150)
        written.append(f"{prefix}.png")
        if not options.json:
            print(f"wrote {prefix}.png")
    if options.json:
        of_clip = {"frames": len(frames), "features": len(u), "pooling": options.pooling}
        solved = {"method": clip.method, "gap": clip.gap, "tau": held_out.tau}
        print_json({"clip": options.path, **of_clip, **solved, "seconds": seconds, "files": written})


def spot(options: argparse.Namespace) -> int:
    from .spotting.command import spot_dataset_command, spot_video_command

    if len(options.source) > 2:
        raise ValueError("spot in what? Give VIDEO, or DATASET ROOT")
    of_dataset = len(options.source) == 2
    source = options.source[0]
    name = source.lower() if of_dataset else Path(source).resolve().stem
    prefix = options.out or f"{name}-spotted"
    check_writable(f"{prefix}.csv")
    with warned_once():
        if of_dataset:
            status = spot_dataset_command(options, prefix, reading_of(options))
        elif reading_of(options):
            raise ValueError(f"{option(next(iter(reading_of(options))))} is of a data set: give DATASET ROOT")
        else:
            plot = is_installed("plot") if options.json else matplotlib_is_there()
            status = spot_video_command(options, prefix, plot=plot)
    return status


def crop(options: argparse.Namespace) -> int:
    if len(options.source) > 2:
        raise ValueError("crop what? Give VIDEO OUT, or DATASET ROOT OUT")
    require("this command", "datasets", "face")
    from .data import crop_clips, read_dataset, report

    source, problems = options.source[0], []
    if len(options.source) == 2:
        source = read_dataset(*options.source, **reading_of(options))
        problems = source.attrs["problems"]
        if not options.json:
            print(report(source) + "\n", flush=True)
    elif reading_of(options):
        raise ValueError(f"{option(next(iter(reading_of(options))))} is of a data set: give DATASET ROOT OUT")
    with warned_once():
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
    if options.json:
        aligned = [placement.eyes is not None for placement in cropped.placements]
        counts = {"clips": len(aligned), "aligned_by_eyes": sum(aligned)}
        files = {"manifest": cropped.manifest, "contact_sheets": cropped.sheets}
        print_json({**files, **counts, "problems": [*problems, *cropped.problems]})
    else:
        print(cropped)
        print(f"wrote {', '.join(map(str, cropped.sheets))}")
    return 1 if cropped.problems or problems else 0


def extract(options: argparse.Namespace) -> int:
    require("this command", "datasets", "store")
    from .data import read_dataset, report
    from .extraction import extract
    from .store import FeatureStore

    started = time.perf_counter()
    path = options.store or Path(f"{options.dataset.lower()}.zarr")
    blocks = options.blocks or [(8, 8)]
    table = read_dataset(options.dataset, options.root, strict=options.strict, **reading_of(options))
    if not options.json:
        print(report(table), flush=True)
    with on_dask(options.dask), warned_once():
        clips = extract(
            table,
            path,
            blocks=blocks,
            size=options.size,
            crop=options.crop,
            stabilise=options.stabilise,
            blur=options.blur,
            n_frames=options.frames,
            pooling=options.pooling,
            n_jobs=options.jobs,
        )
    seconds = time.perf_counter() - started
    grids = list(dict.fromkeys(map(tuple, blocks)))
    broken, others = clips.problems, len(FeatureStore(path)) - len(table)
    if options.json:
        counts = {"clips": len(clips.table), "computed": clips.n_computed, "skipped": clips.n_skipped}
        problems = [*table.attrs["problems"], *broken]
        simulated = bool(table.attrs.get("simulated"))
        of_store = {"store": path, "blocks": grids, "simulated": simulated, **counts, "others": others}
        print_json({**of_store, "seconds": seconds, "problems": problems})
    else:
        _print_extraction(path, clips, grids, others, seconds)
    if broken and options.strict:
        raise ValueError(
            f"{len(broken)} of the clips could not be described (--strict); the first: {broken[0]}"
        )
    return 1 if broken or table.attrs["problems"] else 0


def _print_extraction(
    path: str | Path, clips: Extraction, grids: list[tuple[int, int]], others: int, seconds: float
) -> None:
    broken = clips.problems
    said = ", ".join(f"{down} x {across}" for down, across in grids)
    print(
        f"\n{path}: {clips.n_computed} clips described in {said} blocks, "
        f"{clips.n_skipped} skipped (there already), {seconds:.1f} s"
    )
    if others:
        print(f"{others} other clip{'s' * (others > 1)} in it: of other data sets, or no longer in this one")
    if broken:
        count = f"{len(broken)} clip{'s' * (len(broken) > 1)}"
        print(f"{count} could not be described; mend the files and run this again:", *broken, sep="\n  ")


def check(options: argparse.Namespace) -> int:
    require("this command", "store")
    from .store import FeatureStore

    report = FeatureStore(options.store).check()
    if options.json:
        print_json(report.to_json())
    else:
        print(report)
    return 0 if report.is_whole else 1
