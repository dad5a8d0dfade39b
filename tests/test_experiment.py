"""The experiment against the same written with scikit-learn's own parts, and the command end to end."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, cross_val_predict
from threadpoolctl import threadpool_info

import microexpr
from l21 import L21Selector
from microexpr import loso, make_classifier
from microexpr.cli import main
from microexpr.experiment import QUOTED, Settings, evaluate, repeat, save_evaluation, splits

# That W has fewer non-zero rows than N is said by the evaluation; the Pipeline it is compared with warns.
pytestmark = pytest.mark.filterwarnings("ignore:only .* rows of W:UserWarning")

SMALL = Settings(
    blocks=2,
    n_features=40,
    sweep_blocks=(1, 2),
    sweep_n_features=(10, 40, 120),
    C_grid=(1e-4, 1e-2, 1.0),
    inner_splits=3,
    n_resamples=200,
)
ONLY_TABLES = {"blocks": 2, "n_features": 40, "sweep": False, "nested": False, "n_resamples": 200}


def make_data(subjects=4, clips=9, seed=0, datasets=("CASME II",)):
    """Features of 1 x 1 and 2 x 2 blocks that tell three classes apart, more or less."""
    rng = np.random.default_rng(seed)
    n = subjects * clips * len(datasets)
    emotion = np.array(["disgust", "others", "surprise"])[rng.choice(3, n, p=[0.3, 0.45, 0.25])]
    table = pd.DataFrame(
        {
            "dataset": np.repeat(datasets, subjects * clips),
            "subject": np.tile(np.repeat([f"{s:02d}" for s in range(subjects)], clips), len(datasets)),
            "clip": [f"EP{i:02d}" for i in range(n)],
            "emotion": emotion,
        }
    )
    table.attrs = {"selection": "paper", "simulated": False}
    features = {}
    for blocks in (1, 2):
        X = rng.standard_normal((n, 256 * blocks**2)) * rng.uniform(0.1, 10, 256 * blocks**2)
        X[emotion == "disgust", -12:] *= 2
        X[emotion == "surprise", -30:] += 5
        X[emotion == "others", -8:] -= 4
        features[blocks, blocks] = X
    return features, table


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(scope="module")
def evaluation(data):
    features, table = data
    return evaluate(features, table, SMALL, n_jobs=1)


def arrays(data):
    features, table = data
    return features[2, 2], table["emotion"].to_numpy(dtype=str), table["subject"].to_numpy(dtype=str)


def test_as_published_is_the_pipeline_in_loso(data, evaluation):
    X, y, groups = arrays(data)
    for row, n in zip(evaluation.rows, ("all", 40), strict=False):
        expected = loso(X, y, groups, make_classifier(n, C=1.0))
        np.testing.assert_array_equal(row.scores.predicted, expected.predicted)
        assert (row.scores.accuracy, row.scores.uf1, row.scores.uar) == (
            expected.accuracy,
            expected.uf1,
            expected.uar,
        )


def test_fig_4_is_the_pipeline_in_loso_for_every_cell(data, evaluation):
    features, table = data
    assert set(evaluation.sweep) == {((b, b), n) for b in (1, 2) for n in (10, 40, 120)}
    for (blocks, n), scores in evaluation.sweep.items():
        expected = loso(features[blocks], table["emotion"], table["subject"], make_classifier(n))
        np.testing.assert_array_equal(scores.predicted, expected.predicted)


@pytest.mark.parametrize(
    ("row", "n_features", "Cs"),
    [
        (2, ["all"], (1e-4, 1e-2, 1.0)),
        (3, [40], (1e-4, 1e-2, 1.0)),
        (4, [10, 40, 120], (1.0,)),
        (5, [10, 40, 120], (1e-4, 1e-2, 1.0)),
    ],
)
def test_what_is_chosen_inside_against_nested_loops(data, evaluation, row, n_features, Cs):
    """scikit-learn's cross_val_predict on each training set, for each N and C, and the first of the best."""
    X, y, groups = arrays(data)
    expected, chosen = np.empty_like(y), []
    for train, test in splits("loso", groups):
        best, accuracy = None, -1.0
        for n in n_features:
            for C in Cs:
                pipeline = make_classifier(n, C=C)
                guesses = cross_val_predict(
                    pipeline, X[train], y[train], groups=groups[train], cv=GroupKFold(3)
                )
                if np.mean(guesses == y[train]) > accuracy:
                    best, accuracy = pipeline, np.mean(guesses == y[train])
        chosen.append((best["select"], best["svm"].C))
        expected[test] = clone(best).fit(X[train], y[train]).predict(X[test])
    found = evaluation.rows[row]
    np.testing.assert_array_equal(found.scores.predicted, expected)
    assert [C for _, C in chosen] == found.C
    assert found.n_features == [1024 if s == "passthrough" else s.n_features_to_select for s, _ in chosen]


