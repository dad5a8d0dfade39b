"""Files of recognisers: read back, refused where they are damaged, and never executed."""

import copy
import io
import json
import os
import pickle
import threading
import zipfile

import numpy as np
import pytest

import microexpr
from microexpr import Recogniser, train

ARRAYS = (
    "mean",
    "scale",
    "coef",
    "intercept",
    "texture",
    "held_out_face",
    "held_out_motion",
    "selected",
    "face",
)


@pytest.fixture(scope="module")
def recogniser(simulated):
    root = simulated(subjects=3, clips=12, frames=(3, 4))
    options = {"blocks": (2, 2), "n_features": 30, "progress": False}
    return train(microexpr.read_casme2(root), parameters={"size": (24, 20)}, **options)


@pytest.fixture(scope="module")
def data(recogniser, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.npz"
    recogniser.save(path)
    return path.read_bytes()


def parts(data):
    """Return the JSON and the arrays of a file, read by hand."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
    return json.loads(found["about"][128:]), found


def written(path, about, found, compression=zipfile.ZIP_STORED):
    text = io.BytesIO()
    np.save(text, np.frombuffer(json.dumps(about).encode(), np.uint8))
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in {**found, "about": text.getvalue()}.items():
            archive.writestr(f"{name}.npy", content)
    return path


def saved(array, allow_pickle=False):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def test_a_file_is_read_back(recogniser, data, tmp_path):
    path = tmp_path / "model.npz"
    recogniser.save(path)
    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]
    again = Recogniser.load(path)
    again.save(path)
    assert path.read_bytes() == data
    for name in ("classes", "blocks", "pooling", "parameters", "temperature", "about"):
        assert getattr(again, name) == getattr(recogniser, name)
    clip = np.random.default_rng(0).integers(0, 256, (5, 24, 20), dtype=np.uint8)
    assert again.classify(clip).to_json() == recogniser.classify(clip).to_json()
    assert pickle.loads(pickle.dumps(again)).classify(clip).label == again.classify(clip).label
    assert "home" not in json.dumps(again.about)
    assert str(tmp_path.parent) not in json.dumps(again.about)


def test_other_libraries_read_it(data, tmp_path):
    (tmp_path / "model.npz").write_bytes(data)
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        assert {*file.files} == {*ARRAYS, "about"}
        assert json.loads(file["about"].tobytes())["format"] == 1


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_no_code_is_run(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    about, found = parts(data)
    evil = saved(np.array([Harm()], dtype=object), allow_pickle=True)
    for name in ARRAYS:
        path = written(tmp_path / "model.npz", about, {**found, name: evil})
        with pytest.raises(ValueError, match=f"{name} is not an array of"):
            Recogniser.load(path)
    (tmp_path / "model.npz").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(ValueError, match="is not a model"):
        Recogniser.load(tmp_path / "model.npz")
    assert not (tmp_path / "harm").exists()


def test_cut_and_flipped_files_are_refused(data, tmp_path):
    path, rng = tmp_path / "model.npz", np.random.default_rng(0)
    for length in rng.integers(0, len(data), 60):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"model\.npz"):
            Recogniser.load(path)
    unharmed, said = 0, []
    for at in rng.integers(0, len(data), 200):
        broken = bytearray(data)
        broken[at] ^= 1 << rng.integers(8)
        path.write_bytes(broken)
        try:
            again = Recogniser.load(path)
        except ValueError as error:
            said.append(str(error))
        else:  # a bit of the archive that says nothing: a date, a version
            again.save(tmp_path / "again.npz")
            assert (tmp_path / "again.npz").read_bytes() == data
            unharmed += 1
    assert unharmed < 20
    assert all("model.npz" in words for words in said)


def test_bombs_are_refused(data, tmp_path):
    about, found = parts(data)
    path = tmp_path / "model.npz"
    with pytest.raises(ValueError, match="is compressed"):
        Recogniser.load(written(path, about, {**found, "mean": bytes(10**7)}, zipfile.ZIP_DEFLATED))
    huge = found["mean"][:128].replace(b"(1024,), }    ", b"(999999999999,), }"[:18])
    with pytest.raises(ValueError, match="mean"):
        Recogniser.load(written(path, about, {**found, "mean": huge + found["mean"][128:]}))
    text = b'{"format": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**found, "about": saved(np.frombuffer(text, np.uint8))}.items():
            archive.writestr(f"{name}.npy", content)
    with pytest.raises(ValueError, match=r"nested too deeply|recursion"):
        Recogniser.load(path)


@pytest.mark.parametrize("value", [None, True, -1, 0, 3.5, "x", [], {}, 10**400, float("nan"), float("inf")])
def test_every_field_is_looked_at(value, data, tmp_path):
    about, found = parts(data)

    def places(node, place=()):
        yield place
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, child in items:
            yield from places(child, (*place, key))

    path, clip, said = tmp_path / "model.npz", np.zeros((3, 24, 20), np.uint8), []
    for place in places(about):
        if not place:
            continue
        other = copy.deepcopy(about)
        node = other
        for key in place[:-1]:
            node = node[key]
        if type(node[place[-1]]) is type(value) and node[place[-1]] == value:
            continue
        node[place[-1]] = value
        try:
            again = Recogniser.load(written(path, other, found))
        except ValueError as error:
            said.append(str(error))
        else:
            assert str(again)  # whatever is taken can be told, asked and saved
            again.classify(clip)
            again.save(tmp_path / "again.npz")
    assert all("model.npz" in words and len(words) < 700 for words in said)


@pytest.mark.parametrize("name", ARRAYS)
def test_every_array_is_looked_at(name, data, recogniser, tmp_path):
    about, found = parts(data)
    array = getattr(recogniser.model, name, None)
    if array is None:
        array = recogniser.held_out.get(name.removeprefix("held_out_"), getattr(recogniser, name, None))
    path = tmp_path / "model.npz"
    wrong = [array[:-1], array[None], array.astype(np.float32 if array.dtype != np.uint8 else np.int8)]
    if array.dtype == np.float64:
        wrong += [
            np.where(np.arange(array.size).reshape(array.shape) == 1, bad, array) for bad in (np.nan, -np.inf)
        ]
    if name == "scale":
        wrong += [np.zeros_like(array), -array]
    if name == "selected":
        wrong += [array[::-1].copy(), array + 10**6, array - 10**6, np.zeros_like(array)]
    if name.startswith("held_out"):
        wrong += [array[::-1].copy()]
    for value in wrong:
        with pytest.raises(ValueError, match=f"{name}|coef has shape"):  # which N is right, selected says
            Recogniser.load(written(path, about, {**found, name: saved(value)}))
    with pytest.raises(ValueError, match="it must hold"):
        Recogniser.load(written(path, about, {key: value for key, value in found.items() if key != name}))
    with pytest.raises(ValueError, match="it must hold"):
        Recogniser.load(written(path, about, {**found, "more": found[name]}))


def test_what_is_no_file(tmp_path, data):
    with pytest.raises(ValueError, match="is a folder; it must be a model"):
        Recogniser.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="`microexpr train` writes one"):
        Recogniser.load(tmp_path / "absent")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="not a regular file"):
        Recogniser.load(tmp_path / "fifo")
    assert threading.active_count() < 50


def test_a_file_that_cannot_be_written_leaves_nothing(recogniser, tmp_path):
    (tmp_path / "model.npz").mkdir()
    with pytest.raises(OSError, match=r"model\.npz"):
        recogniser.save(tmp_path / "model.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]
