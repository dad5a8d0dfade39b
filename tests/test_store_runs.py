"""Several runs at once in one feature store, and runs that are killed, paused and started again."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest

import microexpr
from microexpr import Features, extract, read_casme2
from microexpr.store import FeatureStore

OPTIONS = {"blocks": (2, 2), "size": (32, 32), "n_jobs": 1, "progress": False}
LONG = 120  # seconds until a test gives up


@pytest.fixture(scope="module")
def table(simulated):
    return read_casme2(simulated(subjects=5, clips=70, frames=(3, 4)))  # three chunks of rows


@pytest.fixture(scope="module")
def X(table):
    return extract(table, **OPTIONS).X


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.zarr"


@pytest.fixture
def run(table, path, tmp_path):
    """Start scripts that find `table`, `path`, `folder`, `OPTIONS` and `child` (a forked function)."""
    started = []

    def start(script, *arguments):
        root = Path(table["frames"][0][0]).parents[3]
        words = [sys.executable, "-c", BEGINNING + script, root, path, tmp_path, *map(str, arguments)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


BEGINNING = """
import json, os, sys, time
from pathlib import Path
import microexpr
from microexpr import _claims, _filling, extract, read_casme2
from microexpr.store import FeatureStore, StoreError

root, path, folder, *arguments = sys.argv[1:]
table, path, folder = read_casme2(root), Path(path), Path(folder)
OPTIONS = {"blocks": (2, 2), "size": (32, 32), "n_jobs": 1, "progress": False}
described = microexpr._recipe.Recipe.describe

def fill(path=path, table=table, **options):
    try:
        return extract(table, path, **OPTIONS | options).n_computed
    except StoreError as error:
        return str(error)

def children(*functions):
    # What each returns; zarr's threads are not there yet when they are forked.
    pids = []
    for k, function in enumerate(functions):
        pids.append(os.fork())
        if not pids[-1]:
            value = function()
            (folder / f"{k}.json").write_text(json.dumps(value))
            os._exit(0)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    return [json.loads((folder / f"{k}.json").read_text()) for k in range(len(functions))]
"""


def result(process):
    output, errors = process.communicate(timeout=LONG)
    assert process.returncode == 0, errors
    return json.loads(output)


def wait_for(condition):
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < LONG
        time.sleep(0.02)


def assert_whole(path, table, X):
    store = FeatureStore(path)
    np.testing.assert_array_equal(store.load((2, 2), table), X)
    report = store.check(progress=False)
    assert (len(store), report.problems, report.claims, report.n_unfinished) == (len(table), [], [], 0)


def test_two_create_one_store(run, table, tmp_path):
    """Of those with the same parameters each clip is one's; of those with others, one is refused."""
    pairs = result(
        run("""
extract(table[:3], **OPTIONS)
def pair(k):
    start, C = time.time() + 0.05, [1.0, 1.0 + k % 2]
    def one(j):
        time.sleep(max(0, start + 0.001 * j * k - time.time()))
        return fill(folder / f"{k}.zarr", table[:3], C=C[j])
    return children(lambda: one(0), lambda: one(1))
print(json.dumps([pair(k) for k in range(10)]))
""")
    )
    for k, done in enumerate(pairs):
        if k % 2 == 0:
            assert sum(done) == 3
            continue
        C = json.loads((tmp_path / f"{k}.zarr" / "zarr.json").read_text())["attributes"]["parameters"]["C"]
        winner = [1.0, 2.0].index(C)
        assert done[winner] == 3
        assert f"{k}.zarr was made with C={C}, not C={3 - C}" in done[1 - winner]
        assert FeatureStore(tmp_path / f"{k}.zarr").missing((2, 2), table[:3]) == []


