"""One bad file stops only its clip, whatever it is and whatever reading it raises."""

import os
import shutil
import socket
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import microexpr
from microexpr import extract, read_casme2, read_clip
from microexpr.cli import main
from microexpr.data import ClipError, crop_clips, read_dataset, read_manifest, read_smic
from microexpr.data import _images as images_module


@pytest.fixture(scope="module")
def whole(simulated):
    return simulated(subjects=3, clips=6, frames=(3, 5))


@pytest.fixture
def root(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "casme2")


@pytest.fixture
def frame(root):
    """One frame in the middle of the third clip, sub02/EP02_01."""
    frames = read_casme2(root)["frames"][2]
    return frames[1]


def large_png(path, side=40_000):
    """Write a PNG of one bit a pixel, whose file is small."""
    packed = zlib.compressobj(9)
    rows = [packed.compress(bytes(1 + side // 8)) for _ in range(side)]
    chunks = {b"IHDR": struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)}
    chunks |= {b"IDAT": b"".join(rows) + packed.flush(), b"IEND": b""}
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in chunks.items():
            file.write(
                struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            )


def make_socket(path):
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)  # their paths may have 108 letters
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


BAD = {
    "large": (large_png, "pixels"),
    "fifo": (os.mkfifo, "is not a regular file"),
    "endless": (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
    "socket": (make_socket, "is not a regular file"),
    "dangling": (lambda path: path.symlink_to("nowhere"), "No such file"),
    "loop": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "empty": (lambda path: path.touch(), "no known image format"),
    "too long": (lambda path: (path.touch(), os.truncate(path, (1 << 30) + 1)), "has 1073741825 bytes"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_stops_only_its_clip(root, frame, tmp_path, kind):
    make, words = BAD[kind]
    expected = extract(read_casme2(root), blocks=(2, 2)).X
    frame.unlink()
    make(frame)
    table = read_casme2(root)
    assert len(table) == 6
    for store in (None, tmp_path / "x.zarr", tmp_path / "x.zarr"):  # made, and filled again
        clips = extract(table, store, blocks=(2, 2))
        np.testing.assert_array_equal(clips.X, np.delete(expected, 2, axis=0))
        (problem,) = clips.problems
        assert problem.where == "clip sub02/EP02_01"
        assert str(frame) in problem.what
        assert words in problem.what
    with pytest.raises((ClipError, OSError), match=r"reg_img\d+\.jpg"):
        read_clip(frame.parent)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_beside_the_frames_of_a_clip_is_not_read(root, frame, kind):
    BAD[kind][0](frame.with_name("reg_img100000.jpg"))
    frame.with_name("reg_img100001.jpg").mkdir()
    table = read_casme2(root)
    assert len(table) == 6
    assert not table.attrs["problems"]
    assert not extract(table, blocks=(2, 2)).problems


def test_exit_status_and_words_of_the_commands(root, frame, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame.unlink()
    os.mkfifo(frame)
    words = f"{frame} is not a regular file"
    assert main(["extract", "casme2", str(root), "--blocks", "2", "2"]) == 1
    assert words in capsys.readouterr().out
    assert main(["describe", str(frame.parent)]) == 2
    assert words in capsys.readouterr().err
    settings = ["--no-sweep", "--no-nested", "--blocks", "2", "--n-features", "20", "--n-resamples", "20"]
    assert main(["evaluate", "casme2", str(root), "--classes", "all", *settings]) == 0
    assert words in capsys.readouterr().err  # a warning
    assert main(["extract", "casme2", str(root), "--strict", "--store", "y.zarr"]) == 2
    assert words in capsys.readouterr().err


def test_cropping_goes_on(tmp_path):
    from skimage import data

    rows = []
    for name in ("good", "bad", "large"):
        folder = tmp_path / "raw" / name
        folder.mkdir(parents=True)
        paths = [folder / f"{number}.png" for number in range(3)]
        for path in paths:
            Image.fromarray(data.astronaut()[:240, 120:340]).save(path)
        rows.append({"dataset": "m", "subject": "1", "clip": name, "emotion": "x", "frames": paths})
    rows[1]["frames"][1].unlink()
    os.mkfifo(rows[1]["frames"][1])
    large_png(rows[2]["frames"][2])
    cropped = crop_clips(pd.DataFrame(rows), tmp_path / "out", eyes=False, progress=False)
    assert [problem.where for problem in cropped.problems] == ["clip 1/bad", "clip 1/large"]
    assert "1.png is not a regular file" in cropped.problems[0].what
    assert "2.png" in cropped.problems[1].what
    assert list(read_manifest(cropped.manifest)["clip"]) == ["good"]


RAISED = [
    MemoryError(),
    RecursionError("too deep"),
    struct.error("unpack"),
    SystemError("tile"),
    OverflowError(),
]
RAISED += [zlib.error("-3"), IndexError("list\nindex"), AttributeError("no x"), KeyError(3), EOFError()]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", ["open", "load", "describe"])
def test_whatever_a_clip_raises_is_a_problem_of_that_clip(whole, monkeypatch, error, place):
    table = read_casme2(whole)
    bad = table["frames"][2][1]
    if place == "describe":
        function = microexpr._recipe.read_frames
        module, name = microexpr._recipe, "read_frames"
    else:
        module, name = (Image, "open") if place == "open" else (images_module, "_grey")
        function = getattr(module, name)

    def fails(*arguments, **options):
        about = arguments[1] if place == "load" else getattr(arguments[0], "name", arguments[0])
        if str(bad) in map(str, about if isinstance(about, list) else [about]):
            raise error
        return function(*arguments, **options)

    monkeypatch.setattr(module, name, fails)
    clips = extract(table, blocks=(2, 2))
    assert len(clips.X) == 5
    (problem,) = clips.problems
    assert problem.where == "clip sub02/EP02_01"
    assert place == "describe" or str(bad) in problem.what
    assert "\n" not in problem.what
    assert " ".join(str(error).split()) in problem.what or type(error).__name__ in problem.what


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, ModuleNotFoundError])
def test_what_is_about_no_clip_goes_through(whole, monkeypatch, stop):
    def stops(*arguments, **options):
        raise stop("now")

    monkeypatch.setattr(microexpr._recipe, "read_frames", stops)
    with pytest.raises(stop):
        extract(read_casme2(whole), blocks=(2, 2), n_jobs=1)


def test_a_clip_of_absurd_length_is_refused_before_memory_is_full(whole, tmp_path, monkeypatch):
    table = read_casme2(whole)
    table.at[2, "frames"] = table["frames"][2] * 50
    monkeypatch.setattr(images_module, "physical_memory", lambda: 2.0 * 60 * 128 * 128)
    clips = extract(table, blocks=(2, 2))
    assert len(clips.X) == 5
    assert "frames of 128 x 128 pixels take" in clips.problems[0].what
    pages = [Image.new("L", (64, 64))] * 100
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    monkeypatch.setattr(images_module, "physical_memory", lambda: 2.0 * 60 * 64 * 64)
    with pytest.raises(ClipError, match=r"x\.tif: 100 frames of 64 x 64 pixels"):
        read_clip(tmp_path / "x.tif", size=None)
    monkeypatch.setattr(microexpr._recipe, "physical_memory", lambda: 2.0 * 8 * 4 * 256 * 4)
    table.at[2, "frames"] = table["frames"][2][:9]
    monkeypatch.setattr(images_module, "physical_memory", lambda: np.inf)
    assert "MemoryError" in str(extract(table, blocks=(2, 2)).problems[0])


def test_a_folder_that_vanishes_after_the_table_was_read(root, tmp_path):
    table = read_casme2(root)
    shutil.rmtree(table["frames"][2][0].parent)
    for store in (None, tmp_path / "x.zarr"):
        clips = extract(table, store, blocks=(2, 2))
        assert len(clips.X) == 5
        assert str(table["frames"][2][0]) in str(clips.problems[0])


# ---------------------------------------------------------------------------------------------- folders


def refuse(monkeypatch, *folders):
    """Let nobody list these folders: to root, who runs these tests in places, permissions mean nothing."""
    scandir = os.scandir

    def refusing(path="."):
        if str(path) in map(str, folders):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)


def test_folders_that_cannot_be_listed(root, frame, monkeypatch):
    refuse(monkeypatch, frame.parent)
    table = read_casme2(root)
    (problem,) = table.attrs["problems"]
    assert f"folder {frame.parent} cannot be listed: Permission denied" in str(problem)
    assert len(extract(table, blocks=(2, 2)).X) == 5

    subject = frame.parents[1]
    refuse(monkeypatch, subject)
    table = read_casme2(root)
    assert len(table) == 4
    for problem in table.attrs["problems"]:
        assert f"the first: {subject}: Permission denied" in problem.what
    assert any(f"{subject} cannot be listed" in note for note in table.attrs["notes"])

    refuse(monkeypatch, root / "Cropped")
    with pytest.raises(FileNotFoundError, match=r"has no folders sub01.*Cropped: Permission denied"):
        read_casme2(root)
    refuse(monkeypatch, root)
    with pytest.raises(PermissionError):
        read_casme2(root)


def test_folders_of_smic_that_cannot_be_listed(make_tree, monkeypatch):
    root = make_tree("smic")
    table = read_smic(root)
    hidden = table["frames"][0][0].parents[1]
    refuse(monkeypatch, hidden)
    others = read_smic(root)
    assert len(others) < len(table)
    assert str(others.attrs["problems"][0]) == f"{hidden}: it cannot be listed: Permission denied"


def test_links_in_a_loop_and_other_folders_are_passed_over(root):
    for place in (root, root / "Cropped", root / "Cropped" / "sub02"):
        (place / "loop").symlink_to("loop")
        (place / "up").symlink_to("..")
    assert len(read_casme2(root)) == 6


def test_without_permission_as_a_user_meets_it(root, frame, tmp_path):
    """Root takes the right to pass over permissions from itself first."""
    program = (
        "import ctypes, os, runpy, sys\n"
        "if hasattr(os, 'geteuid') and os.geteuid() == 0 and sys.argv.pop(1) == 'linux':\n"
        "    for right in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH\n"
        "        ctypes.CDLL(None).prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'microexpr', *sys.argv[1:]])\n"
    )
    if os.geteuid() == 0 and sys.platform != "linux":
        return
    options = ["linux"] * (os.geteuid() == 0)
    table = read_casme2(root)
    folder = table["frames"][5][0].parent
    frame.chmod(0)
    folder.chmod(0)
    command = ["extract", "casme2", str(root), "--store", str(tmp_path / "x.zarr"), "--blocks", "2", "2"]
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, *options, *command], capture_output=True, text=True, timeout=600
        )
    finally:
        folder.chmod(0o700)
    assert done.returncode == 1, done.stderr
    assert f"folder {folder} cannot be listed: Permission denied" in done.stdout
    assert f"{frame} is not a readable image: Permission denied" in done.stdout
    assert "4 clips described" in done.stdout


