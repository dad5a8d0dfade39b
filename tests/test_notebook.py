"""What a notebook shows: short reprs, tables, bars; and what a log shows instead of bars."""

import io
import logging
import re
import subprocess
import sys
import time
import types

import numpy as np
import pandas as pd
import pytest
from numba.core import event

import l21
import ltogp
import microexpr
import rankpool
from microexpr import _progress
from microexpr._compilation import tell_of_compilation
from microexpr._progress import progress_bar
from microexpr.experiment import Scores, Settings, evaluate
from microexpr.spotting import Spotting

rng = np.random.default_rng(0)


@pytest.fixture
def scores():
    y = np.tile(["<joy>", "surprise"], 100)
    guesses = np.where(np.arange(200) < 150, y, "surprise")
    return Scores(y, guesses, np.repeat(np.arange(10), 20), np.unique(y))


@pytest.fixture(scope="module")
def evaluation():
    n = 24
    y = np.array(["joy", "surprise"] * (n // 2))
    X = rng.standard_normal((n, 256)) + 2 * (y == "joy")[:, None]
    columns = {"dataset": "made", "subject": [i // 6 for i in range(n)], "clip": range(n), "emotion": y}
    table = pd.DataFrame(columns).astype(str)
    table.attrs["simulated"] = True
    settings = Settings(blocks=1, n_features=20, sweep=False, nested=False, n_resamples=10)
    return evaluate(X, table, settings, blocks=(1, 1), n_jobs=1, progress=False)


def test_reprs_are_a_line_or_two(scores, evaluation):
    V = rng.standard_normal((60, 300)).cumsum(axis=0)
    frames = rng.integers(0, 256, (6, 32, 32), dtype=np.uint8)
    Y, _ = l21.one_hot(np.arange(60) % 3)
    spotting = Spotting([], np.zeros(1000), 0.5, 10, 50.0)
    for thing, words in [
        (scores, "Scores(accuracy 0.875, UF1 0.873, UAR 0.875; 200 samples of 10 subjects in 2 classes)"),
        (rankpool.rank_svm(V), "u of length 300, objective "),
        (rankpool.held_out_scores(V), "of frames held out, 60 frames, 5 folds)"),
        (l21.solve(V, Y), "L21Result(W 300 x 3 with "),
        (microexpr.describe(frames, blocks=(2, 2), full_output=True), "u of length 1024, V 6 x 1024, "),
        (spotting, "Spotting(0 events in 1000 frames, threshold 0.5, 50 frames a second)"),
        (evaluation, "simulated accuracy"),
        (evaluation.rows[0], "Row('without selection', 'as given', Scores("),
    ]:
        assert words in repr(thing)
        assert len(repr(thing)) < 250
        assert "\n" not in repr(thing)


def test_tables_as_data_frames(scores, evaluation):
    table = evaluation.to_frame()
    assert list(table["method"]) == ["without selection", "with selection"]
    assert set(table["source"]) == {"simulated"}
    assert table["accuracy"][0] == evaluation.rows[0].scores.accuracy
    assert list(scores.predictions.columns) == ["clip", "subject", "true", "predicted"]
    assert list(Spotting([], np.zeros(9), 0.5, 1, 50.0).to_frame().columns)[:3] == ["onset", "apex", "offset"]


def test_html(scores, evaluation):
    shown = scores._repr_html_()
    cells = re.findall("<td>(.*?)</td>", shown)
    assert cells == ["75", "25", "75.0 %", "0", "100", "100.0 %"]
    assert "<joy>" not in shown  # escaped, as any name of a class has to be
    assert evaluation._repr_html_().count("simulated") >= len(evaluation.rows)


def test_progress_in_a_log(monkeypatch, caplog, capsys):
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(_progress, "perf_counter", lambda: next(clock))
    with caplog.at_level(logging.INFO, "microexpr"):
        assert list(progress_bar(iter("abcdef"), "extract", 6, "clip", None)) == list("abcdef")
        assert list(progress_bar(iter("abc"), "wait", None, "look", None)) == list("abc")
    assert caplog.messages == [
        "extract: 3 of 6 clips, about 30 s left",
        "extract: 6 clips, done in 70 s",
        "wait: 3 looks",
        "wait: 3 looks, done in 40 s",
    ]
    assert capsys.readouterr() == ("", "")  # nobody asked for them
    list(progress_bar(iter("abcd"), "extract", 4, "clip", True))
    assert (
        capsys.readouterr().err == "extract: 3 of 4 clips, about 10 s left\nextract: 4 clips, done in 50 s\n"
    )
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "microexpr"):
        items = [1, 2]
        assert progress_bar(items, "extract", 2, "clip", False) is items
        assert not caplog.messages
        list(progress_bar(items, "extract", 2, "clip", None))
    assert [record.levelname for record in caplog.records] == ["DEBUG"]  # what was short


def test_commands_show_the_lines_where_there_is_no_terminal(tmp_path):
    code = (
        "from microexpr import _progress, cli\n_progress.EVERY = 0.0\n"
        "print(cli.main('simulate data --subjects 2 --clips 4 --frames 2 3 --size 34 28 --jobs 1'.split()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    lines = done.stderr.splitlines()
    assert lines[0].startswith("simulate: 1 of 4 clips, about ")
    assert lines[-1].startswith("simulate: 4 clips, done in ")
    assert done.stdout.splitlines()[-1] == "0"


def test_a_bar_on_a_terminal_and_in_a_notebook(monkeypatch):
    monkeypatch.setattr(_progress, "DELAY", 0.01)
    notebook = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(config={"IPKernelApp": {}}))
    shell = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(config={}))
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    for module, stream, is_bar in [
        (None, io.StringIO(), False),
        (shell, io.StringIO(), False),
        (notebook, io.StringIO(), True),
        (shell, terminal, True),
        (None, None, False),
    ]:
        monkeypatch.setitem(sys.modules, "IPython", module)
        monkeypatch.setattr(sys, "stderr", stream)
        items = iter(progress_bar([1, 2], "read", 2, "frame", None))
        assert next(items) == 1
        until = time.monotonic() + 10
        while is_bar and "read:   0%" not in stream.getvalue():  # before the first item is done
            assert time.monotonic() < until
            time.sleep(0.01)
        assert list(items) == [2]
        assert (stream is not None and stream.getvalue() != "") == is_bar


def test_a_log_says_once_that_kernels_are_compiled(caplog):
    """An event of Numba's stands for the half a minute."""
    tell_of_compilation().told = False  # whatever was compiled in this process
    kernels = types.SimpleNamespace(py_func=ltogp.histogram)
    method = types.SimpleNamespace(__module__=None)  # of a class that Numba made
    others = [types.SimpleNamespace(py_func=np.mean), types.SimpleNamespace(py_func=method), object()]
    with caplog.at_level(logging.INFO, "microexpr"):
        for dispatcher in (*others, kernels, kernels):
            with event.trigger_event("numba:compile", {"dispatcher": dispatcher}):
                pass
    assert caplog.messages == [
        "compiling kernels, half a minute the first time; `microexpr warmup` does it too"
    ]
