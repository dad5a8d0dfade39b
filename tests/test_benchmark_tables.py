"""The tables of times in docs/ and README are written from the benchmarks, and name none that is not."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("benchmark_tables", ROOT / "bench/tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def a_run(path, names, cpu="znver4", scale=1.0):
    """What pytest-benchmark writes, as far as it is read: the i-th benchmark takes i milliseconds."""
    keys = ["seconds", "threads", "processes", "grids", "single", "rate", "decoding", "gap", "ours", "theirs"]
    keys += ["import microexpr", "microexpr --help"]
    benchmarks = [
        {
            "name": name,
            "stats": {"min": scale * i / 1000, "median": scale * i / 1000},
            "extra_info": {
                "one": scale * i,
                "other": scale * i * 2,
                "ratio": 0.5,
                "unit": "us/frame",
                "speedup": "test_lbp" in name,
                "converged": "genes" not in name,
                **dict.fromkeys(keys, scale * i),
            },
        }
        for i, name in enumerate(sorted(names), 1)
    ]
    machine = {"cpu": {"brand_raw": "Some Processor"}, "cpus": 2, "numba_cpu": cpu}
    path.write_text(
        json.dumps({"machine_info": machine, "datetime": "2026-11-29T12:00:00", "benchmarks": benchmarks})
    )
    return path


def test_every_benchmark_of_a_table_is_collected(tables):
    command = [sys.executable, "-m", "pytest", "bench", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "bench_ltogp.py" in done.stdout
    collected = {line.partition("::")[2] for line in done.stdout.splitlines()}
    of_data = {name for name in tables.names() if re.search("ALLAML|Prostate|colon|warpPIE", name)}
    assert tables.names() - of_data <= collected


def test_tables_hold_the_figures_of_the_runs(tables, tmp_path):
    here = tables.Run.read(a_run(tmp_path / "here.json", tables.names()))
    other = tables.Run.read(a_run(tmp_path / "other.json", tables.names(), "haswell", 3.0))
    page, wanted = ROOT / "docs/benchmarks.md", tables.PLACES["docs/benchmarks.md"]
    before = page.read_text(encoding="utf-8")
    text = tables.fill(page, [here, other], wanted)
    place = sorted(tables.names()).index("test_one_frame[bytes]") + 1
    assert (
        f"| a single frame a call, against C that counts bytes "
        f"| {place:.3g} µs | {2 * place:.3g} µs | 0.50 × the time "
        f"| {3 * place:.3g} µs | {6 * place:.3g} µs | 0.50 × the time |"
    ) in text
    assert "2 CPUs, Some Processor, kernels for haswell, 2026-11-29" in text
    assert "stopped at" in text
    outside = re.compile(r"(<!-- benchmarks \w+ -->\n).*?(<!-- end of benchmarks -->)", re.S)
    assert outside.sub(r"\1\2", text) == outside.sub(r"\1\2", before)
    again = tmp_path / "benchmarks.md"
    again.write_text(text, encoding="utf-8")
    assert tables.fill(again, [here, other], wanted) == text


def test_the_summary_holds_figures_of_the_other_tables(tables, tmp_path):
    run = tables.Run.read(a_run(tmp_path / "run.json", tables.names()))
    text = tables.fill(ROOT / "README.md", [run], tables.PLACES["README.md"])
    place = sorted(tables.names()).index(tables.SKIMAGE) + 1
    assert f"| {place:.3g} µs | scikit-image's LBP, codes only | {2 * place:.3g} µs |" in text
    assert text.count("2 × the time") == 1


def test_every_table_has_a_place(tables):
    assert sorted(name for wanted in tables.PLACES.values() for name in wanted) == sorted(tables.TABLES)


def test_a_row_that_was_not_run_is_left_out_and_named(tables, tmp_path, capsys):
    names = {name for name in tables.names() if "mahotas" not in name}
    run = tables.Run.read(a_run(tmp_path / "run.json", names))
    text = "\n".join(tables.ltogp([run]))
    assert "mahotas" not in text
    assert "mahotas" in capsys.readouterr().err


def test_a_page_without_a_table_is_refused(tables, tmp_path):
    run = tables.Run.read(a_run(tmp_path / "run.json", tables.names()))
    (tmp_path / "page.md").write_text("nothing\n")
    with pytest.raises(SystemExit, match=r"page\.md has no place for the table of ltogp"):
        tables.fill(tmp_path / "page.md", [run], ("ltogp",))
