"""The fault campaign: what can happen to a feature store and to the runs that fill it, over and over.

    python bench/fault_campaign.py [--rounds N | --seconds S] [--seed K] [--only NAME ...]

Each trial makes a store of simulated clips, does something to it or to the process that writes it, and then
reads all there is and extracts once more. A trial is survived if every number read was right or a StoreError
or OSError that names store, place and remedy; if the run after it brings back all features, the table, the
mean face and the digest, bit for bit those computed in memory; and if nothing is left over. Anything else is
lost: a wrong number, a clip that does not come back, a traceback, a hang, an error that does not help, a
file that stays.

Every trial runs in processes of its own, forked from this one, which never opens a store: what a killed
process holds, and threads, are no other trial's.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import zarr.storage._local as zarr_local
from fault_trials import (
    CLIPS,
    GRIDS,
    RIGHT,
    Child,
    fill,
    forked,
    in_turn,
    look,
    mended,
    new_path,
    run_trials,
    slow_down,
    whole,
)

from microexpr import _claims, _filling
from microexpr.store import FeatureStore, StoreError

# -- kills, signals, disks ----------------------------------------------------------------------------------


def killed_at_random(rng):
    while True:
        yield partial(kill_after, rng.uniform(0, 0.6), rng.choice([1, 2]))


def kill_after(seconds, n_jobs):
    path = new_path()
    child = Child(partial(fill, path, n_jobs=n_jobs, slow=0.003))
    child.is_done(seconds)
    child.kill()
    child.result()
    return in_turn(path, look_unless_absent, mended)


def look_unless_absent(path):
    return look(path, re.compile("")) if (path / "zarr.json").exists() else ""


def killed_before_each_write(rng):
    path = new_path()
    n = forked(writes, path, 0)
    for k in range(1, n + 1):
        yield partial(kill_at_write, k)


def writes(path, kill_at):
    """Extract, killed instead of the k-th file written; return how many were."""
    put, count = zarr_local._put, 0

    def counted(*arguments, **options):
        nonlocal count
        count += 1
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return put(*arguments, **options)

    zarr_local._put = counted
    fill(path)
    return count


def kill_at_write(k):
    path = new_path()
    forked(writes, path, k)
    return in_turn(path, look_unless_absent, mended)


def kills_until_done(rng):
    while True:
        yield partial(kill_until_done, rng.randrange(1 << 30))


def kill_until_done(seed):
    """A run of 14 s, of 6.4 s a chunk, killed at most 2 s after each start, has to come to its end."""
    rng, path = random.Random(seed), new_path()
    for _ in range(60):
        child = Child(partial(fill, path, slow=0.2))
        if child.is_done(rng.uniform(1, 2)):
            child.result()
            return in_turn(path, whole)
        child.kill()
        child.result()
    return "60 rounds did not end it"


def signalled(number, rng):
    while True:
        yield partial(signal_command, number, rng.uniform(0, 3))


def signal_command(number, seconds):
    """The command of the shell, stopped: no traceback, in a few seconds; what was done is kept."""
    path = new_path()
    arguments = [*("--store", path, "--size", 32, 32, "--blocks", 2, 2, "--blocks", 2, 3)]
    words = [sys.executable, "-c", COMMAND, "casme2", RIGHT.folder / "casme2", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = subprocess.Popen([*map(str, words)], text=True, **pipes)
    command.stdout.readline()
    time.sleep(seconds)
    command.send_signal(number)
    try:
        errors = command.communicate(timeout=20)[1]
    except subprocess.TimeoutExpired:
        command.kill()
        return "it hangs"
    if command.returncode == 0 or "Traceback" in errors or "terminate called" in errors:
        return f"status {command.returncode}: {errors[-300:]}"
    return in_turn(path, look_unless_absent, mended)


COMMAND = """
import sys, time, microexpr.extraction, microexpr.data
from microexpr.cli import main
described = microexpr._recipe.Recipe.describe
microexpr._recipe.Recipe.describe = lambda *arguments: (time.sleep(0.2), described(*arguments))[1]
print("it begins", flush=True)
sys.exit(main(["extract", *sys.argv[1:]]))
"""


def full_disk(rng):
    while True:
        yield partial(limited, rng.randrange(300, 40_000))
        if shutil.which("mount") and os.getuid() == 0:
            yield partial(on_small_disk, rng.randrange(40, 700))


def limited(most):
    """Files of so many bytes at most."""
    path = new_path()
    return forked(fill_full, path, most) or in_turn(path, look_unless_absent, mended)


def fill_full(path, most=None):
    import resource

    if most:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    error = fill(path)
    if isinstance(error, Exception) and not (str(path) in str(error) and "be written" in str(error)):
        return f"full disk: {type(error).__name__}: {error}"
    return ""


def on_small_disk(kilobytes):
    folder = Path(tempfile.mkdtemp(dir=RIGHT.folder))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True).returncode:
        return limited(kilobytes * 10)
    try:
        complaint = forked(fill_full, folder / "x.zarr") or forked(look_unless_absent, folder / "x.zarr")
        subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True)
        return complaint or forked(mended, folder / "x.zarr")
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def read_only(rng):
    while True:
        path = RIGHT.copy()
        os.chmod(path.parent, 0o755)
        for part in [path, *path.rglob("*")]:
            part.chmod(0o555 if part.is_dir() else 0o444)
        yield partial(forked, as_reader, path)


def as_reader(path):
    if os.getuid() == 0:
        os.setuid(65534)
    complaint = whole(path)
    error = fill(path)
    right = isinstance(error, OSError) and str(path) in str(error) and "cannot be written" in str(error)
    return complaint or ("" if right else f"extract: {error!r}")


# -- several at once ----------------------------------------------------------------------------------------


def two_create(other, rng):
    while True:
        yield partial(create_pair, other, rng.uniform(0, 0.01))


def create_pair(other, delay):
    """Two runs make one store in the same moment."""
    path, some = new_path(), RIGHT.clips[:4]
    start = time.monotonic() + 0.02

    def run(wait, C):
        time.sleep(max(0.0, start + wait - time.monotonic()))
        return fill(path, some, C=C)

    values = [1.0, 2.0 if other else 1.0]
    runs = [Child(run, wait, C) for wait, C in zip((0, delay), values, strict=True)]
    done = [run.result() for run in runs]
    if not other:
        return "" if sorted(map(str, done)) in (["0", "4"], ["1", "3"], ["2", "2"]) else f"{done}"
    there = json.loads((path / "zarr.json").read_bytes())["attributes"]["parameters"]["C"]
    loser = done[1 - values.index(there)]
    if done[values.index(there)] != 4 or not isinstance(loser, StoreError):
        return f"{there} of {values}: {done}"
    return "" if "was made with" in str(loser) and str(path) in str(loser) else str(loser)


def several_fill(rng):
    while True:
        yield partial(fill_together, rng.choice([2, 3, 4]), rng.randrange(1 << 30))


def fill_together(n, seed):
    rng, path = random.Random(seed), new_path()

    def run(delay, order):
        time.sleep(delay)
        return fill(path, RIGHT.clips.sample(frac=1, random_state=order).reset_index(drop=True), slow=0.01)

    runs = [Child(run, rng.uniform(0, 0.5), rng.randrange(1000)) for _ in range(n)]
    done = [run.result() for run in runs]
    if any(not isinstance(value, int) for value in done):
        return f"{done}"
    return forked(whole_in_any_order, path) or ("" if sum(done) == CLIPS else f"computed {done}")


def whole_in_any_order(path):
    """The rows are in the order in which the first run's table had them."""
    store = FeatureStore(path)
    same = [(store.load(grid, RIGHT.clips) == RIGHT.features[grid]).all() for grid in GRIDS]
    fine = store.check(progress=False)
    if not all(same) or len(store) != CLIPS or not fine.is_whole or fine.claims or fine.n_unfinished:
        return f"{same} {fine}"
    return "" if store.digest() == RIGHT.digest else "digest"