def test_several_fill_one_store(run, path, table, X):
    """In different orders of the same clips: each is described once, and none returns before all are."""
    done = result(
        run("""
(folder / "marks").mkdir()
def marked(recipe, frames, *others):
    (folder / "marks" / f"{Path(frames[0]).parts[-2]}-{os.getpid()}").touch()
    return described(recipe, frames, *others)
microexpr._recipe.Recipe.describe = marked
def one(seed):
    filled = fill(table=table.sample(frac=1, random_state=seed).reset_index(drop=True))
    return filled, len(FeatureStore(path).missing((2, 2), table))
print(json.dumps(children(*(lambda seed=seed: one(seed) for seed in range(3)))))
""")
    )
    assert sum(n for n, _ in done) == 70
    assert [missing for _, missing in done] == [0, 0, 0]
    assert len(list((path.parent / "marks").iterdir())) == 70
    assert_whole(path, table, X)


def test_what_is_done_is_kept_when_a_run_is_killed(run, path, table, X):
    """It hangs in the sixth clip: the five before are written though their chunk is not complete."""
    process = run("""
count = iter(range(100))
microexpr._recipe.Recipe.describe = lambda *a: described(*a) if next(count) < 5 else time.sleep(1000)
fill()
""")
    keys = path / "key/2x2/c/0/0"
    wait_for(lambda: keys.exists() and np.frombuffer(keys.read_bytes()[:160], "<u8").all())
    process.kill()
    process.wait()
    (path / "u/2x2/c/0/0.0123456789abcdef.partial").write_bytes(b"half")
    (path / "claims/1.0123456789abcdef.partial").write_bytes(b"half")
    assert len(FeatureStore(path).missing((2, 2), table)) == 65
    assert extract(table, path, **OPTIONS).n_computed == 65
    assert_whole(path, table, X)


def test_runs_that_are_killed_again_and_again(run, path, table, X):
    """Each gets to describe three clips of 32; together they come to the end."""
    rounds = result(
        run("""
import signal
def one():
    count = iter(range(100))
    microexpr._recipe.Recipe.describe = lambda *a: described(*a) if next(count) < 3 else time.sleep(1000)
    return fill(table=table)
def keys():
    return (path / "key/2x2/c/0/0").read_bytes() if (path / "key/2x2/c/0/0").exists() else b""
extract(table[:1], **OPTIONS)
table = table[:12]
rounds = 0
while rounds < 30:
    before, rounds, pid = keys(), rounds + 1, os.fork()
    if not pid:
        one()
        os._exit(0)
    until = time.monotonic() + 60
    while keys() == before and time.monotonic() < until and not os.waitpid(pid, os.WNOHANG)[0]:
        time.sleep(0.01)
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        break  # it came to its end
print(rounds)
""")
    )
    assert rounds <= 13
    extract(table[:12], path, **OPTIONS)
    assert_whole(path, table[:12], X[:12])


def test_a_run_that_is_paused_for_longer_than_its_claims_last(run, path, table, X, tmp_path):
    """Another one takes over; the first one goes on, and does no harm."""
    script = """
_claims.LEASE, _claims.RENEWAL, _filling.RENEWAL = 1.0, 0.2, 0.2
if arguments:
    count = iter(range(100))
    def waiting(*a):
        if next(count) == 3:
            (folder / "begun").touch()
            while not (folder / "go").exists():
                time.sleep(0.01)
        return described(*a)
    microexpr._recipe.Recipe.describe = waiting
print(json.dumps(fill()))
"""
    first = run(script, "wait")
    wait_for((tmp_path / "begun").exists)
    first.send_signal(signal.SIGSTOP)
    second = run(script)
    assert result(second) >= 67
    assert_whole(path, table, X)
    (tmp_path / "go").touch()
    first.send_signal(signal.SIGCONT)
    assert isinstance(result(first), int)
    assert_whole(path, table, X)


def test_a_run_does_not_clear_what_others_are_writing(path, table):
    extract(table[:2], path, **OPTIONS)
    file = path / "u/2x2/c/0/0.0123456789abcdef.partial"
    file.write_bytes(b"half")
    here = json.loads(CLAIM) | {"pid": os.getpid()}
    claim = path / "claims/5"
    claim.write_text(json.dumps(here))
    extract(table[:2], path, **OPTIONS)
    assert file.exists()
    claim.unlink()
    extract(table[:2], path, **OPTIONS)
    assert not file.exists()