def test_the_optimistic_row_is_the_best_of_those_on_the_test_clips(evaluation):
    best = max(scores.accuracy for (b, _), scores in evaluation.sweep.items() if b == (2, 2))
    assert evaluation.rows[6].scores.accuracy == best
    assert "optimistic" in evaluation.rows[6].basis


def test_nothing_of_the_test_subject_is_seen_in_training(data, evaluation):
    """Other features, and labels, for the subject left out: what its fold chose and fitted stays the same."""
    features, table = data
    left_out = (table["subject"] == "02").to_numpy()
    changed = table.copy()
    changed.attrs = table.attrs
    changed.loc[left_out, "emotion"] = "others"
    moved = {blocks: X.copy() for blocks, X in features.items()}
    again = evaluate(moved, changed, SMALL, n_jobs=1)
    for row, other in zip(evaluation.rows[:6], again.rows[:6], strict=True):
        np.testing.assert_array_equal(
            row.scores.predicted[left_out], other.scores.predicted[left_out], row.basis
        )
        assert (row.n_features[2], row.C[2]) == (other.n_features[2], other.C[2])
    for X in moved.values():
        X[left_out] = 1e3 * np.random.default_rng(1).standard_normal(X[left_out].shape)
    again = evaluate(moved, table, SMALL, n_jobs=1)
    for row, other in zip(evaluation.rows[:6], again.rows[:6], strict=True):
        assert (row.n_features[2], row.C[2]) == (other.n_features[2], other.C[2])


def test_weights_are_the_rows_of_w_summed_by_block(data, evaluation):
    X, y, groups = arrays(data)
    lengths = []
    for train, _ in splits("loso", groups):
        mean, std = X[train].mean(axis=0), X[train].std(axis=0)
        W = L21Selector().fit((X[train] - mean) / std, y[train]).W_
        lengths.append(np.linalg.norm(W, axis=1))
    expected = np.mean(lengths, axis=0).reshape(2, 2, 256).sum(axis=2)
    np.testing.assert_allclose(evaluation.weights, expected, rtol=1e-3)
    assert evaluation.weights.argmax() == 3  # the block that the classes differ in
    assert evaluation.n_rows == [int(np.count_nonzero(v)) for v in lengths]


def test_processes_and_their_number_change_nothing(data, evaluation):
    features, table = data
    threads = [library["num_threads"] for library in threadpool_info()]
    two = evaluate(features, table, SMALL, n_jobs=2)
    assert json.dumps(two.results()) == json.dumps(evaluation.results())
    assert [library["num_threads"] for library in threadpool_info()] == threads


def test_only_the_tables(data, evaluation):
    features, table = data
    short = evaluate({(2, 2): features[2, 2]}, table, Settings(**ONLY_TABLES), n_jobs=1)
    assert len(short.rows) == 2
    assert short.sweep == {}
    for row, other in zip(short.rows, evaluation.rows, strict=False):
        np.testing.assert_array_equal(row.scores.predicted, other.scores.predicted)
        assert row.intervals == other.intervals


