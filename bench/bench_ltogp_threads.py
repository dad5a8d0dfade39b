"""What a second thread gains ltogp, beside what it gains a loop in the L1 cache, and beside small images.

    pytest bench --benchmark-only -k ltogp_threads

The lines below pytest-benchmark's tables are the comparisons, as those of bench_ltogp.py.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from numba import njit

import ltogp
from ltogp import _threads

TITLE = f"ltogp on two threads, {_threads.thread_limit()} CPUs"


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def control_kernel(kind: str) -> Callable[..., int]:
    """A loop without memory beyond the L1 cache: what a second thread can gain on this machine."""
    if kind == "scalar":

        @njit(nogil=True)
        def scalar(x: np.ndarray, times: int) -> int:
            state = np.uint64(1)
            for _ in range(times * len(x)):
                state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            return np.intp(state & np.uint64(1))

        return scalar

    @njit(nogil=True)
    def vector(x: np.ndarray, times: int) -> int:
        for _ in range(times):
            for i in range(len(x)):
                x[i] = x[i] * np.float32(0.999) + np.float32(0.001)
        return 0

    return vector


@pytest.mark.parametrize("kind", ["scalar", "vector"])
@pytest.mark.parametrize("into", ["new", "given"])
def test_threads(benchmark: Any, lines: list[str], into: str, kind: str) -> None:
    """How much two threads gain, beside what a control gains that is run in turn with them."""
    frames = noise(1000, 128, 128)
    out = None if into == "new" else np.empty((1000, 16384), np.float32)
    control, times = control_kernel(kind), 1_000 if kind == "scalar" else 15_000
    arrays = [np.ones(2048, np.float32) for _ in range(8)]
    runs = {
        "control 1": lambda: _threads.run(lambda i: control(arrays[i], times), [(i,) for i in range(8)], 1),
        "control 2": lambda: _threads.run(lambda i: control(arrays[i], times), [(i,) for i in range(8)], 2),
        "ltogp 1": lambda: ltogp.histogram(frames, out=out, n_jobs=1),
        "ltogp 2": lambda: ltogp.histogram(frames, out=out, n_jobs=2),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}

    def round_of_all() -> None:
        for name, run in runs.items():
            start = perf_counter()
            run()
            seconds[name].append(perf_counter() - start)

    benchmark.group = "ltogp: two threads and a control, one and two"
    benchmark.pedantic(round_of_all, rounds=40, warmup_rounds=2)
    one, two, ours, both = (np.array(seconds[name][2:]) for name in runs)
    gain, given = ours / both, one / two
    ratio = f"{median(gain / given):7.3g} x the control, at least 0.97"
    title = f"gain by two threads, into a {into} array"
    lines.append(
        f"{title:<50}{f'ltogp | a {kind} loop in L1':<33}{median(gain):9.4g} | {median(given):<19.4g}{ratio}"
    )


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("shape", [(2160, 3840), (1, 2160, 3840)], ids=str)
def test_large_image(compare: Any, shape: tuple[int, ...], n_jobs: int) -> None:
    large, small = noise(*shape), noise(506, 128, 128)
    compare(
        f"histogram, {n_jobs} thread{'s' * (n_jobs > 1)}, per pixel",
        lambda: ltogp.histogram(large, n_jobs=n_jobs),
        lambda: ltogp.histogram(small, n_jobs=n_jobs),
        names=f"{shape} | (506, 128, 128)",
        per=(large.size, small.size),
        unit="ns/pixel",
        rounds=20,
        goal="at most 1.25",
    )


def test_top_threads(compare: Any) -> None:
    clip = noise(100, 128, 128)
    compare(
        "histogram_top, 100 frames",
        lambda: ltogp.histogram_top(clip, n_jobs=2),
        lambda: ltogp.histogram_top(clip, n_jobs=1),
        names="two threads | one",
        rounds=50,
        speedup=True,
    )
