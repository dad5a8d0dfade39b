"""Calculate what one million and one hundred million clips take on a cluster, and where the first wall is.

    python docs/cluster_scale.py [--workers N ...]   # the tables of docs/scale.md
    python docs/cluster_scale.py --measure           # what they are calculated from, on loopback

The scheduler is simulated event by event: it serves one message at a time, a worker asks for its next task
when it has written its chunk, and queues where the scheduler is busy.
"""

import argparse
import heapq
import os
import sys
import time

# ------------------------------------------------------------------------------- measured: see docs/scale.md

CLIP_SECONDS = 0.050  # CPU of a clip: 68 frames of 280 x 340 pixels, JPEG, one grid of 8 x 8 blocks
MAP_SECONDS = 0.0006  # CPU of the scheduler's process for one task of client.map
JOBLIB_SECONDS = 0.0014  # and for one of joblib's Dask backend
MAP_BYTES = 4_500  # memory of the scheduler's process for one task that it knows
JOBLIB_BYTES = 8_200
PUT_SECONDS = 0.03  # an object written to S3: assumed, 10 to 60 ms are usual

# ------------------------------------------------------------------- format 2 of the store: docs/store.md

FEATURES, FRAME = 16_384, 128 * 128  # of a clip: float64 numbers, and the bytes of its mean frame
ROW = 8 * FEATURES + 36  # bytes a clip and grid: the features, CRC and content
OBJECTS = 8  # of a chunk of rows, for one grid: features, frames/mean and the small arrays beside them
TABLE_COLUMNS, TABLE_ROWS, TABLE_ROW = (
    10,
    4096,
    5 * 256 + 3 * 8 + 20,
)  # bytes of a row: texts, numbers, identity, crc
PATHS_BYTES = 68 * 290  # of a clip in a client's table: 68 frames, a Path each
ROWS_OF_A_SHEET, ROWS_READ = 1_048_576, 50_000  # of Excel, and of `read_manifest`
PUTS_A_SECOND = 3_500  # of S3, for one prefix


