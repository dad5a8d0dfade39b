"""How `l21.solve` grows with samples, features and classes: docs/l21_growth.svg, and the table.

    python docs/l21_growth.py [OUT]

Problems with sixty factors (`grown` in bench/bench_l21.py) at ten times the critical γ, solved to a relative
duality gap of 1e-6 on one BLAS thread. About two minutes.
"""

import argparse
import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from bench_l21 import GROWTH, measure

LABELS = {
    "n": "samples n, at d = 4096, c = 5",
    "d": "features d, at n = 256, c = 5",
    "c": "classes c, at n = 256, d = 4096",
}


def main(arguments: list[str]) -> None:
    """Measure, print the table, write the figure."""
    parser = argparse.ArgumentParser(
        description="How l21.solve grows with samples, features and classes: a table and a figure."
    )
    parser.add_argument(
        "out",
        nargs="?",
        type=Path,
        default=Path(__file__).with_suffix(".svg"),
        help="where to write the figure (default docs/l21_growth.svg)",
    )
    out = parser.parse_args(arguments).out
    print("| n | d | c | seconds | relative gap | Newton steps | non-zero rows | memory, times X's |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True, layout="constrained")
    for ax, (axis, sizes) in zip(axes, GROWTH.items(), strict=True):
        seconds = []
        for n, d, c in sizes:
            time, memory, result = measure(n, d, c, memory=axis == "d")
            seconds.append(time)
            print(
                f"| {n} | {d} | {c} | {time:.2f} | {result.gap:.0e} | {result.n_iter} | "
                f"{np.count_nonzero(result.W.any(axis=1))} | {f'{memory:.2f}' if memory else ''} |",
                flush=True,
            )
        values = [size["ndc".index(axis)] for size in sizes]
        ax.loglog(values, seconds, "o-", color="tab:blue", markersize=4)
        ax.minorticks_off()
        ax.set_xticks(values[::-2], labels=values[::-2])
        ax.set_yticks([0.1, 1, 10], labels=["0.1", "1", "10"])
        ax.set_xlabel(LABELS[axis])
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("seconds")
    # Text as text, and the same file from the same figures.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "l21", "font.family": "sans-serif"})
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)


if __name__ == "__main__":
    main(sys.argv[1:])
