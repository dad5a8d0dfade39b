"""The commands, run as a user runs them."""

import argparse
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import microexpr
from microexpr._command_line import say_once
from microexpr._options import jobs
from microexpr.cli import _parser, main
from microexpr.store import FeatureStore

DEMO = ["--subjects", "3", "--clips", "15", "--frames", "5", "8", "--size", "68", "56", "--n-features", "40"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "microexpr", *map(str, arguments)], capture_output=True, text=True, timeout=600
    )


def test_describe_a_video(videos):
    check_description(videos.face, 72)


@pytest.mark.parametrize(("name", "count"), [("single_face.mp4", 72), ("WolfgangLanger_Pexels.mp4", 472)])
def test_describe_a_real_video(real_data, name, count):
    check_description(real_data / "video" / name, count)


def check_description(path, count):
    done = run("describe", path)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("compiling kernels, ")]
    assert said == []  # no progress bar where there is no terminal
    stem = path.stem
    assert done.stdout.splitlines()[1:] == [f"wrote {stem}.npz", f"wrote {stem}.png"]
    stored = np.load(f"{stem}.npz")
    assert stored["u"].shape == (16384,)
    assert stored["scores"].shape == stored["held_out"].shape == (count,)
    assert stored["gap"] <= 1e-6
    # rank pooling orders the frames: the scores rise with time, of those held out too
    assert np.corrcoef(stored["scores"], np.arange(count))[0, 1] > 0.9
    assert stored["tau"] > 0.8
    assert f", tau {stored['tau']:.2f} of frames held out, " in done.stdout
    assert Image.open(f"{stem}.png").size[0] >= 1000


def test_describe_a_folder_of_frames(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "frames").mkdir()
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)).save(f"frames/{number}.png")
    assert main(["describe", "frames", "--blocks", "4", "4", "--out", "result"]) == 0
    assert np.load("result.npz")["u"].shape == (4096,)
    assert Path("result.png").exists()


def test_describe_says_where_there_is_no_order_to_tell(tmp_path, capsys):
    for count, words in [(2, "no tau: 2 frames are too few"), (6, "no tau: all frames held out score alike")]:
        (tmp_path / str(count)).mkdir()
        for number in range(count):
            Image.new("L", (64, 64), 90).save(f"{count}/{number}.png")
        assert main(["describe", str(count), "--blocks", "2", "2"]) == 0
        assert words in capsys.readouterr().out
        assert np.isnan(np.load(f"{count}.npz")["tau"])
        assert Path(f"{count}.png").exists()


def test_what_cannot_be_described(tmp_path, videos):
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    Image.new("L", (20, 20)).save("one/1.png")
    (tmp_path / "cut.mp4").write_bytes(videos.face.read_bytes()[:100_000])
    for path, words in [
        (videos.texture, "no face found"),
        ("cut.mp4", "ends early: 100000 of its "),
        ("empty", "holds no images"),
        ("missing.mp4", "no such file or folder"),
        ("one", "has 1 frame"),
    ]:
        done = run("describe", path)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("microexpr describe: ")
        assert done.stderr.count("\n") == 1, done.stderr
        assert words in done.stderr
        assert str(path) in done.stderr


def test_a_result_that_could_not_be_written_is_refused_first(capsys, videos):
    assert main(["demo", *DEMO, "--out", "missing/plot.png"]) == 2
    assert main(["describe", str(videos.face), "--out", "missing/result"]) == 2
    assert capsys.readouterr().err.count("missing: no such folder to write into\n") == 2


def test_demo(tmp_path):
    done = run("demo", *DEMO, "--keep", "data")
    assert done.returncode == 0, done.stderr
    assert "Simulated clips, not real micro-expressions: 15 clips of 3 subjects" in done.stdout
    rows = {line[:22].strip(): line[22:].split() for line in done.stdout.splitlines() if len(line) > 30}
    assert rows["simulated data"] == ["accuracy", "UF1", "UAR"]
    # the printed table is what the functions give
    table = microexpr.read_casme2("data")
    clips = microexpr.extract(table)
    X, table = clips.X, clips.table
    scores = microexpr.loso(X, table["emotion"], table["subject"], microexpr.make_classifier("all"))
    assert rows["all features"] == [
        f"{100 * scores.accuracy:.1f}",
        "%",
        f"{scores.uf1:.3f}",
        f"{scores.uar:.3f}",
    ]
    assert "40 selected" in rows
    assert Image.open("microexpr-demo.png").size[0] >= 1000