def main(arguments: list[str]) -> None:
    """Print the tables, or measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[10**6, 10**8], metavar="N")
    parser.add_argument("--workers", type=int, nargs="+", default=[16, 128, 1024, 8192], metavar="N")
    parser.add_argument("--measure", action="store_true", help="measure tasks on loopback; needs distributed")
    parser.add_argument("--tasks", type=int, default=2_500, help="to measure with (%(default)s)")
    options = parser.parse_args(arguments)
    if options.measure:
        measure(options.tasks)
        return
    for n in options.clips:
        print_sizes(n)
        print_seconds(n, options.workers)
    print_chunks()
    print_shards()


def print_sizes(n: int, rows: int = 32) -> None:
    """Print what a store of n clips is."""
    chunks = -(-n // rows)
    table = n * TABLE_ROW
    objects = chunks * OBJECTS + TABLE_COLUMNS * -(-n // TABLE_ROWS)
    total = n * (ROW + FRAME) + table
    print(f"{n:,} clips, one grid, chunks of {rows}:")
    print(f"  {total / 1e12:,.3f} TB in {objects:,} objects, {chunks:,} tasks and claims (made, deleted)")
    print(f"  features {n * ROW / 1e12:,.3f} TB; through one client at 1 GB/s {n * ROW / 1e9:,.0f} s")
    print(f"  all waiting in the scheduler: {chunks * MAP_BYTES / 1e9:,.2f} GB (map), ", end="")
    print(f"{chunks * JOBLIB_BYTES / 1e9:,.2f} GB (joblib)")
    print(
        f"  the table {table / 1e9:,.2f} GB; manifests of 10,000 clips: {-(-n // 10_000):,}; ",
        end="",
    )
    print(f"workbooks: {-(-n // ROWS_OF_A_SHEET):,} at least, {-(-n // ROWS_READ):,} as they are read here")
    print(f"  files in the folder of one array: {chunks:,}; puts at {PUTS_A_SECOND:,} a second: ", end="")
    print(f"{objects / PUTS_A_SECOND:,.0f} s\n")


def print_seconds(n: int, workers: list[int]) -> None:
    """Print how long n clips take, and how busy the scheduler is."""
    print(f"  {'workers':>8}{'days alone':>12}{'hours, map':>12}{'busy':>7}{'hours, joblib':>15}{'busy':>7}")
    for count in workers:
        line = f"  {count:>8,}{n * CLIP_SECONDS / count / 86400:>12.3f}"
        for service, width in ((MAP_SECONDS, 12), (JOBLIB_SECONDS, 15)):
            seconds, busy = simulate(n, count, service)
            line += f"{seconds / 3600:>{width}.2f}{busy:>7.1%}"
        print(line)
    print()


def print_chunks(n: int = 10**8, workers: int = 1024) -> None:
    """Print what the number of rows in a chunk changes."""
    print(f"{n:,} clips, {workers:,} workers, chunks of:")
    print(f"  {'rows':>6}{'MiB':>8}{'tasks':>14}{'objects':>14}{'s a task':>10}{'busy':>8}{'hours':>8}")
    for rows in (1, 4, 8, 32, 128, 512):
        tasks = -(-n // rows)
        seconds, busy = simulate(n, workers, JOBLIB_SECONDS, rows)
        one = task_seconds(rows)
        print(
            f"  {rows:>6}{8 * rows * FEATURES / 2**20:>8.2f}{tasks:>14,}{tasks * OBJECTS:>14,}{one:>10.2f}"
            f"{busy:>8.1%}{seconds / 3600:>8.2f}"
        )
    print()


def print_shards(n: int = 10**8) -> None:
    """Print what a client holds that submits manifests one after the other, and all tasks at once."""
    print(f"{n:,} clips, submitted in shards of:")
    print(
        f"  {'clips':>12}{'shards':>10}{'tasks':>12}{'scheduler, GB':>15}{'table, GB':>11}{'sent in, s':>12}"
    )
    for shard in (10_000, 100_000, 10**6, n):
        tasks = shard // 32
        print(
            f"  {shard:>12,}{n // shard:>10,}{tasks:>12,}{tasks * JOBLIB_BYTES / 1e9:>15.3f}"
            f"{shard * PATHS_BYTES / 1e9:>11.3f}{tasks * JOBLIB_SECONDS:>12.1f}"
        )


def task_seconds(rows: int) -> float:
    """One chunk described and written: eight objects, a claim made and deleted, each after the other."""
    return rows * CLIP_SECONDS + (OBJECTS + 2) * PUT_SECONDS


def simulate(
    n: int, workers: int, service: float, rows: int = 32, events: int = 200_000
) -> tuple[float, float]:
    """Seconds for n clips, and the share of them in which the scheduler works.

    Of more tasks than `events` as many are simulated, all workers busy all the time, and the rest is in
    proportion: what is left out is the end, where workers wait for the last tasks.
    """
    tasks = -(-n // rows)
    simulated = min(tasks, max(events, 20 * workers))
    one = task_seconds(rows)
    free = [(0.0, worker) for worker in range(min(workers, simulated))]  # when each asks for a task
    scheduler = busy = last = 0.0
    for _ in range(simulated):
        asked, worker = heapq.heappop(free)
        scheduler = max(scheduler, asked) + service  # one message after the other
        busy += service
        # No two clips are as long: from half to one and a half times, by a sequence without chance.
        spread = 0.5 + (worker * 0.6180339887 + _ * 0.7548776662) % 1.0
        last = scheduler + one * spread
        heapq.heappush(free, (last, worker))
    end = max(when for when, _ in free)
    scale = tasks / simulated
    return end * scale, busy / end


def measure(tasks: int) -> None:
    """Seconds of a clip on one core; CPU and memory of a scheduler's process for tasks that do nothing."""
    import subprocess
    import tempfile

    import joblib
    import psutil
    from distributed import Client, wait

    import microexpr

    with tempfile.TemporaryDirectory() as folder:
        data = {"subjects": 4, "clips": 8, "frames": (68, 68), "size": (280, 340), "progress": False}
        table = microexpr.read_casme2(microexpr.simulate(os.path.join(folder, "data"), **data))
        microexpr.extract(table[:1], n_jobs=1)  # the kernels compile
        started = time.process_time()  # of all its threads, whoever else uses the machine
        microexpr.extract(table, n_jobs=1)
        seconds = (time.process_time() - started) / len(table)
        frames = len(table["frames"].iloc[0])
        print(f"extract: {seconds:.3f} s for a clip of {frames} frames of 280 x 340 pixels, 8 x 8 blocks")
        address = os.path.join(folder, "scheduler.json")
        module = [sys.executable, "-m", "distributed.cli."]
        flags = ["--scheduler-file", address, "--no-dashboard"]
        scheduler = subprocess.Popen(
            [*module[:2], "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *flags],
            stderr=subprocess.DEVNULL,
        )
        worker = subprocess.Popen(
            [*module[:2], "distributed.cli.dask_worker", "--nworkers", "2", "--nthreads", "1", *flags],
            stderr=subprocess.DEVNULL,
        )
        try:
            with Client(scheduler_file=address, timeout=60) as client:
                client.wait_for_workers(2, timeout=60)
                process = psutil.Process(scheduler.pid)
                client.submit(nothing, -1).result()

                def report(name: str, cpu: float, memory: int, started: float) -> None:
                    rate = tasks / (time.perf_counter() - started)
                    spent = 1e3 * (cpu_of(process) - cpu) / tasks
                    held = (process.memory_info().rss - memory) / tasks
                    print(
                        f"{name}: {rate:.0f} tasks a second; of the scheduler {spent:.3f} ms of CPU", end=""
                    )
                    print(f" and {held:,.0f} bytes a task")

                before = (cpu_of(process), process.memory_info().rss, time.perf_counter())
                futures = client.map(nothing, range(tasks), pure=False)
                wait(futures)
                report("client.map", *before)
                del futures
                time.sleep(2)
                before = (cpu_of(process), process.memory_info().rss, time.perf_counter())
                with joblib.parallel_config(backend="dask", wait_for_workers_timeout=60):
                    joblib.Parallel(batch_size=1, pre_dispatch="all")(
                        joblib.delayed(nothing)(k) for k in range(tasks)
                    )
                report("joblib", *before)
        finally:
            worker.terminate()
            scheduler.terminate()
            worker.wait()
            scheduler.wait()


def nothing(k: int) -> int:
    """Return what it is given."""
    return k


def cpu_of(process: object) -> float:
    """Seconds that a process has worked."""
    times = process.cpu_times()  # type: ignore[attr-defined]
    return times.user + times.system


if __name__ == "__main__":
    main(sys.argv[1:])