# ----------------------------------------------------------------------------------- lists of clips, videos


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda p: p.symlink_to("/dev/zero"), lambda p: p.symlink_to(p.name)]
)
def test_spreadsheets_that_are_no_regular_files(root, make):
    make(root / "other.xlsx")
    make(root / "other.csv")
    table = read_dataset("casme2", root)
    assert len(table) == 6
    assert any("other.xlsx cannot be read" in note for note in table.attrs["notes"])
    with pytest.raises((ValueError, OSError), match=r"other"):
        read_dataset("casme2", root, sheet=root / "other.xlsx")
    with pytest.raises((ValueError, OSError), match=r"other"):
        read_manifest(root / "other.csv")


def test_spreadsheets_that_are_too_large(root):
    for name in ("a.xlsx", "b.xls", "c.xlsm"):
        (root / name).write_bytes({"a": b"PK\3\4", "b": b"\xd0\xcf\x11\xe0"}.get(name[0], b"x,y\n"))
        os.truncate(root / name, 1 << 32)
    with zipfile.ZipFile(root / "d.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/styles.xml", b" " * (27 << 20))
    (root / "e.xls").write_text("<table><tr>" + "<td colspan=1000 rowspan=9>x" * 6000 + "</table>")
    table = read_casme2(root)
    notes = " ".join(table.attrs["notes"])
    for words in ("a.xlsx cannot be read: it has 4096 MB", "b.xls", "c.xlsm", "d.xlsx cannot be read"):
        assert words in notes
    assert "e.xls cannot be read: it has more than 1000000 cells" in notes
    assert len(table) == 6


