"""Memory of `extract` while it describes many clips into a store: resident, every second, and per clip done.

    python bench/memory.py [--clips N] [--jobs J] [--plot docs/memory.svg]

The clips are simulated: colour JPEGs of 340 x 280 pixels, 30 to 60 a clip, described in 8 x 8 blocks of
128 x 128 pixels. A few hundred of them stand under as many other names in the table as it takes: what is read
and described is the same, and less disk is needed. The extraction runs in a process of its own, watched from
this one through /proc; 10,000 clips take a quarter of an hour on two cores, and 1.6 GB of disk.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import pandas as pd

from microexpr import extract, read_casme2, simulate
from microexpr.store import FeatureStore

FILES = 200


def fill(root, store, n, jobs):
    table = read_casme2(root)
    copies = [table.assign(clip=table["clip"] + f"_{k}") for k in range(-(-n // len(table)))]
    extract(pd.concat(copies, ignore_index=True)[:n], store, n_jobs=jobs, progress=False)


def resident(pid):
    """Resident memory of a process, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def watch(root, store, n, jobs):
    """Yield (seconds, MB, chunks of 32 clips written) every second while the clips are described."""
    process = multiprocessing.get_context("spawn").Process(target=fill, args=(root, store, n, jobs))
    process.start()
    started = time.monotonic()
    while process.is_alive():
        chunks = sum(1 for _ in (store / "key/8x8/c").glob("*"))
        yield time.monotonic() - started, resident(process.pid), chunks
        process.join(1)
    if process.exitcode:
        raise SystemExit(f"the extraction ended with {process.exitcode}")


def plot(samples, n, path):
    """Draw a hundred points of them."""
    from matplotlib import pyplot as plt

    drawn = samples[:: max(1, len(samples) // 100)]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True, layout="constrained")
    axes[0].plot([t / 60 for t, _, _ in drawn], [mb for _, mb, _ in drawn])
    axes[0].set(xlabel="minutes", ylabel="resident memory, MB", ylim=(0, 500))
    axes[1].plot([min(n, 32 * chunks) for _, _, chunks in drawn], [mb for _, mb, _ in drawn])
    axes[1].set(xlabel="clips done")
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--plot", type=Path, help="SVG to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = simulate(f"{folder}/casme2", clips=FILES, frames=(30, 60), size=(340, 280), progress=False)
        store, samples = Path(folder) / "x.zarr", []
        for sample in watch(root, store, options.clips, options.jobs):
            samples.append(sample)
            if len(samples) % 60 == 0:
                print("{:5.0f} s: {:4.0f} MB, {} chunks of 32 clips".format(*sample), flush=True)
        n = len(FeatureStore(store).load((8, 8), None)) if options.clips <= 2000 else options.clips
    used = [mb for _, mb, _ in samples]
    tenth = max(1, len(used) // 10)
    print(f"{n} clips in {samples[-1][0]:.0f} s: peak {max(used):.0f} MB; largest of each tenth of the time:")
    print("  " + ", ".join(f"{max(used[k : k + tenth]):.0f}" for k in range(0, len(used), tenth)))
    if options.plot:
        plot(samples, options.clips, options.plot)


if __name__ == "__main__":
    main()
