"""A feature store of a million clips: how long opening, loading and registering take, and how much memory.

    python bench/store_size.py [--clips N] [--store PATH]

Clips without frames are registered in parts of 50,000, and 246 in the middle get features of 8 x 8 blocks;
then each step runs in a process of its own, whose peak resident memory is printed with the time
of the step. `extract` with nothing to do runs over 10,000 clips whose features are there, of ten images.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from microexpr.store import FeatureStore

LOADED, KNOWN = 246, 10_000
OPTIONS = {"size": (32, 32), "progress": False}


def clips(start, stop):
    """Return a table of clips that have numbers for names, 30 a subject."""
    numbers = np.arange(start, stop)
    columns = {"dataset": "million", "subject": [f"{k // 30:06d}" for k in numbers], "emotion": "surprise"}
    columns |= {"clip": [f"EP{k:08d}" for k in numbers], "onset": 1, "apex": 12, "offset": 30}
    return pd.DataFrame(columns | {"action_units": "1+2", "frames": [[] for _ in numbers]})


def make(path, n):
    """Register n clips."""
    store = FeatureStore(path, "a", parameters(path))
    for start in range(0, n, 50_000):
        store.register(clips(start, min(n, start + 50_000)), {(8, 8): {}})
    rows, rng = store.register(loaded(n), {}), np.random.default_rng(0)
    for row in rows:
        store.write(
            np.array([row]),
            {(8, 8): rng.random((1, 16384))},
            content=np.full((1, 32), 7, np.uint8),
            stat=np.full((1, 32), 7, np.uint8),
            count=np.array([10]),
            mean=np.zeros((1, 32, 32), np.uint8),
        )
    return "make"


def loaded(n):
    """Return the clips that have features."""
    return clips(n // 2, n // 2 + LOADED)


def parameters(path):
    """Return those of `extract` with OPTIONS."""
    from microexpr import extract, read_casme2, simulate

    root = simulate(
        path.parent / "casme2", subjects=2, clips=2, frames=(10, 10), size=(34, 28), progress=False
    )
    extract(read_casme2(root), path.parent / "one.zarr", **OPTIONS)
    return FeatureStore(path.parent / "one.zarr").parameters


def opening(path, n):
    started = time.perf_counter()
    store = FeatureStore(path)
    return f"open: {time.perf_counter() - started:.2f} s, {store.n_rows} rows"


def loading(path, n):
    store, table = FeatureStore(path), loaded(n)
    started = time.perf_counter()
    X = store.load((8, 8), table)
    return f"load {len(X)} of them: {time.perf_counter() - started:.2f} s"


def registering(path, n):
    store, table = FeatureStore(path, "a"), clips(n, n + KNOWN)
    started = time.perf_counter()
    store.register(table, {(8, 8): {}})
    return f"register {KNOWN} more: {time.perf_counter() - started:.2f} s"


def filling(path, n):
    from microexpr import extract

    table, started = known(path), time.perf_counter()
    done = extract(table, path, **OPTIONS)
    return f"describe {done.n_computed}: {time.perf_counter() - started:.2f} s"


def again(path, n):
    from microexpr import extract

    table, started = known(path), time.perf_counter()
    done = extract(table, path, **OPTIONS)
    return f"extract {done.n_skipped} that are there: {time.perf_counter() - started:.2f} s"


def known(path):
    """Return clips with frames, all of the same ten images."""
    from microexpr import read_casme2

    frames = read_casme2(path.parent / "casme2")["frames"][0]
    return clips(0, KNOWN).assign(dataset="known", frames=[frames] * KNOWN)


def measured(step, path, n):
    text = step(path, n)
    print(f"{text}; peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--store", type=Path, help="where to make it, and to keep it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.store or Path(folder) / "million.zarr"
        steps = [opening, loading, registering, filling, again]
        for step in steps if path.exists() else [make, *steps]:
            process = multiprocessing.get_context("spawn").Process(
                target=measured, args=(step, path, options.clips)
            )
            process.start()
            process.join()


if __name__ == "__main__":
    main()
