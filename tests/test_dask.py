"""A scheduler of Dask and its workers, processes on loopback: same bits, whoever dies."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
import weakref
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from threading import Barrier, Thread

import joblib
import numpy as np
import pandas as pd
import pytest
from distributed import Client

from l21 import L21Selector
from microexpr import _dask, cli, loso, make_classifier
from microexpr._warnings import ignore_user_warnings
from microexpr.experiment import Settings, evaluate
from rankpool import HierarchicalRankPooling, RankPooling

ROOT = Path(__file__).parents[1]
PACKAGE = Path(_dask.__file__).parent
FIRST = 120  # seconds for processes to start, on a busy machine


class Cluster:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "scheduler.json"
        self.client, self.processes, self.workers = None, [], []
        self.env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
        # The nanny of `dask worker` would set these to 1
        self.env |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2")
        options = ["--port", "0", "--no-dashboard", "--idle-timeout", "600"]
        self._start("scheduler", *options, "--scheduler-file", self.file)

    def connect(self):
        wait_until(self.file.exists)
        self.client = Client(scheduler_file=str(self.file), timeout=FIRST, set_as_default=False)

    def _start(self, *words, **env):
        command = [sys.executable, "-m", "dask", words[0], "--host", "127.0.0.1", *map(str, words[1:])]
        log = (self.folder / f"{len(self.processes)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                command, env=self.env | env, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        self.processes.append(process)
        return process

    def start_worker(self, n_threads, **env):
        options = ["--scheduler-file", self.file, "--no-nanny", "--no-dashboard", "--nthreads", n_threads]
        options += ["--death-timeout", FIRST]
        process = self._start("worker", *options, "--local-directory", self.folder / "scratch", **env)
        self.workers.append(process)
        return process

    def kill_workers(self):
        for process in self.workers:
            process.kill()
            process.wait()
        self.workers = []
        wait_until(lambda: not self.client.ncores())

    def use(self, *n_threads):
        """Have workers with these numbers of threads, and no others; those that are there stay."""
        if sorted(self.client.ncores().values()) != sorted(n_threads) or any(
            process.poll() is not None for process in self.workers
        ):
            self.kill_workers()
            for n in n_threads:
                self.start_worker(n)
            self.client.wait_for_workers(len(n_threads), timeout=FIRST)

    @contextmanager
    def backend(self):
        with joblib.parallel_config(backend="dask", client=self.client):
            yield

    def stop(self):
        if self.client:
            self.client.close()
        for process in self.processes[::-1]:
            process.kill()
            process.wait()


def wait_until(condition, seconds=FIRST):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


@pytest.fixture(scope="module", autouse=True)
def no_scheduler_stays():
    """Clients that end in another order than they began leave Dask's scheduler set, without a client."""
    yield
    import dask

    dask.config.config.pop("scheduler", None)


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dask")


@pytest.fixture(scope="module")
def on_workers(module_folder):
    """The module tests/on_workers.py, importable here and there."""
    shutil.copy(ROOT / "tests" / "on_workers.py", module_folder)
    sys.path.insert(0, str(module_folder))
    import on_workers

    yield on_workers
    sys.path.remove(str(module_folder))


@pytest.fixture(scope="module")
def cluster(module_folder, on_workers):
    cluster = Cluster(module_folder)
    try:
        cluster.connect()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "dataset": "mine",
            "subject": np.repeat([*"abcdef"], 6),
            "clip": range(36),
            "emotion": np.tile(["disgust", "surprise", "others"], 12),
        }
    )
    X = rng.standard_normal((36, 2 * 2 * 256))
    X[::3, :20] += 1.5
    X[1::3, 10:30] += 1.5
    return X, table


def columns(samples):
    X, table = samples
    return X, table["emotion"].to_numpy(dtype=str), table["subject"].to_numpy(dtype=str)


SETTINGS = Settings(blocks=2, n_features=20, sweep_n_features=[10, 20], sweep_blocks=[2], n_resamples=100)


def clips(n=12):
    rng = np.random.default_rng(1)
    return [np.cumsum(rng.standard_normal((T, 30)), axis=0) for T in rng.integers(15, 40, n)]