def paused(rng):
    while True:
        yield partial(pause, rng.uniform(0.05, 1.5), rng.uniform(1.5, 3))


def pause(after, seconds):
    """A run is stopped for longer than its claims last, another one takes over, and it goes on."""
    path = new_path()

    def run(slow):
        _claims.LEASE, _claims.RENEWAL, _filling.RENEWAL = 1.0, 0.2, 0.2
        return fill(path, slow=slow)

    first = Child(run, 0.02)
    first.is_done(after)
    first.kill(signal.SIGSTOP)
    second = Child(run, 0.002)
    second.is_done(seconds)
    first.kill(signal.SIGCONT)
    done = [second.result(), first.result()]
    return f"{done}" if any(not isinstance(n, int) for n in done) else in_turn(path, mended)


def hostile_claims(rng):
    contents = [b"", b"{", b"[]", b"null", b'{"run": 1}', b"\xff" * 9, b"[" * 100_000, b'{"pid": 1e999}']
    contents += [b'{"run": "x", "host": "y", "pid": -1, "beat": 0}', b'{"run": "x", "host": null}']
    for name in ("table", "0", "1", "x"):
        for content in contents:
            yield partial(forked, hostile_claim, name, content)


def hostile_claim(name, content):
    path = RIGHT.copy()
    (path / "claims" / name).write_bytes(content)
    (path / "u/2x2/c/0/0").unlink()
    _claims.LEASE = 0.5
    complaint, computed = look(path), fill(path)
    (path / "claims" / name).unlink(missing_ok=True)
    return complaint or (whole(path) if computed == 32 else f"extract: {computed}")


