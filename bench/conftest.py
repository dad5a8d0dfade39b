"""Fixtures of more than one benchmark."""

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import joblib
import llvmlite.binding
import numba
import pytest

# Scripts, which find each other in their own folder: pytest would look into them for examples.
collect_ignore = [
    "ablate.py",
    "calibrate.py",
    "comparators",
    "compare.py",
    "fault_campaign.py",
    "fault_trials.py",
    "memory.py",
    "robustness.py",
    "score_table.py",
    "slides.py",
    "store_size.py",
    "tables.py",
]


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    """Note on how many CPUs we may run and for which processor Numba compiles, see tables.py."""
    machine_info["cpus"] = joblib.cpu_count()
    machine_info["numba_cpu"] = numba.config.CPU_NAME or llvmlite.binding.get_host_cpu_name()


class Lines:
    """Lines to print below pytest-benchmark's tables."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.lines: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section(self.title)
        for line in self.lines:
            terminalreporter.line(line)


@pytest.fixture(scope="module")
def lines(request: pytest.FixtureRequest) -> list[str]:
    """Where a module's benchmarks put what they found: it is printed at the end, below the module's TITLE."""
    plugin = Lines(request.module.TITLE)
    request.config.pluginmanager.register(plugin)
    return plugin.lines


@pytest.fixture
def compare(benchmark: Any, lines: list[str]) -> Callable[..., None]:
    """Time `one` and `other` in turn; report the median ratio of one's time to the other's.

    `per` is how many units either does in one call: 100 frames for a stack of 100. Times and ratio are of one
    unit, so that two amounts of work compare per frame or per pixel.
    """

    def compare(
        title: str,
        one: Callable[[], object],
        other: Callable[[], object],
        *,
        names: str,
        per: tuple[float, float] = (100, 100),
        unit: str = "us/frame",
        rounds: int = 200,
        speedup: bool = False,
        goal: str = "",
    ) -> None:
        benchmark.group = "ltogp: the first of the two"
        theirs: list[float] = []

        def time_other() -> None:
            start = perf_counter()
            other()
            theirs.append((perf_counter() - start) / per[1])

        benchmark.pedantic(one, setup=time_other, rounds=rounds, warmup_rounds=2)
        del theirs[:2]  # before the warm-up rounds
        ours = [seconds / per[0] for seconds in benchmark.stats.stats.data]
        ratios = [b / a if speedup else a / b for a, b in zip(ours, theirs, strict=True)]
        scale = {"us": 1e6, "ms": 1e3, "ns": 1e9, "s": 1}[unit.split("/")[0]]
        one_of, other_of = median(ours) * scale, median(theirs) * scale
        benchmark.extra_info.update(
            one=one_of, other=other_of, ratio=median(ratios), unit=unit, speedup=speedup
        )
        times = f"{one_of:9.4g} | {other_of:<9.4g} {unit:<9}"
        ratio = f"{median(ratios):7.3g} x {goal}"
        lines.append(f"{title:<50}{names:<33}{times}{ratio}".rstrip())

    return compare
