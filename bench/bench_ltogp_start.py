"""What a new process pays for ltogp: its import, kernels from the cache, kernels compiled.

    pytest bench --benchmark-only -k ltogp

The last lines say how much longer each takes than `import numba` alone, run in turn with it.
"""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

TITLE = "ltogp in a new process"
HISTOGRAM = "import numpy as np, ltogp; x = np.zeros((128, 128), np.uint8); ltogp.histogram(x)"
ALL_KERNELS = HISTOGRAM + "; ltogp.encode(x)"


def run_python(code: str, cache: Path) -> float:
    start = perf_counter()
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    )
    return perf_counter() - start


def test_first_call(benchmark: Any, lines: list[str], tmp_path: Path) -> None:
    """A new process that imports ltogp and calls it once, its cache being warm."""
    run_python(ALL_KERNELS, tmp_path)
    numba: list[float] = []
    imported: list[float] = []

    def others() -> None:
        numba.append(run_python("import numba", tmp_path))
        imported.append(run_python("import ltogp", tmp_path))

    benchmark.group = "ltogp: a new process"
    benchmark.pedantic(lambda: run_python(HISTOGRAM, tmp_path), setup=others, rounds=9)
    for title, seconds in (("import ltogp", imported), ("first histogram", benchmark.stats.stats.data)):
        over = median(b - a for a, b in zip(numba, seconds, strict=True))
        times = f"{median(seconds):9.3f} | {median(numba):<9.3f} {'s':<9}"
        goal = "s more, at most 0.4" if title != "import ltogp" else "s more"
        lines.append(
            f"{title + ', warm cache, new process':<44}{'ltogp | import numba':<33}{times}{over:7.3f} {goal}"
        )


def test_compilation(benchmark: Any, lines: list[str], tmp_path: Path) -> None:
    """A new process that compiles all kernels for uint8, its cache being empty."""
    numba: list[float] = []
    caches = iter(range(100))
    benchmark.group = "ltogp: a new process"
    benchmark.pedantic(
        lambda: run_python(ALL_KERNELS, tmp_path / str(next(caches))),
        setup=lambda: numba.append(run_python("import numba", tmp_path)),
        rounds=3,
    )
    seconds = benchmark.stats.stats.data
    over = median(b - a for a, b in zip(numba, seconds, strict=True))
    times = f"{median(seconds):9.3f} | {median(numba):<9.3f} {'s':<9}"
    title = "all uint8 kernels, cold cache, new process"
    lines.append(f"{title:<44}{'ltogp | import numba':<33}{times}{over:7.3f} s more, under 8")