@pytest.fixture(scope="module")
def estimators(samples):
    """What each estimator makes of the samples, by its name."""
    X, y, groups = columns(samples)

    def results():
        selector = L21Selector(10, gamma="cv", gammas=3, cv=3).fit(X, y, groups=groups)
        regression = L21Selector(10, gamma="cv", gammas=3, cv=3, task="regression").fit(X, X[:, :2])
        return {
            "RankPooling": RankPooling(loss="squared_hinge").fit_transform(clips()),
            "iterator": RankPooling().fit_transform(iter(clips())),
            "HierarchicalRankPooling": HierarchicalRankPooling(window=8).fit_transform(clips()),
            "W": selector.W_,
            "accuracy": selector.cv_results_["mean_test_score"],
            "distance": regression.cv_results_["mean_test_score"],
            "loso": loso(X, y, groups, make_classifier(20)).predicted,
        }

    return results


@pytest.fixture(scope="module")
def expected(samples, estimators):
    """The same in this process alone, and an evaluation."""
    with joblib.parallel_config(n_jobs=1):
        return estimators(), evaluate({(2, 2): samples[0]}, samples[1], SETTINGS, n_jobs=1)


def assert_same(results, expected):
    for name, array in expected.items():
        np.testing.assert_array_equal(results[name], array, err_msg=name, strict=True)


# --------------------------------------------------------------------------------------------- same bits


def test_same_bits(cluster, samples, estimators, expected):
    cluster.use(1, 3)
    with cluster.backend():
        assert_same(estimators(), expected[0])
        evaluation = evaluate({(2, 2): samples[0]}, samples[1], SETTINGS)
    assert evaluation.results() == expected[1].results()
    assert evaluation.pins == expected[1].pins


def test_same_bits_in_threads(samples, estimators, expected):
    with joblib.parallel_config(backend="threading", n_jobs=3):
        assert_same(estimators(), expected[0])
        evaluation = evaluate({(2, 2): samples[0]}, samples[1], SETTINGS, n_jobs=3)
    assert evaluation.results() == expected[1].results()


def test_warnings_in_threads_that_overlap():
    before = warnings.filters[:]
    first, second, both = ignore_user_warnings(), ignore_user_warnings(), Barrier(2)

    def enter_second_and_leave_last():
        with second:
            both.wait(FIRST)
            both.wait(FIRST)
            warnings.warn("unheard", UserWarning, stacklevel=1)

    with meanwhile(enter_second_and_leave_last):
        with first:
            both.wait(FIRST)
        assert warnings.filters != before
        both.wait(FIRST)
    assert warnings.filters == before


def test_same_bits_in_processes(samples, expected):
    X, y, groups = columns(samples)
    with joblib.parallel_config(backend="loky", n_jobs=2):
        np.testing.assert_array_equal(RankPooling().fit_transform(clips()), expected[0]["iterator"])
    scores = loso(X, y, groups, make_classifier(20), n_jobs=2)
    np.testing.assert_array_equal(scores.predicted, expected[0]["loso"])


def test_an_error_on_a_worker_is_the_same_here(cluster):
    cluster.use(1, 3)
    bad = [*clips(3), np.full((5, 30), np.nan)]
    with pytest.raises(ValueError, match="clip 3: V") as alone:
        RankPooling().fit_transform(bad)
    with cluster.backend(), pytest.raises(ValueError, match="clip 3: V") as there:
        RankPooling().fit_transform(bad)
    assert str(there.value) == str(alone.value)


# ------------------------------------------------------------------------------- what is sent, and when


def test_clips_are_read_as_workers_need_them(cluster):
    cluster.use(1, 3)
    alive, most = 0, 0

    def read(n):
        nonlocal alive, most

        def gone():
            nonlocal alive
            alive -= 1

        for k in range(n):
            clip = np.arange(3.0)[:, None] * np.arange(k, k + 100_000)
            weakref.finalize(clip, gone)
            alive += 1
            most = max(most, alive)
            yield clip
            del clip

    with cluster.backend():
        RankPooling().fit_transform(read(40))
    # Of 4 threads what they pool, and 2 each ahead; and Dask keeps some 15 MB of what it sent.
    assert most <= 3 * 4 + 7


def test_a_clip_goes_with_its_task(cluster, on_workers):
    """Not scattered, which a worker's death would lose, and not with every task."""
    cluster.use(1, 3)
    given = [clip.view(on_workers.Clip) for clip in clips(20)]
    on_workers.Clip.pickled = 0
    with cluster.backend():
        RankPooling().fit_transform(given)
    assert 20 <= on_workers.Clip.pickled <= 40  # Dask pickles a small task twice, to see how