def test_rows_of_a_manifest_that_no_path_or_number_can_be(tmp_path):
    import av

    (tmp_path / "clip").mkdir()
    for number in range(3):
        Image.new("L", (8, 8), number).save(tmp_path / "clip" / f"{number}.png")
    with av.open(str(tmp_path / "good.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for _ in range(4):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64), np.uint8), format="gray"))
            )
        container.mux(stream.encode())
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile fifo.mp4\n")
    (tmp_path / "play.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfifo.mp4\n")
    rows = [
        "clip,,,",
        ",good.mp4,,",
        "x" * 5000 + ",,,",
        "a\0b,,,",
        "clip,," + "9" * 5000 + ",",
        "loop.mp4/x,,,",
    ]
    rows += [",fifo.mp4,,", ",loop.mp4,,", ",list.mp4,,", ",play.mp4,,", f",good.mp4,,{'9' * 400}"]
    text = "".join(f"{row},s{k},x,no\n" for k, row in enumerate(rows))
    (tmp_path / "m.csv").write_text(f"folder,video,onset,onset_s,subject,emotion,face\n{text}")
    table = read_manifest(tmp_path / "m.csv")
    assert list(table["subject"]) == ["s0", "s1"]
    assert [problem.where for problem in table.attrs["problems"]] == [f"m.csv, row {k}" for k in range(4, 13)]
    assert len(extract(table, blocks=(2, 2)).X) == 2
