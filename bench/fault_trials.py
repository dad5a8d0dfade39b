"""What the trials of fault_campaign.py have in common: processes, what is right, and what is not."""

import itertools
import os
import pickle
import re
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections import deque
from functools import partial
from pathlib import Path

from tqdm import tqdm

import microexpr
from microexpr import extract, read_casme2, simulate
from microexpr.store import FeatureStore, StoreError

tqdm.monitor_interval = 0  # its thread would hold locks when trials are forked: they would hang
GRIDS = [(2, 2), (2, 3)]
OPTIONS = {"blocks": GRIDS, "size": (32, 32), "n_jobs": 1, "progress": False}
CLIPS = 70  # three chunks of rows
HANG = 120  # seconds
ARRAYS = re.compile(r"(clips|frames|u|key|crc)/[a-z0-9_]+|zarr\.json|\d+x\d+ blocks|claims")
REMEDY = re.compile(r"extract .*(again|into)|give another|make it|what it holds is kept|remove it")

# -- trials run in processes ------------------------------------------------------------------------------


class Child:
    """A function in a forked process; its `result` is what it returns, or how it ended otherwise."""

    def __init__(self, function, *arguments):
        self.started = time.monotonic()
        self.pipe, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.close(self.pipe)
            try:
                value = function(*arguments)
            except BaseException as error:
                at = traceback.extract_tb(error.__traceback__)[-1]
                value = f"{type(error).__name__}: {str(error)[:200]} ({Path(at.filename).name}:{at.lineno})"
            with open(write, "wb") as file:
                pickle.dump(value, file)
            os._exit(0)
        os.close(write)

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)

    def is_done(self, seconds=0.0):
        return bool(select.select([self.pipe], [], [], seconds)[0])

    def result(self, seconds=HANG):
        hangs = not self.is_done(seconds)
        if hangs:
            self.kill()
        with open(self.pipe, "rb") as file:
            data = file.read()
        os.waitpid(self.pid, 0)
        return "it hangs" if hangs else pickle.loads(data) if data else "killed"


def forked(function, *arguments):
    return Child(function, *arguments).result()


def run_trials(trials, n):
    """Yield what came of n trials, two at a time."""
    running = deque()
    for trial in itertools.islice(trials, n):
        running.append(Child(trial))
        if len(running) == 2:
            yield running.popleft().result(5 * HANG)
    for child in running:
        yield child.result(5 * HANG)


# -- what is right ----------------------------------------------------------------------------------------


def fill(path, table=None, slow=0.0, **options):
    """Extract; the clips take so many seconds each. Return how many were computed, or the StoreError."""
    if slow:
        slow_down(slow)
    try:
        return extract(RIGHT.clips if table is None else table, path, **OPTIONS | options).n_computed
    except (StoreError, OSError) as error:
        return error


def slow_down(seconds):
    """Let each clip take so much longer from now on."""
    described = microexpr._recipe.Recipe.describe
    microexpr._recipe.Recipe.describe = lambda *arguments: (time.sleep(seconds), described(*arguments))[1]


class Right:
    """The clips, and what all the reading of a whole store gives."""

    def describe_in_memory(self, folder):
        """Simulate clips and describe them, without a store, whose threads no child could take over."""
        simulate(folder / "casme2", subjects=5, clips=CLIPS, frames=(3, 6), size=(34, 28), progress=False)
        self.folder, self.clips = folder, read_casme2(folder / "casme2")
        self.features = extract(self.clips, **OPTIONS).features  # and the kernels, for all children
        self.whole, self.older = folder / "whole.zarr", folder / "older.zarr"

    def make_stores(self):
        """Make one whole, and one as it was when the clips had other frames and labels."""
        others = self.clips[:60].assign(frames=[frames[1:] for frames in self.clips["frames"][:60]])
        others = others.assign(emotion=[*others["emotion"][1:], "other"], onset=others["onset"] + 1)
        others = others.assign(apex=7, offset=9, action_units="1+2")
        fill(self.older, others)
        shutil.copytree(self.older, self.whole)
        fill(self.whole)
        store = FeatureStore(self.whole)
        return store.table, store.mean_face(), store.digest()

    def copy(self):
        path = Path(tempfile.mkdtemp(dir=self.folder)) / "x.zarr"
        return Path(shutil.copytree(self.whole, path))


RIGHT = Right()


def readings(path):
    """Yield what is read, whether it is right, and the error if there was one."""

    def loaded(grid, table, store):
        X, rows = store.load(grid, table), {row.tobytes() for row in RIGHT.features[grid]}
        return (RIGHT.features[grid] == X).all() if table is not None else {r.tobytes() for r in X} <= rows

    def same_table(store):
        there = store.table
        right = RIGHT.table[: len(there)].copy()
        n_frames, right_n = there.pop("n_frames"), right.pop("n_frames")
        same = there.empty or there.equals(right)
        return same and (n_frames.isna() | (n_frames == right_n)).all()

    def checked(store):
        store.check(progress=False)
        return True

    reads = {
        "table": same_table,
        "load": partial(loaded, (2, 2), None),
        "load of all": partial(loaded, (2, 2), RIGHT.clips),
        "load of all, 2 x 3": partial(loaded, (2, 3), RIGHT.clips),
        "missing": lambda store: store.missing((2, 2)) is not None,
        "mean_face": lambda store: (store.mean_face(RIGHT.clips) == RIGHT.mean_face).all(),
        "digest": lambda store: store.digest(RIGHT.clips) == RIGHT.digest,
        "check": checked,
    }
    for name, read in reads.items():
        try:
            yield name, bool(read(FeatureStore(path))), None
        except (StoreError, OSError) as error:
            yield name, True, error


def look(path, named=ARRAYS):
    """Say what reading gives that is wrong, or which error does not help."""
    for name, right, error in readings(path):
        text = str(error)
        if not right:
            return f"{name} is wrong"
        if error and not (str(path) in text and named.search(text) and REMEDY.search(text)):
            return f"{name}: {type(error).__name__}: {text}"
    return ""


def whole(path):
    """Say what is not as it should be in a store in which all is."""
    for name, right, error in readings(path):
        if error or not right:
            return f"{name} after extract: {error or 'wrong'}"
    store = FeatureStore(path)
    if len(store.table) != CLIPS or store.table["n_frames"].isna().any():
        return "clips are gone"
    report = store.check(progress=False)
    if not report.is_whole or report.claims or report.n_unfinished:
        return f"after extract: {report}"
    left = [file.name for file in path.rglob("*.partial")] + [p.name for p in (path / "claims").iterdir()]
    return f"left over: {left}" if left != ["zarr.json"] else ""


def mended(path, n_jobs=1):
    """Extract once more and say what that does not bring back."""
    computed = fill(path, n_jobs=n_jobs)
    return f"extract: {computed}" if isinstance(computed, Exception) else whole(path)


def in_turn(path, *functions):
    """First complaint of functions that each run in a process."""
    return next((complaint for f in functions if (complaint := forked(f, path))), "")


def new_path():
    return Path(tempfile.mkdtemp(dir=RIGHT.folder)) / "x.zarr"