CLAIM = '{"run": "another", "host": "another", "pid": 1, "beat": 0}'


def test_parts_of_one_run_do_not_clear_each_others_files(path, table):
    """Workers of joblib's, each with chunks of its own: what one is writing, the next one leaves alone."""
    file = path / "u/spread/c/0/0.0123456789abcdef.partial"
    spread = Features(partial(_spread_and_begin, file=str(file)), "spread")
    with joblib.parallel_config("loky", n_jobs=2):
        extract(table, path, features=spread, size=(32, 32), n_jobs=2, progress=False)
    assert file.exists()
    with joblib.parallel_config("loky", n_jobs=2):
        extract(table, path, features=spread, size=(32, 32), n_jobs=2, progress=False)
    assert not file.exists()


def _spread_and_begin(frames, file):
    if not os.path.exists(file + ".once"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_bytes(b"half")
        Path(file + ".once").touch()
    return frames.reshape(len(frames), -1)[:, :4].astype(float)


def test_claims_of_killed_runs_are_cleared(run, path, table, X):
    """Killed after the last of a chunk was written: nothing is left to be done, but its claim is there."""
    extract(table, path, **OPTIONS)
    result(
        run("""
_claims.Claims(FeatureStore(path, "a").objects).claim("1")
print(0)
""")
    )
    assert FeatureStore(path).check(progress=False).claims
    assert extract(table, path, **OPTIONS).n_computed == 0
    assert_whole(path, table, X)


def test_claims_that_say_nothing(path, table, X, monkeypatch):
    extract(table[:40], path, **OPTIONS)
    monkeypatch.setattr(microexpr._claims, "LEASE", 0.2)
    (path / "claims/table").write_bytes(b"[" * 100_000)
    (path / "claims/0").mkdir()
    os.mkfifo(path / "claims/1")
    (path / "claims/2").write_bytes(b'{"pid": 1e999}')
    (path / "u/2x2/c/0/0").unlink()
    assert FeatureStore(path).check(progress=False).claims
    assert extract(table, path, **OPTIONS).n_computed == 62
    assert_whole(path, table, X)


def test_waiting_for_another_run_is_shown(path, table, X, capsys, monkeypatch):
    monkeypatch.setattr(microexpr._progress, "EVERY", 1.0)
    extract(table[:40], path, **OPTIONS)
    other = microexpr._claims.Claims(FeatureStore(path, "a").objects)
    assert other.claim("2")
    done = threading.Timer(3.5, other.release, ["2"])
    done.start()
    extract(table, path, **OPTIONS | {"progress": True})
    done.join()
    assert "wait for other runs" in capsys.readouterr().err
    assert_whole(path, table, X)


@contextmanager
def before_each_line(function, act):
    """Do something before each line of a function, as another thread may at any time."""

    def trace(frame, event, argument):
        if frame.f_code is not function.__code__:
            return None
        act()
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)


def test_a_worker_of_two_runs_never_takes_the_others_store(monkeypatch):
    """Rows of one store written into another would be some other clip's."""
    extraction = microexpr.extraction
    monkeypatch.setattr(extraction, "FeatureStore", lambda location, *_: location)
    monkeypatch.setattr(extraction, "_last_opened", None)

    def other_run():
        extraction._last_opened = "other", "store of the other"

    with before_each_line(extraction._opened, other_run):
        opened = extraction._opened("mine", "my store", {})
    assert opened == "my store"


def test_threads_that_share_a_store_look_at_it_anew(path, table, X):
    extract(table, path, **OPTIONS)
    store = FeatureStore(path)
    with before_each_line(type(store.arrays).get, store.arrays.forget):
        np.testing.assert_array_equal(store.load((2, 2), table), X)