def test_threads_of_a_worker(cluster, on_workers, samples):
    """BLAS has one thread in each task, also in those that others overlap; and what it had afterwards."""
    cluster.use(1, 3)
    X, _, groups = columns(samples)
    cluster.client.run(on_workers.let_blas_have, 2)
    before = cluster.client.run(on_workers.blas_threads)
    for seconds in (0.0, 0.1):
        with cluster.backend():
            scores = loso(X, np.arange(36) % 2, groups, on_workers.BlasThreads(seconds))
            settings = Settings(blocks=2, n_features=20, sweep=False, n_resamples=10)
            evaluate({(2, 2): X}, samples[1], settings, classifier=on_workers.Nearest(seconds / 10))
        assert set(scores.predicted) == {1}
    assert cluster.client.run(on_workers.blas_threads) == before


def test_nothing_imports_dask_by_itself():
    code = (
        "import sys, microexpr.cli, microexpr.experiment, microexpr.extraction, rankpool, l21;"
        "print({'dask', 'distributed'} & {*sys.modules})"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=FIRST
    )
    assert done.stdout == "set()\n", done.stderr


# -------------------------------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def data(module_folder, cluster):
    from microexpr import simulate

    return simulate(
        module_folder / "data", subjects=4, clips=16, frames=(4, 6), size=(68, 56), progress=False
    )


def microexpr(capsys, *words):
    status = cli.main(list(map(str, words)))
    return status, capsys.readouterr()


