"""Fixtures of more than one benchmark."""

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