def test_across_data_sets():
    """Trained on the first, tested on the second; the same subject names are other people."""
    features, table = make_data(subjects=3, datasets=("CASME II", "SAMM"))
    cross = evaluate(features, table, Settings(protocol="cross", **ONLY_TABLES), n_jobs=1)
    second = (table["dataset"] == "SAMM").to_numpy()
    X, y = features[2, 2], table["emotion"].to_numpy(dtype=str)
    expected = make_classifier(40).fit(X[~second], y[~second]).predict(X[second])
    np.testing.assert_array_equal(cross.rows[1].scores.predicted, expected)
    assert set(cross.table["dataset"]) == {"SAMM"}

    composite = evaluate(features, table, Settings(protocol="composite", **ONLY_TABLES), n_jobs=1)
    assert len(composite.rows[0].C) == 6  # three people of each
    assert len(composite.rows[0].scores.by_subject) == 6
    parts = composite.by_dataset(composite.rows[1])
    right = sum(part.accuracy * len(part.y) for part in parts.values())
    assert right / len(table) == pytest.approx(composite.rows[1].scores.accuracy)
    assert "SAMM" in str(composite)


@pytest.mark.parametrize(("protocol", "folds"), [("lovo", 36), ("kfold", 2)])
def test_other_protocols(data, protocol, folds):
    features, table = data
    settings = Settings(protocol=protocol, blocks=1, n_features=10, sweep=False, nested=False, n_splits=2)
    done = evaluate(features, table, settings, n_jobs=1)
    assert len(done.rows[0].C) == folds
    assert len(done.table) == len(table)
    assert done.quoted == {}  # the paper's figures are of another protocol


def test_quoted_figures_stand_beside_what_compares_only(data, evaluation):
    features, table = data
    assert evaluation.quoted == QUOTED["CASME II"]
    assert [line["source"] for line in evaluation.lines()] == ["quoted"] * 5 + ["measured"] * 7
    other = table.copy()
    other.attrs = {"selection": "composite"}
    settings = Settings(blocks=1, n_features=10, sweep=False, nested=False)
    assert evaluate(features, other, settings, n_jobs=1).quoted == {}


def test_everything_of_a_simulation_says_so(data, tmp_path):
    features, table = data
    simulated = table.copy()
    simulated.attrs = {**table.attrs, "simulated": True}
    settings = Settings(
        blocks=1, n_features=10, sweep=True, sweep_blocks=(1,), sweep_n_features=(10,), nested=False
    )
    done = evaluate(features, simulated, settings, n_jobs=1)
    text = str(done)
    assert text.startswith("SIMULATED")
    assert all(line.startswith(("quoted", "simulated")) for line in text.split("\n\n")[1].splitlines()[1:])
    assert "measured" not in text
    for path in save_evaluation(done, tmp_path):
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8") as file:
                assert {line["source"] for line in csv.DictReader(file)} <= {"simulated", "quoted"}
    assert json.loads((tmp_path / "evaluation.json").read_text())["simulated"] is True