def test_simulate(capsys):
    arguments = [
        "simulate",
        "data",
        "--subjects",
        "2",
        "--clips",
        "4",
        "--frames",
        "3",
        "4",
        "--size",
        "34",
        "28",
    ]
    assert main(arguments) == 0
    assert "simulated 4 clips of 2 subjects" in capsys.readouterr().out
    assert len(microexpr.read_casme2("data")) == 4
    assert main([*arguments[:1], "real", *arguments[2:], "--difficulty", "real"]) == 0
    assert set(microexpr.read_casme2("real")["clip"]) != set(microexpr.read_casme2("data")["clip"])
    assert main(arguments) == 2  # never into a folder that holds something
    assert "not an empty folder" in capsys.readouterr().err


def test_without_the_extras(tmp_path, videos):
    """What is missing is named, with the extra that brings it."""
    for module, arguments, words in [
        ("av", ["describe", videos.face], "microexpr[video]"),
        ("skimage", ["describe", videos.face], "microexpr[face]"),
        ("pandas", ["demo", *DEMO], "microexpr[datasets]"),
        ("av skimage", ["describe", videos.face], "needs av, scikit-image; install microexpr[video,face]"),
        ("zarr openpyxl", ["extract", "casme2", "x"], "needs openpyxl, zarr; install microexpr[store]"),
        ("zarr pandas", ["evaluate", "casme2", "x"], "needs pandas, zarr; install microexpr[store]"),
    ]:
        code = (
            f"import sys; sys.modules.update(dict.fromkeys({module.split()!r}))\n"
            "from microexpr.cli import main; sys.exit(main(sys.argv[1:]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 2
        assert words in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr


# What an option of a number must not be, and which of these are right after all.
WRONG = {
    int: ["nan", "1.5", "-7", "0", "1" + 20 * "0", "", "x"],
    float: ["nan", "inf", "-inf", "-1", "0", "1e300", "", "x"],
    jobs: ["nan", "1.5", "0", "1" + 20 * "0", "", "x"],
}
RIGHT = {
    "--noise": ["0"],
    "--motion": ["0"],
    "--drift": ["0"],
    "--blur": ["0"],
    "--margin": ["0", "1e300"],
    "--seed": ["0", "1" + 20 * "0"],
    "--gamma": ["1e300"],
    "--C": ["1e300"],
}
COMMANDS = {
    "demo": ["demo", *DEMO],
    "simulate": ["simulate", "new", *DEMO[:-2]],
    "describe": ["describe", "frames"],
    "crop": ["crop", "frames", "new", "--no-eyes"],
    "spot": ["spot", "frames", "--fps", "25"],
    "extract": ["extract", "casme2", "data"],
    "train": ["train", "casme2", "data", "--model", "model.npz"],
    "classify": ["classify", "model.npz", "frames"],
    "evaluate": ["evaluate", "casme2", "data", "--protocol", "kfold"],
}


def numeric_options():
    commands = next(a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    for name, parser in commands.items():
        for action in parser._actions:
            for value in WRONG.get(action.type, ()):
                option = action.option_strings[-1]
                if value not in RIGHT.get(option, ()):
                    yield name, option, value, 2 if action.nargs == 2 else 1


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    microexpr.simulate(folder / "data", subjects=3, clips=9, frames=(3, 4), size=(34, 28), progress=False)
    (folder / "frames").mkdir()
    for number in range(2):
        Image.effect_noise((34, 28), 30).save(folder / "frames" / f"{number}.png")
    return folder


def test_wrong_numbers_are_one_line(clips, monkeypatch, capsys):
    """Every option of every command that takes a number, with every number that it cannot take."""
    monkeypatch.chdir(clips)
    before = sorted(path.name for path in clips.iterdir())
    tried = list(numeric_options())
    assert len(tried) > 200
    for name, option, value, count in tried:
        # With "=", because a value that begins with a minus would be taken for an option.
        given = [f"{option}={value}"] if count == 1 else [option, value, value]
        try:
            status = main([*COMMANDS[name], *given])
        except SystemExit as stopped:
            status = stopped.code
        printed = capsys.readouterr()
        assert status == 2, (name, given, printed)
        assert printed.err.startswith(f"microexpr {name}: "), (name, given, printed)
        assert printed.err.count("\n") == 1, (name, given, printed)
    assert sorted(path.name for path in clips.iterdir()) == before  # nothing was begun


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo", *DEMO, "--faces", "missing"], "missing: no such folder"),
        (["demo", *DEMO, "--faces", "empty"], "empty holds 0 portraits; 3 subjects need 3"),
        (["simulate", "new", "--faces", "missing"], "missing: no such folder"),
        (["simulate", "new", "--faces", "empty"], "empty holds 0 portraits; 26 subjects need 26"),
        (["simulate", "a\0b"], "null"),
        (["simulate", "/proc/new", *DEMO[:-2]], "/proc/new"),
        (["demo", *DEMO, "--out", "."], "is a folder"),
        (["demo", *DEMO, "--out", ""], "is a folder"),
        (["demo", *DEMO, "--n-features", "16385"], "8 x 8 blocks give 16384 features"),
        (["describe", ""], "holds no images"),
        (["describe", "x" * 5000], "name too long"),
        (
            ["extract", "casme2", "missing"],
            "missing: no such folder; CASME II of the Institute of Psychology",
        ),
        (["extract", "smic-vis", "missing"], "SMIC of the University of Oulu"),
        (["evaluate", "samm", "missing"], "SAMM of Manchester Metropolitan University"),
        (["evaluate", "--from", "missing/evaluation.json"], "missing/evaluation.json: no such file"),
        (["extract", "casme2", "empty"], "empty"),
        (["evaluate", "casme2", "empty"], "empty"),
        (["evaluate", "manifest", "empty"], "no such file"),
        (["evaluate", "casme2", "empty", "--classes", "some"], "invalid choice"),
        (["evaluate", "--from", "empty"], "empty: no such file"),
        (["demo", "--no-such-option"], "--no-such-option"),
        (["frobnicate"], "frobnicate"),
        ([], "COMMAND"),
    ],
)
def test_what_is_not_there_is_one_line(tmp_path, arguments, words, capsys):
    (tmp_path / "empty").mkdir()
    try:
        status = main(arguments)
    except SystemExit as stopped:
        status = stopped.code
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    assert printed.err.startswith("microexpr"), printed.err
    assert words in printed.err.lower() or words in printed.err
    assert printed.err.count("\n") == 1, printed.err
    assert not (tmp_path / "new").exists()


