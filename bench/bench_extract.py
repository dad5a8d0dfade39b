"""Extraction of a CASME II-shaped data set beside decoding alone, and beside what this field's code does.

    pytest bench --benchmark-only -k extract

The clips are simulated: colour JPEGs of 340 x 280 pixels, resized to 128 x 128; 24 of them stand ten times in
the table, which makes as many as CASME II has (making a store takes 0.1 s, however few they are). The last
lines are the comparisons. What is compared runs in turn, and each ratio is the median of the ratios of
neighbours, so that a machine that slows down slows down both.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from matplotlib import pyplot as plt
from skimage.color import rgb2gray
from skimage.transform import resize

from microexpr import extract, read_casme2, simulate
from microexpr.data import read_frames

CLIPS, COPIES, ROUNDS = 24, 10, 2
TITLE = "extraction of simulated clips"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench") / "casme2"
    simulate(root, subjects=4, clips=CLIPS, frames=(40, 90), size=(340, 280), progress=False)
    table = read_casme2(root)
    return pd.concat([table.assign(clip=table["clip"] + f"_{k}") for k in range(COPIES)], ignore_index=True)


def decode(table, n_jobs=-1, prefer="threads"):
    """Decode and resize the same files, with the same functions, on the same cores."""
    Parallel(n_jobs=n_jobs, prefer=prefer)(delayed(_decode)(frames) for frames in table["frames"])


def _decode(frames):
    read_frames(frames, progress=False).shape  # noqa: B018


def usual(paths):
    """Read frames as this field's code does."""
    return np.stack([resize(rgb2gray(plt.imread(path)), (128, 128), anti_aliasing=True) for path in paths])


def seconds(function: Callable, *arguments, **options) -> float:
    started = perf_counter()
    function(*arguments, **options)
    return perf_counter() - started


def into(store: Path, table, **options):
    shutil.rmtree(store, ignore_errors=True)
    extract(table, store, progress=False, **options)


def test_extract_beside_decoding_alone(benchmark, lines, table, tmp_path):
    store, n, cores = tmp_path / "x.zarr", sum(map(len, table["frames"])), joblib.cpu_count()
    grids = [(4, 4), (6, 6), (8, 8), (10, 10), (12, 12)]
    some = table[:8]
    into(store, some, blocks=grids), decode(some), decode(some, prefer="processes")  # warm
    ratios = {"threads": [], "processes": [], "grids": []}
    times = []
    for _ in range(ROUNDS):
        threads = seconds(decode, table)
        times.append(seconds(into, store, table))
        processes = seconds(decode, table, prefer="processes")
        ratios["threads"].append(times[-1] / threads)
        ratios["processes"].append(times[-1] / processes)
    again = seconds(extract, table, store, progress=False)
    # Two chunks of rows: with 16 clips what a store of five grids costs by itself was a third of it
    some = table[:64]
    ratios["grids"].append(seconds(into, store, some, blocks=grids) / seconds(decode, some))
    benchmark.pedantic(into, (store, table[:8]), rounds=1)
    found = {name: median(values) for name, values in ratios.items()}
    benchmark.extra_info.update(found, seconds=median(times), frames=n)
    lines.append(
        f"extract into a store: {1e3 * median(times) / n:.3f} ms a frame on {cores} cores; "
        f"{found['threads']:.3f} x decoding and resizing alone in threads, "
        f"{found['processes']:.3f} x in processes; "
        f"{len(grids)} grids at once: {found['grids']:.3f} x (threads)"
    )
    lines.append(f"  run again, nothing to do: {again:.3f} s for {len(table)} clips, {n} frames in all")


def test_extract_beside_imread_and_skimage(benchmark, lines, table, tmp_path):
    store, table = tmp_path / "x.zarr", table[:16]
    paths = [path for frames in table["frames"] for path in frames]
    n, some = len(paths), paths[:: len(paths) // 100]
    halves = [some[k :: joblib.cpu_count()] for k in range(joblib.cpu_count())]
    pool = Parallel(n_jobs=-1, prefer="processes")
    pool(delayed(usual)(half[:2]) for half in halves)
    into(store, table), usual(some[:2])
    single, parallel = [], []
    for _ in range(3):
        ours = seconds(into, store, table) / n
        single.append(ours / (seconds(usual, some) / len(some)))
        parallel.append(ours / (seconds(pool, [delayed(usual)(half) for half in halves]) / len(some)))
    benchmark.pedantic(into, (store, table[:8]), rounds=1)
    benchmark.extra_info.update(single=median(single), parallel=median(parallel))
    lines.append(
        f"extract into a store: {median(single):.3f} x plt.imread + rgb2gray + skimage resize per frame in "
        f"one process, {median(parallel):.3f} x the same in {len(halves)} processes"
    )