def test_saved_files_hold_the_figures(evaluation, tmp_path):
    names = {path.name for path in save_evaluation(evaluation, tmp_path / "new")}
    tables = {"table", "comparisons", "sweep", "subjects", "predictions", "weights"}
    assert names == {"evaluation.json", "evaluation.txt", *(f"{name}.csv" for name in tables)}
    read = {name: pd.read_csv(tmp_path / "new" / f"{name}.csv", dtype={"subject": str}) for name in tables}
    rows = evaluation.rows
    measured = read["table"][read["table"]["source"] == "measured"]
    assert measured["accuracy"].tolist() == [row.scores.accuracy for row in rows]
    assert measured["recall others"].tolist() == [row.scores.recall[1] for row in rows]
    assert read["comparisons"]["McNemar p"].tolist() == [pair.test.p for pair in evaluation.comparisons]
    assert read["predictions"].iloc[:, -1].tolist() == rows[-1].scores.predicted.tolist()
    clips = read["predictions"]
    right = clips["1 with selection (as published)"] == clips["true"]
    assert read["subjects"]["1 with selection (as published)"].tolist() == (
        right.groupby(clips["subject"]).sum().tolist()
    )
    assert read["weights"]["share"].sum() == pytest.approx(1)
    text = (tmp_path / "new" / "evaluation.txt").read_text()
    for row in rows:
        assert f"{100 * row.scores.accuracy:.1f} %" in text
    again = json.loads((tmp_path / "new" / "evaluation.json").read_text())
    assert again["results"]["sweep"][0]["accuracy"] == evaluation.sweep[(1, 1), 10].accuracy


def test_classes_that_a_fold_never_saw(data):
    """A class of one subject alone: its clips cannot be right, and nothing breaks."""
    features, table = data
    alone = table.copy()
    alone.attrs = table.attrs
    alone.loc[table["subject"] == "03", "emotion"] = "fear"
    done = evaluate(features, alone, SMALL, n_jobs=1)
    for row in done.rows:
        recall = dict(zip(row.scores.labels, row.scores.recall, strict=True))
        assert recall["fear"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "loo"}, "protocol is 'loo'; it must be one of loso"),
        ({"gamma": 0}, "gamma is 0; it must be positive"),
        ({"sweep_n_features": (40, 10)}, "sweep_n_features is .* rising order"),
        ({"C_grid": ()}, "C_grid is"),
        ({"C": np.inf}, "C is inf; it must be positive and finite"),
        ({"gamma": np.nan}, "gamma is nan; it must be positive and finite"),
        ({"C_grid": (1.0, np.nan)}, "C_grid is"),
        ({"blocks": 2.5}, "blocks is 2.5; it must be positive, and a whole number"),
        ({"n_features": True}, "n_features is True"),
        ({"sweep_blocks": (1.5, 2)}, "sweep_blocks is"),
        ({"sweep_n_features": 40}, "sweep_n_features is 40"),
        ({"n_resamples": 10**12}, "n_resamples is 10{12}; 1000000 are the most"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        ({"sweep": "no"}, "sweep is 'no'; it must be True or False"),
        ({"inner_splits": 1}, "inner_splits is 1; it must be at least 2"),
        ({"blocks": 1, "n_features": 256}, "N = 256, but 1 x 1 blocks give 256 features"),
        ({"protocol": "composite"}, "needs at least 2 data sets; there is 1"),
        ({"protocol": "kfold", "n_splits": 9}, "n_splits is 9; with 4 subjects it must be 2 to 4"),
    ],
)
def test_errors(data, change, message):
    features, table = data
    with pytest.raises(ValueError, match=message):
        evaluate(features, table, Settings(**{**ONLY_TABLES, **change}), n_jobs=1)


def test_features_of_other_clips_are_refused(data):
    features, table = data
    with pytest.raises(ValueError, match=r"2 x 2 blocks have shape \(9, 1024\); the table has 36 clips"):
        evaluate(lambda blocks: features[blocks][:9], table, Settings(**ONLY_TABLES), n_jobs=1)
    two = table["subject"].isin(["00", "01"])
    with pytest.raises(ValueError, match="has 1 subject"):
        evaluate(lambda blocks: features[blocks][two], table[two], SMALL, n_jobs=1)


@pytest.mark.parametrize("name", ["dataset", "subject", "clip", "emotion"])
def test_a_table_that_is_not_whole_is_refused(data, name):
    """A subject who is missing would have been one of the name "nan"."""
    features, table = data
    torn = table.copy()
    torn.loc[4, name] = None
    with pytest.raises(ValueError, match=f"^{name} is missing in row 4 of the table"):
        evaluate(features, torn, Settings(**ONLY_TABLES), n_jobs=1)
    with pytest.raises(ValueError, match=f"^table has no column {name}"):
        evaluate(features, table.drop(columns=name), Settings(**ONLY_TABLES), n_jobs=1)


