"""What every command pays before its work: microexpr's import, and `microexpr --help`, beside Python alone.

pytest bench --benchmark-only -k microexpr_start
"""

import subprocess
import sys
from statistics import median
from time import perf_counter
from typing import Any

TITLE = "microexpr in a new process"
COMMANDS = {
    "import microexpr": ["-c", "import microexpr"],
    "microexpr --help": ["-c", "from microexpr.cli import main; main(['--help'])"],
}


def seconds(arguments: list[str]) -> float:
    start = perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - start


def test_start(benchmark: Any, lines: list[str]) -> None:
    """In turn; the benchmark's own time is that of `microexpr --help`."""
    python: list[float] = []
    imported: list[float] = []

    def others() -> None:
        python.append(seconds(["-c", "pass"]))
        imported.append(seconds(COMMANDS["import microexpr"]))

    benchmark.pedantic(seconds, (COMMANDS["microexpr --help"],), setup=lambda: others(), rounds=11)
    for title, times in zip(COMMANDS, (imported, benchmark.stats.stats.data), strict=True):
        over = median(b - a for a, b in zip(python, times, strict=True))
        benchmark.extra_info[title] = over
        lines.append(
            f"{title:<44}{'microexpr | Python alone':<33}{median(times):9.3f} | {median(python):<9.3f} s"
            f"{over:16.3f} s more, at most 0.1"
        )
