"""Time of `rank_svm` against the number of frames, 10 to 100,000: docs/rankpool_time.svg.

    python docs/rankpool_time.py

Simulated frames: 64 features, noise with a trend. The relative duality gap is at most 1e-3 throughout, and
each point the best of three runs. Beside the whole time stands the time of one Newton iteration, and T log T.
"""

import argparse
import time
from pathlib import Path

import matplotlib
import numpy as np

from rankpool import rank_svm

matplotlib.use("svg")
import matplotlib.pyplot as plt

FRAMES = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000]


def frames(T: int, d: int = 64) -> np.ndarray:
    """T frames whose features drift in noise."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(T, d)) + np.linspace(0, 1, T)[:, None] * rng.normal(size=d)


def main() -> None:
    """Measure, print and plot."""
    argparse.ArgumentParser(
        description="Time rank_svm on 10 to 100,000 frames, print it and draw docs/rankpool_time.svg."
    ).parse_args()
    for T in (10, 2500):
        rank_svm(frames(T), tol=1e-3)  # compiled
    fig, axis = plt.subplots(figsize=(6, 4))
    for loss, colour in (("hinge", "C0"), ("squared_hinge", "C1")):
        whole, single = [], []
        for T in FRAMES:
            V = frames(T)
            seconds = np.inf
            for _ in range(3):
                start = time.perf_counter()
                result = rank_svm(V, loss=loss, tol=1e-3)
                seconds = min(seconds, time.perf_counter() - start)
            print(f"{loss} T={T}: {seconds:.4f} s, {result.method}, {result.n_iter} iterations")
            assert result.gap <= 1e-3
            whole.append(seconds)
            single.append(seconds / max(1, result.n_iter) if result.method == "newton" else np.nan)
        axis.loglog(FRAMES, whole, "o-", color=colour, label=f"{loss}, all")
        axis.loglog(FRAMES, single, ".--", color=colour, label=f"{loss}, one Newton iteration")
    T = np.array([2500, 100_000])
    curve = T * np.log(T)
    axis.loglog(T, single[-1] * curve / curve[-1], "k:", label="T log T")
    axis.set(xlabel="frames T", ylabel="seconds", title="rank_svm, 64 features, gap at most 1e-3")
    axis.legend(fontsize=8, loc="upper left")
    fig.tight_layout()
    fig.savefig(Path(__file__).with_suffix(".svg"))


if __name__ == "__main__":
    main()
