"""`microexpr evaluate --config FILE`."""

import os
import shlex
from pathlib import Path

import pytest

from microexpr._config import parse
from microexpr.cli import _parser, main

EXPERIMENT = """
dataset = "casme2"
root = "data"
cropped = true
n-features = 40
protocol = "kfold"
n_splits = 3           # as Settings writes it
C = 0.5
sweep = false
sweep-blocks = [2, 4]
pooling = ["mean", "energy"]
class-weight = "balanced"
out = "results"
jobs = 1
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def parsed(text, *arguments):
    Path("experiment.toml").write_text(text)
    return parse(_parser(), ["evaluate", "--config", "experiment.toml", *arguments])


def test_a_file_says_what_options_say():
    file = parsed(EXPERIMENT)
    typed = (
        "evaluate casme2 data --cropped --n-features 40 --protocol kfold --n-splits 3 --C 0.5 --no-sweep"
        " --sweep-blocks 2 4 --pooling mean energy --class-weight balanced --out results --jobs 1"
    )
    line = _parser().parse_args(shlex.split(typed))
    left_out = ("config", "own_parser", "command", "named_last")
    told = [{k: v for k, v in vars(options).items() if k not in left_out} for options in (file, line)]
    assert told[0] == told[1]
    assert file.config == Path("experiment.toml")


def test_the_command_line_wins():
    options = parsed(EXPERIMENT, "casme", "elsewhere", "--C", "2", "--sweep", "--pooling", "rank", "--raw")
    assert (options.dataset, options.root, options.C, options.sweep) == ("casme", "elsewhere", 2.0, True)
    assert options.poolings == ["rank"]
    assert options.reading == {"cropped": False}
    assert options.n_features == 40  # as the file says


def test_further_data_sets_and_what_is_read_of_them():
    text = 'dataset = "casme2"\nroot = "a"\nraw = true\n'
    text += '[[with]]\ndataset = "smic"\nroot = "b"\ncamera = "vis"\n[[with]]\ndataset = "samm"\nroot = "c"\n'
    options = parsed(text)
    assert options.reading == {"cropped": False}
    assert options.others == [("smic", "b", {"camera": "VIS"}), ("samm", "c", {})]
    options = parsed(text, "--tree", "here", "--with", "mmew", "d", "--tree", "there")
    assert options.reading == {"cropped": False, "tree": "here"}
    assert options.others[2] == ("mmew", "d", {"tree": "there"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n-feature = 3", "n-feature: there is no such option"),
        ("help = true", "help: there is no such option"),
        ('config = "other.toml"', "config: there is no such option"),
        ("[evaluate]\nC = 1", "evaluate: there is no such option"),
        ('C = "much"', "argument --C: invalid float value: 'much'"),
        ("n-features = 2.5", "argument --n-features: invalid int value: '2.5'"),
        ("C = true", "C: it must have a value"),
        ("allow-gaps = false", "allow-gaps: it must be true or left out"),
        ("cropped = false", "cropped: it must be true or left out"),
        ('protocol = "loocv"', "argument --protocol: invalid choice: 'loocv'"),
        ("pooling = []", "pooling is []; it must be text, a number, or a list of these"),
        ('pooling = ["--json"]', "pooling is ['--json']"),
        ('out = "-x"', "out is '-x'"),
        ("seed = 2026-11-29", "seed is datetime.date"),
        ("dataset = 3", "dataset and root must be text, not 3"),
        ('with = ["smic", "b"]', "with: give each further data set as [[with]]"),
        ('[[with]]\ndataset = "smic"', "with: a further data set has a dataset and a root"),
        ('[[with]]\ndataset = "smic"\nroot = "b"\nlens = 1', "with: lens: there is no such option"),
        ("C = ", "not TOML: "),
        ("C = 1\nC = 2", "not TOML: "),
        ("x = " + 5000 * "[", "not TOML: "),
        ("#" + (1 << 20) * "x", "it has 1048577 bytes; up to 1048576 are read"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line_that_names_it(text, words, capsys):
    Path("experiment.toml").write_text(text)
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "casme2", "data", "--config", "experiment.toml"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("microexpr evaluate: experiment.toml: ")
    assert words in said
    assert said.count("\n") == 1


def test_a_file_that_cannot_be_read_is_one_line(capsys):
    os.mkfifo("fifo")
    Path("latin").write_bytes(b'out = "caf\xe9"')
    for name, words in [
        ("missing.toml", "no such file"),
        (".", "it is not a file"),
        ("fifo", "it is not a file"),
        ("latin", "not TOML: 'utf-8'"),
    ]:
        with pytest.raises(SystemExit):
            main(["evaluate", "--config", name])
        assert f"microexpr evaluate: {name}: {words}" in capsys.readouterr().err


def test_other_lines_are_not_told_to_be_the_files(capsys):
    Path("experiment.toml").write_text("C = 1")
    with pytest.raises(SystemExit):
        main(["evaluate", "--config", "experiment.toml", "--gamma", "x"])
    assert "experiment.toml" not in capsys.readouterr().err


def test_from_says_all_by_itself(capsys):
    Path("experiment.toml").write_text("C = 2.0")
    assert main(["evaluate", "--config", "experiment.toml", "--from", "evaluation.json"]) == 2
    assert "evaluation.json says what C is; give no other beside --from" in capsys.readouterr().err