def test_masked_features_are_refused(data):
    features, table = data
    masked = np.ma.masked_array(features[2, 2], features[2, 2] > 1)
    with pytest.raises(TypeError, match="2 x 2 blocks are a masked array"):
        evaluate(lambda blocks: masked, table, Settings(**ONLY_TABLES), n_jobs=1)


# The command.

OPTIONS = [
    "--blocks",
    "2",
    "--n-features",
    "40",
    "--sweep-blocks",
    "1",
    "2",
    "--sweep-n-features",
    "10",
    "40",
]
OPTIONS += ["--n-resamples", "100"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A simulated data set, evaluated: its folder has data, store.zarr and out."""
    folder = tmp_path_factory.mktemp("evaluate")
    microexpr.simulate(folder / "data", subjects=3, clips=15, frames=(4, 6), size=(34, 28), seed=1)
    command = [
        "evaluate",
        "casme2",
        folder / "data",
        "--out",
        folder / "out",
        "--store",
        folder / "store.zarr",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "microexpr", *map(str, command), *OPTIONS, "--jobs", "1"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    return folder


def test_evaluate_on_simulated_files(folder):
    text = (folder / "stdout").read_text()
    assert "SIMULATED clips, not real micro-expressions" in text
    assert (folder / "out" / "evaluation.txt").read_text() in text
    table = microexpr.read_casme2(folder / "data")
    clips = microexpr.extract(table, blocks=(2, 2))
    scores = loso(clips.X, clips.table["emotion"], clips.table["subject"], make_classifier(40))
    content = json.loads((folder / "out" / "evaluation.json").read_text())
    row = content["results"]["rows"][1]
    assert row["predictions"] == scores.predicted.tolist()
    assert row["uf1"] == scores.uf1
    for name in ("table", "confusion", "confusion_without", "subjects", "sweep", "face"):
        assert Image.open(folder / "out" / f"{name}.png").size[0] >= 1000


def test_from_repeats_it_bit_by_bit(folder, tmp_path, capsys):
    file = folder / "out" / "evaluation.json"
    assert main(["evaluate", "--from", str(file), "--out", str(tmp_path / "again"), "--jobs", "1"]) == 0
    assert f"the same as {file}, bit for bit" in capsys.readouterr().out
    for path in (folder / "out").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


@pytest.mark.usefixtures("no_pictures")
def test_from_says_what_is_not_the_same(folder, tmp_path, capsys):
    content = json.loads((folder / "out" / "evaluation.json").read_text())
    content["versions"]["numpy"] = "0.1"
    content["results"]["rows"][0]["predictions"][0] = "guilt"
    (tmp_path / "old.json").write_text(json.dumps(content))
    _, differences = repeat(tmp_path / "old.json", store=folder / "store.zarr", n_jobs=1)
    assert differences == [f"numpy was 0.1, is {np.__version__}", "the rows are not the same"]

    moved = shutil.copytree(folder / "data", tmp_path / "moved")
    arguments = ["evaluate", "casme2", str(moved), "--from", str(folder / "out" / "evaluation.json")]
    arguments += ["--out", str(tmp_path / "out"), "--jobs", "1"]
    assert main(arguments) == 0  # the same files elsewhere are the same clips
    frame = sorted(moved.rglob("*.jpg"))[4]
    Image.effect_noise((28, 34), 30).convert("RGB").save(frame)
    capsys.readouterr()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "the clips are not those that were evaluated" in error
    assert error.count("\n") == 1


def test_what_the_command_cannot_do(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, file = str(folder / "data"), str(folder / "out" / "evaluation.json")
    (tmp_path / "other.json").write_text("{}")
    for arguments, words in [
        ([], "Give DATASET ROOT"),
        (["casme2"], "casme2 needs its folder"),
        (["casme4", data], "'casme4' is not a data set"),
        (["casme2", "missing"], "missing"),
        (["casme2", data, "--out", "a/b"], "a: no such folder to write into"),
        (["casme2", data, "--out", "other.json"], "other.json is a file; --out is the folder to write into"),
        (["casme2", data, "--protocol", "cross", "--no-sweep"], "needs at least 2 data sets"),
        (["casme2", data, "--n-features", "-1"], ": --n-features is -1; it must be positive"),
        (["casme2", data, "--blocks", "1", "--no-sweep"], "but 1 x 1 blocks give 256 features"),
        (["--from", file, "--gamma", "2"], "says what gamma is"),
        (["--from", "other.json"], "other.json is not an evaluation.json"),
        (["--from", "nothing.json"], "nothing.json"),
    ]:
        assert main(["evaluate", *arguments, "--jobs", "1"]) == 2, arguments
        error = capsys.readouterr().err
        assert words in error, error
        assert error.count("\n") == 1
        assert error.startswith("microexpr evaluate: ")


SHORT = ["--blocks", "2", "--n-features", "40", "--no-sweep", "--no-nested", "--jobs", "1"]


@pytest.fixture
def no_pictures(monkeypatch):
    """They take longer than the rest of a small evaluation, and other tests look at them."""
    monkeypatch.setattr("microexpr._evaluation_command.matplotlib_is_there", lambda: False)


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("name", ["casme", "samm", "smic", "casme3", "manifest"])
def test_evaluate_on_the_layouts_of_the_others(make_tree, tmp_path, capsys, name):
    root = make_tree(name.replace("smic", "smic-hs"), subjects=3, clips=12, frames=(3, 4), images="tiny")
    assert main(["evaluate", name, str(root), "--out", str(tmp_path / "out"), *SHORT]) == 0
    printed = capsys.readouterr().out
    assert "simulated" not in printed.lower()
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert sum(map(sum, content["results"]["rows"][1]["confusion"])) > 8
    assert ("quoted     MPCA [17]" in printed) == (name == "casme")


@pytest.mark.usefixtures("no_pictures")
def test_evaluate_several_data_sets(make_tree, tmp_path, capsys):
    samm = make_tree("samm", subjects=3, clips=12, frames=(3, 4), images="tiny")
    smic = make_tree("smic-hs", subjects=3, clips=12, frames=(3, 4), images="tiny")
    for protocol, folds in (("composite", 6), ("cross", 1)):
        out = tmp_path / protocol
        command = ["evaluate", "samm", str(samm), "--with", "smic", str(smic), "--protocol", protocol]
        assert main([*command, "--out", str(out), *SHORT]) == 0
        content = json.loads((out / "evaluation.json").read_text())
        rows = content["results"]["rows"]
        assert len(rows[0]["C"]) == folds
        assert content["results"]["labels"] == ["negative", "positive", "surprise"]
        assert ("SAMM" in rows[1]["by_dataset"]) == (protocol == "composite")
        again = ["evaluate", "--from", str(out / "evaluation.json"), "--out", str(tmp_path / "again")]
        assert main([*again, "--jobs", "1"]) == 0


@pytest.mark.usefixtures("no_pictures")
def test_evaluate_a_tree_with_every_quirk(make_tree, tmp_path, capsys):
    """What cannot be read is named, the rest is evaluated, and the result says how much is missing."""
    root = make_tree("casme2", subjects=3, clips=30, frames=(3, 4), images="tiny", quirks="all")
    assert main(["evaluate", "casme2", str(root), "--out", str(tmp_path / "out"), *SHORT]) == 0
    printed = capsys.readouterr().out
    assert "Left out:" in printed
    assert "clips could not be read" in (tmp_path / "out" / "evaluation.txt").read_text()