def partial_files(rng):
    for folder in ("u/2x2/c/0", "clips/crc/c", "claims", ".", "frames/mean"):
        yield partial(forked, left_partial, f"{folder}/1.0123456789abcdef.partial")


def left_partial(name):
    path = RIGHT.copy()
    (path / name).write_bytes(b"half")
    return look(path) or mended(path)


def dask_worker_killed(rng):
    while True:
        yield partial(forked, kill_worker, rng.uniform(1, 3))


def kill_worker(seconds):
    import threading
    import warnings

    import joblib
    from distributed import Client, LocalCluster

    warnings.simplefilter("ignore")
    path = new_path()
    with (
        LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        client.run(slow_down, 0.1)
        victim = min(client.run(os.getpid).values())
        threading.Timer(seconds, os.kill, (victim, signal.SIGKILL)).start()
        with joblib.parallel_config(backend="dask"):
            done = fill(path, n_jobs=-1)
    return whole(path) if isinstance(done, int) else f"{done}"


# -- damage -------------------------------------------------------------------------------------------------

DAMAGES = {
    "deleted": lambda file, rng: file.unlink(),
    "emptied": lambda file, rng: file.write_bytes(b""),
    "cut in half": lambda file, rng: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "one bit flipped": lambda file, rng: file.write_bytes(flipped(file.read_bytes(), rng)),
    "random bytes": lambda file, rng: file.write_bytes(rng.randbytes(file.stat().st_size)),
    "of an older moment": lambda file, rng: shutil.copy(RIGHT.older / str(file).partition(".zarr/")[2], file),
    "a folder": lambda file, rng: (file.unlink(), file.mkdir()),
    "a FIFO": lambda file, rng: (file.unlink(), os.mkfifo(file)),
}


def flipped(data, rng):
    data, at = bytearray(data), rng.randrange(8 * len(data))
    data[at // 8] ^= 1 << at % 8
    return bytes(data)


def files_of(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def damaged(damage, rng):
    for name in files_of(RIGHT.whole):
        if damage != "of an older moment" or (RIGHT.older / name).exists():
            yield partial(forked, damage_file, name, damage, rng.randrange(1 << 30))


def damage_file(name, damage, seed):
    path = RIGHT.copy()
    DAMAGES[damage](path / name, random.Random(seed))
    complaint = look(path) or unnoticed(path, damage) or mended(path)
    return f"{name}: {complaint}" if complaint else ""


def unnoticed(path, damage):
    """Say so if `check` calls a store whole that is not; one of an older moment may be."""
    try:
        report = FeatureStore(path).check(progress=False)
    except StoreError:
        return ""
    return "check finds nothing" if report.is_whole and damage != "of an older moment" else ""


def hostile_json(rng):
    values = [None, True, -1, 1e999, 1 << 70, "x" * 1000, [], {}, [[]], {"name": "x"}, float("nan")]
    for name in files_of(RIGHT.whole):
        if name.endswith("zarr.json"):
            there = json.loads((RIGHT.whole / name).read_bytes())
            inner = [("attributes", key) for key in there.get("attributes", ())]
            inner += [("attributes", "parameters", "size")] if name == "zarr.json" else []
            for field in [*((key,) for key in there), *inner]:
                yield partial(forked, set_field, name, field, rng.choice(values))
            if "shape" in there:
                for shape in ([1 << 62, *there["shape"][1:]], [1 << 40], [0], [CLIPS, 1 << 40], []):
                    yield partial(forked, set_field, name, ("shape",), shape)
                for codecs in ([{"name": "bytes"}], [{"name": "zstd"}], [{"name": "x"}], [], ["crc32c"]):
                    yield partial(forked, set_field, name, ("codecs",), codecs)
                for dtype in ("float32", "object", "|O", "r8000000000", {"name": "string"}):
                    yield partial(forked, set_field, name, ("data_type",), dtype)
            for text in (b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe{", b"{}", b"[]", b"1e999", b"\0" * 99):
                yield partial(forked, set_text, name, text)


def set_field(name, field, value):
    group = json.loads((RIGHT.whole / name).read_bytes())
    inner = group
    for key in field[:-1]:
        inner = inner[key]
    inner[field[-1]] = value
    complaint = set_text(name, json.dumps(group).encode())
    return f"{'.'.join(field)} = {value!r}: {complaint}"[:400] if complaint else ""


def set_text(name, text):
    path = RIGHT.copy()
    (path / name).write_bytes(text)
    complaint = look(path) or mended(path)
    return f"{name}: {complaint}" if complaint else ""


# -- the campaign -------------------------------------------------------------------------------------------

# Name -> trials, and how many of them a run makes; of those that are enumerated, all.
FAULTS = {
    "SIGKILL at a random moment": (killed_at_random, 60),
    "SIGKILL before each write": (killed_before_each_write, None),
    "SIGKILL every 1 to 2 s until done": (kills_until_done, 2),
    "SIGTERM": (partial(signalled, signal.SIGTERM), 4),
    "SIGINT": (partial(signalled, signal.SIGINT), 4),
    "full disk": (full_disk, 30),
    "read-only folder": (read_only, 2),
    "two create one store": (partial(two_create, False), 30),
    "two create one store, other parameters": (partial(two_create, True), 30),
    "2 to 4 processes fill one store": (several_fill, 8),
    "paused longer than its claims last": (paused, 6),
    "hostile claims": (hostile_claims, None),
    "files of killed writers": (partial_files, None),
    "a Dask worker killed": (dask_worker_killed, 1),
    **{f"each file {damage}": (partial(damaged, damage), None) for damage in DAMAGES},
    "each zarr.json hostile": (hostile_json, None),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, help="how often each fault is tried; by default enough")
    parser.add_argument("--seconds", type=float, help="go on with other random numbers for so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="faults whose name contains one of these")
    options = parser.parse_args()
    names = [n for n in FAULTS if not options.only or any(part in n for part in options.only)]
    tried, lost, started = dict.fromkeys(names, 0), {name: [] for name in names}, time.monotonic()
    seed = options.seed
    while True:
        for name in names:
            trials, n = FAULTS[name]
            rng = random.Random(f"{seed} {name}")
            for complaint in run_trials(trials(rng), options.rounds or n):
                tried[name] += 1
                if complaint:
                    lost[name].append(complaint)
                    print(f"{name}: {complaint}", file=sys.stderr)
            print(f"{time.monotonic() - started:6.0f} s: {name}", file=sys.stderr)
            if options.seconds and time.monotonic() - started > options.seconds:
                break
        seed += 1
        if not options.seconds or time.monotonic() - started > options.seconds:
            break
    width = max(map(len, names))
    print(f"{'fault':{width}}  tried  survived  lost")
    for name in names:
        print(f"{name:{width}}  {tried[name]:5}  {tried[name] - len(lost[name]):8}  {len(lost[name]):4}")
    total = sum(map(len, lost.values()))
    print(f"{'all':{width}}  {sum(tried.values()):5}  {sum(tried.values()) - total:8}  {total:4}")
    return bool(total)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        RIGHT.describe_in_memory(Path(folder))
        RIGHT.table, RIGHT.mean_face, RIGHT.digest = forked(RIGHT.make_stores)
        sys.exit(main())