def test_a_command_gives_the_same(cluster, data, tmp_path, capsys):
    cluster.use(1, 3)
    words = ("evaluate", "casme2", data, "--blocks", "2", "--n-features", "20", "--no-sweep", "--no-nested")
    assert microexpr(capsys, *words, "--out", tmp_path / "here")[0] == 0
    store, dask = ("--store", tmp_path / "clips.zarr"), ("--dask", cluster.client.scheduler.address)
    extracted, printed = microexpr(capsys, "extract", "casme2", data, "--blocks", "2", "2", *store, *dask)
    assert extracted == 0, printed.err
    status, printed = microexpr(capsys, *words, *store, "--out", tmp_path / "there", *dask)
    assert status == 0, printed.err
    for name in ("evaluation.json", "predictions.csv", "weights.csv"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes(), name


def test_interrupted(cluster, on_workers, data, tmp_path):
    cluster.use(1, 3)
    words = ["evaluate", "casme2", data, "--blocks", "8", "--out", tmp_path / "out", "--dask", cluster.file]
    # Python leaves SIGINT alone where a shell started it in the background
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    code += "from microexpr import cli; sys.exit(cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *map(str, words)]
    run = subprocess.Popen(command, env=cluster.env, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        wait_until(
            lambda: any("_fit" in key for keys in cluster.client.processing().values() for key in keys)
        )
        run.send_signal(signal.SIGINT)
        _, printed = run.communicate(timeout=FIRST)
    finally:
        run.kill()
    assert run.returncode == 130
    assert printed.splitlines()[-1] == "microexpr evaluate: stopped"
    assert f'File "{PACKAGE}' not in printed  # distributed logs what it was told too late
    wait_until(lambda: not any(cluster.client.processing().values()))
    assert len(cluster.client.ncores()) == 2
    assert all(process.poll() is None for process in cluster.workers)


def test_no_scheduler(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_dask, "CONNECT", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        status, printed = microexpr(capsys, "evaluate", "casme2", data, "--dask", address)
    assert status == 2
    assert printed.err == f"microexpr evaluate: {address}: no scheduler of Dask answered within 1 s\n"
    (tmp_path / "file").write_text("[]")
    for address in ("no://scheme", tmp_path / "file"):
        status, printed = microexpr(capsys, "evaluate", "casme2", data, "--dask", address)
        assert status == 2
        assert printed.err.startswith(f"microexpr evaluate: {address} is no scheduler of Dask, nor its file")
        assert printed.err.count("\n") == 1


# ------------------------------------------------------------------------------- processes that die


@contextmanager
def meanwhile(action):
    """Do it in a thread; an error in it is one of the test."""
    errors = []

    def run():
        try:
            action()
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=run)
    thread.start()
    yield
    thread.join(FIRST)
    assert not errors, errors


def test_a_worker_killed(cluster, on_workers, samples, tmp_path, capfd, monkeypatch):
    """At its first tasks, of two; the lines go on."""
    monkeypatch.setattr("microexpr._progress.EVERY", 0.0)
    cluster.use(1, 1)
    X, y, groups = columns(samples)
    expected = loso(X, y, groups, on_workers.Nearest())

    def kill():
        wait_until(lambda: list(tmp_path.iterdir()))
        pid = int(next(tmp_path.iterdir()).name.split("-")[0])
        os.kill(pid, signal.SIGKILL)

    cluster.client.run(on_workers.blas_threads)  # imported
    with meanwhile(kill), cluster.backend():
        scores = loso(X, y, groups, on_workers.Nearest(0.6, str(tmp_path)), progress=True)
    np.testing.assert_array_equal(scores.predicted, expected.predicted)
    assert " folds, done in " in capfd.readouterr().err
    assert len({path.name.split("-")[0] for path in tmp_path.iterdir()}) == 2


def test_all_workers_killed_and_others_started(cluster, samples, estimators, expected):
    """What was sent once is sent again."""
    cluster.use(1, 1)

    def kill():
        wait_until(lambda: any(cluster.client.processing().values()))
        cluster.kill_workers()
        cluster.use(1, 1)

    with meanwhile(kill), cluster.backend():
        evaluation = evaluate({(2, 2): samples[0]}, samples[1], SETTINGS)
        assert_same(estimators(), expected[0])
    assert evaluation.results() == expected[1].results()


def test_all_workers_killed(cluster, on_workers, monkeypatch, samples, tmp_path):
    cluster.use(1, 1)
    monkeypatch.setattr(_dask, "NO_WORKERS", 3)
    X, y, groups = columns(samples)

    def kill():
        wait_until(lambda: list(tmp_path.iterdir()))
        cluster.kill_workers()

    with (
        meanwhile(kill),
        pytest.raises(ConnectionError, match="it had no worker for 3 s; the work is lost"),
        _dask.on_dask(str(cluster.file)),
    ):
        loso(X, y, groups, on_workers.Nearest(1, str(tmp_path)))


def test_a_cluster_of_one_thread(cluster, samples, expected):
    """Joblib runs the tasks itself then."""
    cluster.use(1)
    X, y, groups = columns(samples)
    with cluster.backend():
        selector = L21Selector(10, gamma="cv", gammas=3, cv=3).fit(X, y, groups=groups)
        scores = loso(X, y, groups, make_classifier(20))
    assert_same({"W": selector.W_, "loso": scores.predicted}, {k: expected[0][k] for k in ("W", "loso")})


def test_no_workers(cluster, on_workers, data, capsys, monkeypatch, samples, tmp_path):
    monkeypatch.setattr(_dask, "NO_WORKERS", 2)
    cluster.kill_workers()
    status, printed = microexpr(capsys, "evaluate", "casme2", data, "--dask", cluster.file)
    assert status == 2
    first, last = printed.err.splitlines()
    assert "no workers yet; waiting" in first
    assert last == f"microexpr evaluate: {cluster.file}: the scheduler has no workers (2 s waited)"


@pytest.mark.parametrize("lacks", ["microexpr", "version"])
def test_a_worker_that_is_not_the_same(lacks, cluster, data, capsys, tmp_path):
    cluster.kill_workers()
    if lacks == "microexpr":
        (tmp_path / "microexpr.py").write_text("raise ImportError('there is none here')")
        expected = "cannot import microexpr: ImportError('there is none here')"
    else:
        (tmp_path / "pillow-1.2.dist-info").mkdir()
        (tmp_path / "pillow-1.2.dist-info" / "METADATA").write_text("Name: pillow\nVersion: 1.2\n")
        expected = f"has pillow 1.2 instead of {version('pillow')}; the same bits need the same versions"
    cluster.start_worker(1, PYTHONPATH=os.pathsep.join([str(tmp_path), cluster.env["PYTHONPATH"]]))
    cluster.client.wait_for_workers(1, timeout=FIRST)
    worker = next(iter(cluster.client.ncores()))
    status, printed = microexpr(capsys, "evaluate", "casme2", data, "--dask", cluster.file)
    assert status == 2
    assert printed.err == f"microexpr evaluate: {cluster.file}: worker {worker} {expected}\n"