def test_help_lists_every_option_and_does_nothing_else(tmp_path, capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit) as stopped:
            main([name, "--help"])
        assert stopped.value.code == 0
        assert "--" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_version_and_help_are_quick_to_import():
    code = (
        "import sys\nfrom microexpr.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy', 'numba', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
    assert run("--version").stdout == f"microexpr {microexpr.__version__}\n"


def test_extract(tmp_path, capsys):
    root = microexpr.simulate("data", subjects=2, clips=4, frames=(3, 4), size=(34, 28), progress=False)
    arguments = [
        "extract",
        "casme2",
        "data",
        "--size",
        "32",
        "32",
        "--blocks",
        "2",
        "2",
        "--blocks",
        "4",
        "4",
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "casme2.zarr: 4 clips described in 2 x 2, 4 x 4 blocks, 0 skipped" in printed.out
    assert printed.err == ""
    store = FeatureStore("casme2.zarr")
    assert store.blocks == [(2, 2), (4, 4)]
    table = microexpr.read_casme2("data")
    X = microexpr.extract(table, blocks=(4, 4), size=(32, 32)).X
    np.testing.assert_array_equal(store.load((4, 4), table), X)

    # a damaged file: named, the others kept, and what was right is not done again
    broken = table["frames"][2][1]
    broken.write_bytes(broken.read_bytes()[:99])
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert "casme2.zarr: 0 clips described in 2 x 2, 4 x 4 blocks, 3 skipped" in printed
    assert "other clip" not in printed
    assert "1 clip could not be described; mend the files and run this again:\n" in printed
    assert f"\n  clip sub{table['subject'][2]}/{table['clip'][2]}: {broken}" in printed
    assert main([*arguments, "--strict"]) == 2
    assert capsys.readouterr().err.startswith("microexpr extract: 1 of the clips could not be described")

    # other parameters, other places: one line each
    for more, words in [
        (
            ["--stabilise", "subpixel"],
            "casme2.zarr was made with no --stabilise, not --stabilise subpixel; give another",
        ),
        (["--frames", "1"], ": --frames is 1; it must be"),
        (["--store", str(broken)], "is not a feature store"),
        (["--store", "missing/x.zarr"], "missing: no such folder to make a store in"),
        (["--store", "/proc/x.zarr"], "/proc/x.zarr cannot be written: "),
    ]:
        assert main([*arguments, *more]) == 2
        error = capsys.readouterr().err
        assert error.startswith("microexpr extract: ")
        assert words in error
        assert error.count("\n") == 1
    assert main(["extract", "casme5", str(root)]) == 2
    assert "'casme5' is not a data set" in capsys.readouterr().err
    assert main([*arguments[:6], "--frames", "6", "--stabilise", "subpixel", "--store", "other.zarr"]) == 1
    assert FeatureStore("other.zarr").parameters["n_frames"] == 6


def test_what_a_library_deprecates_is_not_said_to_users(capsys):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn("old name", DeprecationWarning, stacklevel=1)
        warnings.warn("few features", UserWarning, stacklevel=1)
    say_once(caught)
    assert capsys.readouterr().err == "warning: few features\n"
