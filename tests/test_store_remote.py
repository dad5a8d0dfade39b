"""Feature stores at URLs, on an S3 server of moto's on loopback, and filled by Dask's workers."""

import logging
import os
import signal
import threading
import time

import joblib
import numpy as np
import pandas as pd
import pytest
import zarr

from microexpr import Features, extract, read_casme2
from microexpr.cli import main
from microexpr.store import FeatureStore, StoreError

OPTIONS = {"blocks": [(2, 2), (2, 3)], "size": (32, 32)}


@pytest.fixture(scope="module", autouse=True)
def no_scheduler_stays():
    """Clients that end in another order than they began leave Dask's scheduler set, without a client."""
    yield
    import dask

    dask.config.config.pop("scheduler", None)


@pytest.fixture(scope="module")
def root(simulated):
    return simulated(subjects=5, clips=40, frames=(3, 6))


@pytest.fixture(scope="module")
def table(root):
    return read_casme2(root)


@pytest.fixture(scope="module")
def features(table):
    return extract(table, **OPTIONS).features


@pytest.fixture(scope="module")
def bucket():
    """A bucket of an S3 server on this machine, which the environment names, as a user's would."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", address)
        environment.setenv("AWS_ACCESS_KEY_ID", "nobody")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import s3fs

        s3fs.S3FileSystem().mkdir("features")
        yield "s3://features"
    server.stop()


@pytest.fixture(scope="module")
def cluster(bucket, tmp_path_factory):
    """Two worker processes of two threads each."""
    from distributed import Client, LocalCluster

    folder = tmp_path_factory.mktemp("dask")
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            dashboard_address=":0",
            worker_dashboard_address=":0",
            local_directory=str(folder),
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize("kind", ["memory://", "file://", "s3://", "zarr's memory", "zarr's folder"])
def test_wherever_it_lies(kind, table, features, bucket, tmp_path):
    where = {
        "memory://": "memory://test_wherever/x.zarr",
        "file://": f"file://{tmp_path}/x.zarr",
        "s3://": f"{bucket}/where/x.zarr",
        "zarr's memory": zarr.storage.MemoryStore(),
        "zarr's folder": zarr.storage.LocalStore(tmp_path / "x.zarr"),
    }[kind]
    with pytest.raises(StoreError, match="there is no feature store"):
        FeatureStore(where)
    clips = extract(table, where, **OPTIONS)
    assert (clips.n_computed, clips.n_skipped) == (40, 0)
    for grid, X in features.items():
        np.testing.assert_array_equal(clips.features[grid], X)
    again = extract(table, where, **OPTIONS)
    assert (again.n_computed, again.n_skipped) == (0, 40)
    store = FeatureStore(where)
    np.testing.assert_array_equal(store.load((2, 2), table[5:]), features[2, 2][5:])
    assert store.table["clip"].tolist() == table["clip"].tolist()
    assert store.check().is_whole
    assert not store.check().claims


def test_the_command_line_takes_a_url(root, bucket, capsys):
    url = f"{bucket}/command/x.zarr"
    assert main(["extract", "casme2", str(root), "--store", url, "--blocks", "2", "2"]) == 0
    assert f"{url}: 40 clips described in 2 x 2 blocks" in capsys.readouterr().out
    assert main(["check", url]) == 0
    assert "2x2 blocks: 40 whole" in capsys.readouterr().out


def test_what_cannot_be_reached_is_an_error_of_one_line(root, bucket, monkeypatch, capsys):
    command = ["extract", "casme2", str(root), "--blocks", "2", "2", "--store"]
    for url, words in (
        ("s3://nowhere/x.zarr", "s3://nowhere/x.zarr cannot be written: The specified bucket does not exist"),
        ("nothing://x.zarr", "nothing://x.zarr is not a place for a feature store: Protocol not known"),
    ):
        assert main([*command, url]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"microexpr extract: {words}")
        assert said.count("\n") == 1
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    assert main([*command, f"{bucket}/x.zarr"]) == 2
    assert "Could not connect to the endpoint URL" in capsys.readouterr().err
    s3fs.S3FileSystem.clear_instance_cache()


def test_of_many_who_create_an_object_one_does(bucket):
    from microexpr._objects import Objects

    for where in (f"{bucket}/race/x.zarr", "memory://race/x.zarr"):
        objects = [Objects(where) for _ in range(8)]
        won = joblib.Parallel(n_jobs=8, backend="threading")(
            joblib.delayed(each.create)("claims/0", str(k).encode()) for k, each in enumerate(objects)
        )
        assert sum(won) == 1
        assert objects[0].get("claims/0") == str(won.index(True)).encode()


@pytest.mark.parametrize("place", ["a folder", "s3"])
def test_dasks_workers_fill_a_store_together(place, table, features, cluster, bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the workers run elsewhere
    where = "together.zarr" if place == "a folder" else f"{bucket}/together/x.zarr"
    broken = table.copy()
    broken.at[3, "frames"] = broken.at[3, "frames"][:1]
    with joblib.parallel_config(backend="dask"):
        clips = extract(broken, where, **OPTIONS)
        assert (clips.n_computed, len(clips.problems)) == (39, 1)
        assert "1 frame" in str(clips.problems[0])
        clips = extract(table, where, **OPTIONS)
        assert (clips.n_computed, clips.n_skipped) == (1, 39)
        in_memory = extract(table[:5], **OPTIONS)
    for grid, X in features.items():
        np.testing.assert_array_equal(clips.features[grid], X)
        np.testing.assert_array_equal(in_memory.features[grid], X[:5])
    report = FeatureStore(where).check()
    assert report.is_whole
    assert not report.claims


def test_a_store_in_memory_is_not_the_workers(table, cluster):
    with joblib.parallel_config(backend="dask"), pytest.raises(StoreError, match="in this one's memory"):
        extract(table, "memory://workers/x.zarr", **OPTIONS)


def test_a_worker_killed_in_mid_run(table, cluster, tmp_path):
    """Its chunks are done by another one, which takes over what it had claimed."""
    many = pd.concat([table.assign(clip=table["clip"] + f"-{k}") for k in range(6)], ignore_index=True)

    def slow(frames):
        time.sleep(0.02)
        return frames.reshape(len(frames), -1)[:, :50].astype(float)

    expected = extract(many, features=slow, size=(32, 32)).X
    path = tmp_path / "x.zarr"

    def kill_one():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not list(path.glob("key/slow/c/*/0")):
            time.sleep(0.05)
        held = [name for name in os.listdir(path / "claims") if name.isdigit()]
        assert held
        os.kill(next(iter(cluster.run(os.getpid).values())), signal.SIGKILL)

    thread = threading.Thread(target=kill_one)
    thread.start()
    with joblib.parallel_config(backend="dask"):
        clips = extract(many, path, features=Features(slow), size=(32, 32))
    thread.join()
    np.testing.assert_array_equal(clips.X, expected)
    assert not clips.problems
    assert os.listdir(path / "claims") == ["zarr.json"]
