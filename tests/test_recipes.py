"""An evaluation of several poolings and classifiers: each row against `loso` of what it says it is."""

import csv
import json

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, cross_val_predict

import microexpr
from microexpr import Features, describe, extract, loso, make_classifier
from microexpr._options import SETTINGS as ON_COMMAND_LINE
from microexpr.cli import main
from microexpr.experiment import Settings, evaluate, extract_and_evaluate, repeat, save_evaluation, splits
from microexpr.plots import plot_comparison
from microexpr.pooling import POOLINGS
from microexpr.store import StoreError

pytestmark = pytest.mark.filterwarnings("ignore:only .* rows of W:UserWarning")

SIZE = (24, 24)
OPTIONS = {
    "blocks": 3,
    "n_features": 6,
    "sweep_blocks": (1, 3),
    "sweep_n_features": (3, 6, 20),
    "C_grid": (1e-3, 1e-1),
    "inner_splits": 2,
    "n_resamples": 50,
}
MARK = "not the paper's"


@pytest.fixture(scope="module")
def root(simulated):
    return simulated(subjects=3, clips=21, frames=(4, 7), size=SIZE)


@pytest.fixture(scope="module")
def table(root):
    return microexpr.experiment.read([("casme2", root)])


@pytest.fixture(scope="module")
def both(table):
    """Features of each grid, pooled every way at once."""
    return extract(table, blocks=[(1, 1), (3, 3)], size=SIZE, pooling="mean+rank").features


@pytest.fixture(scope="module")
def features(table):
    """Each pooling's own."""
    return {pooling: extract(table, blocks=(3, 3), size=SIZE, pooling=pooling).X for pooling in POOLINGS}


@pytest.fixture(scope="module")
def evaluation(both, table):
    return evaluate(both, table, Settings(**OPTIONS, poolings=POOLINGS), pooling="mean+rank", n_jobs=1)


def expected(X, table, *options, **keywords):
    return loso(X, table["emotion"], table["subject"], make_classifier(*options, **keywords)).predicted


def given(rows):
    """The rows whose C and N are not chosen."""
    return [row for row in rows if row.basis in ("as published", "as given", MARK)]


def test_each_row_is_its_pipeline_in_loso(evaluation, features, table):
    rows = given(evaluation.rows)
    assert [(row.pooling, row.name) for row in rows] == [
        (pooling, name) for pooling in POOLINGS for name in ("without selection", "with selection")
    ]
    for row in rows:
        n = "all" if row.name.startswith("without") else 6
        np.testing.assert_array_equal(row.scores.predicted, expected(features[row.pooling], table, n))
        assert set(row.n_features) == {n if n == 6 else features[row.pooling].shape[1]}


def test_what_is_chosen_inside_against_nested_loops(evaluation, features, table):
    (row,) = [r for r in evaluation.rows if r.pooling == "energy" and r.basis.startswith("N and C chosen")]
    X, y, groups = features["energy"], *(table[name].to_numpy(str) for name in ("emotion", "subject"))
    for fold, (train, test) in enumerate(splits("loso", groups)):
        accuracy = {}
        for n in (3, 6):  # 20 are more than there are
            for C in (1e-3, 1e-1, 1.0):
                guesses = cross_val_predict(
                    make_classifier(n, C=C), X[train], y[train], groups=groups[train], cv=GroupKFold(2)
                )
                accuracy[n, C] = np.mean(guesses == y[train])
        n, C = max(accuracy, key=accuracy.get)
        assert (row.n_features[fold], row.C[fold]) == (n, C)
        predicted = make_classifier(n, C=C).fit(X[train], y[train]).predict(X[test])
        np.testing.assert_array_equal(row.scores.predicted[test], predicted)


def test_the_papers_rows_stay_as_they_are_alone(evaluation, both, table):
    """The same figures, tests and sweep from features that hold more, and from more to evaluate."""
    ranked = extract(table, blocks=[(1, 1), (3, 3)], size=SIZE).features
    alone = evaluate(ranked, table, Settings(**OPTIONS), n_jobs=1)
    more, less = evaluation.results(), alone.results()
    assert [row for row in more["rows"] if "pooling" not in row] == less["rows"]
    assert more["comparisons"][: len(less["comparisons"])] == less["comparisons"]
    for name in ("sweep", "weights", "nonzero_rows", "labels"):
        assert more[name] == less[name]
    derived = evaluate(both, table, Settings(**OPTIONS), pooling="mean+rank", n_jobs=1)
    assert derived.results() == less
    assert derived.pins == alone.pins
    assert "pooling" not in json.dumps(less)


def test_each_is_compared_with_the_papers(evaluation):
    rows = evaluation.rows
    against = {
        (rows[pair.first].method, rows[pair.first].basis): rows[pair.second]
        for pair in evaluation.comparisons
    }
    others = [row for row in rows if row.pooling != "rank"]
    assert len(others) == 3 * 6
    for row in others:
        paper = against[row.method, row.basis]
        assert (paper.pooling, paper.name) == ("rank", "with selection")
        assert row.basis in (MARK, f"{paper.basis}, {MARK}")
    pair = evaluation.comparisons[-1]
    difference = rows[pair.first].scores.accuracy - rows[pair.second].scores.accuracy
    assert pair.difference == difference
    right = [rows[i].scores.predicted == rows[i].scores.y for i in (pair.first, pair.second)]
    assert (
        pair.test.only_first - pair.test.only_second
        == (right[0] & ~right[1]).sum() - (right[1] & ~right[0]).sum()
    )


def test_they_are_marked_wherever_they_stand(evaluation, tmp_path):
    text = str(evaluation)
    lines = [line for line in text.split("\n\n")[1].splitlines()[1:] if not line.startswith("quoted")]
    for line in lines:
        assert (MARK in line) == any(f" {pooling}, with" in line for pooling in POOLINGS[1:]), line
    assert sum(MARK in line for line in lines) == 3 * 6
    assert "energy reads where a face moves" in text
    names = [label.get_text() for label in plot_comparison(evaluation).get_yticklabels()]
    assert sum(MARK in name for name in names) == 3 * 6
    save_evaluation(evaluation, tmp_path)
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            assert (MARK in line["basis"]) == line["method"].startswith(POOLINGS[1:])
    results = json.loads((tmp_path / "evaluation.json").read_text())["results"]
    for row in results["rows"]:
        assert (MARK in row["basis"]) == ("pooling" in row)
    with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8") as file:
        heads = next(csv.reader(file))
    assert len(set(heads)) == len(heads) == 5 + len(evaluation.rows)


@pytest.mark.parametrize(
    "options",
    [{"class_weight": "balanced"}, {"classifier": "lda"}, {"classifier": "lda", "class_weight": "balanced"}],
)
def test_classifiers_of_all_rows(both, features, table, options):
    settings = Settings(**OPTIONS, poolings=["energy"], **options)
    done = evaluate(both, table, settings, pooling="mean+rank", n_jobs=1)
    assert {row.basis for row in given(done.rows)} == {"as given", MARK}
    for row in given(done.rows):
        n = "all" if row.name.startswith("without") else 6
        np.testing.assert_array_equal(
            row.scores.predicted, expected(features[row.pooling], table, n, **options)
        )
    for (blocks, n), scores in done.sweep.items():
        if blocks == (3, 3):
            np.testing.assert_array_equal(scores.predicted, expected(features["rank"], table, n, **options))
    chosen = {C for row in done.rows for C in row.C}
    assert chosen == {None} if "classifier" in options else chosen <= {1e-3, 1e-1, 1.0}
    assert any("the classifier is not the paper's" in note for note in done.notes)
    assert "classifier" not in done.pins


def test_fewer_features_than_n(both, table):
    settings = Settings(**{**OPTIONS, "n_features": 9}, poolings=["energy"])
    done = evaluate(both, table, settings, pooling="mean+rank", n_jobs=1)
    others = [(row.name, row.basis) for row in done.rows if row.pooling == "energy"]
    assert others == [("without selection", MARK), ("without selection", f"C chosen inside, {MARK}")]
    assert "energy has 9 features: no selection of N = 9" in done.notes
    lda = evaluate(
        both,
        table,
        Settings(**{**OPTIONS, "n_features": 9}, poolings=["energy"], classifier="lda"),
        pooling="mean+rank",
        n_jobs=1,
    )
    assert [row.basis for row in lda.rows if row.pooling == "energy"] == [MARK]


def grid(frames):
    return frames[:, ::3, ::3].reshape(len(frames), -1).astype(float)


def test_other_features(table):
    blocky = Features(grid, blocks=(4, 2))
    short = Settings(n_features=6, sweep=False, nested=False, n_resamples=50, poolings=POOLINGS)
    done = extract_and_evaluate(table, short, features=blocky, parameters={"size": SIZE}, n_jobs=1)
    frames = [microexpr.data.read_frames(paths, SIZE) for paths in table["frames"]]
    for row in done.rows:
        X = np.stack([describe(stack, features=blocky, pooling=row.pooling) for stack in frames])
        n = "all" if row.name.startswith("without") else 6
        np.testing.assert_array_equal(row.scores.predicted, expected(X, table, n))
        assert row.basis == ("as given" if row.pooling == "rank" else MARK)
    given_array = evaluate(
        extract(table, size=SIZE, features=blocky, pooling="mean+rank").X,
        table,
        short,
        blocks=(4, 2),
        pooling="mean+rank",
        n_jobs=1,
    )
    assert given_array.results()["rows"] == done.results()["rows"]


def test_stores_that_hold_enough(table, tmp_path):
    """What is in the store decides nothing but what can be had of it; an evaluation from each is the same."""
    short = {**OPTIONS, "sweep": False, "nested": False}
    stores = {name: tmp_path / f"{name}.zarr" for name in ("rank", "mean+rank", "energy")}
    for name, path in stores.items():
        extract(table, path, blocks=(3, 3), size=SIZE, pooling=name)
    for poolings in ((), ("energy",)):
        settings = Settings(**short, poolings=poolings)
        one, two, new = (
            extract_and_evaluate(table, settings, store=store, parameters={"size": SIZE}, n_jobs=1)
            for store in (stores["rank"], stores["mean+rank"], None)
        )
        assert one.results() == two.results() == new.results()
        assert one.pins == two.pins == new.pins
    means = Settings(**short, poolings=["mean"])
    with pytest.raises(StoreError, match=r"was made with pooling='rank', not pooling='mean\+rank'"):
        extract_and_evaluate(table, means, store=stores["rank"], n_jobs=1)
    with pytest.raises(StoreError, match=r"was made with pooling='energy', not pooling='rank'"):
        extract_and_evaluate(table, Settings(**short), store=stores["energy"], n_jobs=1)
    done = extract_and_evaluate(table, means, store=stores["mean+rank"], n_jobs=1)
    assert [row.pooling for row in done.rows] == ["rank", "rank", "mean", "mean"]


def test_the_command_and_its_repetition(root, tmp_path, capsys, monkeypatch):
    assert {"poolings", "classifier", "class_weight"} < set(ON_COMMAND_LINE)
    monkeypatch.setattr("microexpr._evaluation_command.matplotlib_is_there", lambda: False)
    out = tmp_path / "out"
    command = ["evaluate", "casme2", str(root), "--out", str(out), "--blocks", "3", "--n-features", "6"]
    command += ["--no-sweep", "--no-nested", "--jobs", "1", "--pooling", "energy", "mean+rank"]
    assert main([*command, "--classifier", "lda", "--class-weight", "balanced"]) == 0
    printed = capsys.readouterr().out
    assert f"mean+rank, with selection, {MARK}" in printed
    content = json.loads((out / "evaluation.json").read_text())
    assert content["settings"]["poolings"] == ["rank", "energy", "mean+rank"]
    assert (content["settings"]["classifier"], content["settings"]["class_weight"]) == ("lda", "balanced")
    assert set(content["data"]["poolings"]) == {"energy", "mean+rank"}
    again, differences = repeat(out / "evaluation.json", n_jobs=1)
    assert differences == []
    assert again.results() == content["results"]
    content["data"]["poolings"]["energy"] = "0" * 64
    (tmp_path / "other.json").write_text(json.dumps(content))
    assert repeat(tmp_path / "other.json", n_jobs=1)[1] == ["the features of energy pooling are not the same"]
    assert main(["evaluate", "--from", str(out / "evaluation.json"), "--pooling", "energy"]) == 2
    assert "says what poolings is" in capsys.readouterr().err
    assert main([*command, "--classifier", "lda", "--C", "2"]) == 2
    assert "C is 2.0, the penalty of the SVM, whose place the LDA has taken" in capsys.readouterr().err


def test_demo_with_another_classifier(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("microexpr._simulation_commands.matplotlib_is_there", lambda: False)
    options = ["--subjects", "3", "--clips", "15", "--frames", "3", "4", "--n-features", "20", "--jobs", "1"]
    options += ["--keep", str(tmp_path / "data"), "--out", str(tmp_path / "x.png")]
    assert main(["demo", *options, "--classifier", "lda", "--class-weight", "balanced"]) == 0
    printed = capsys.readouterr().out
    assert "rank pooling, shrinkage LDA, classes balanced; leave-one-subject-out" in printed
    clips = extract(microexpr.read_casme2(tmp_path / "data"))
    made = make_classifier(20, classifier="lda", class_weight="balanced")
    scores = loso(clips.X, clips.table["emotion"], clips.table["subject"], made)
    assert f"{100 * scores.accuracy:.1f} %{scores.uf1:>8.3f}{scores.uar:>8.3f}" in printed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"poolings": "rank"}, "^poolings is 'rank'; it must be of rank, mean, mean.rank, energy"),
        ({"poolings": ("max",)}, "^poolings is"),
        ({"poolings": (3,)}, "^poolings is"),
        ({"poolings": None}, "^poolings is None"),
        ({"poolings": ("mean", "mean")}, "^poolings is .* each once at most"),
        ({"classifier": "tree"}, "^classifier is 'tree'"),
        ({"class_weight": True}, "^class_weight is True"),
        ({"classifier": "lda", "C": 3.0}, "^C is 3.0, the penalty of the SVM"),
    ],
)
def test_wrong_settings(change, message):
    with pytest.raises(ValueError, match=message):
        Settings(**change)


def test_the_papers_always_come_first():
    assert Settings().poolings == ("rank",)
    assert Settings(poolings=["energy", "mean"]).poolings == ("rank", "energy", "mean")
    assert Settings(poolings=("mean", "rank")).poolings == ("rank", "mean")


def test_what_is_refused(both, features, table):
    short = {**OPTIONS, "sweep": False, "nested": False}
    ranked = {(3, 3): features["rank"]}
    with pytest.raises(ValueError, match=r"pooled by rank, of which mean cannot be had: extract"):
        evaluate(ranked, table, Settings(**short, poolings=["mean"]), n_jobs=1)
    odd = {"odd": np.ones((len(table), 3))}
    with pytest.raises(ValueError, match=r"^the features of odd: X has 3 columns"):
        evaluate(odd, table, Settings(**{**short, "n_features": 1}), pooling="mean+rank", n_jobs=1)
    energy = Settings(**short, poolings=["energy"])
    with pytest.raises(ValueError, match=r"blocks of features mine"):
        evaluate({"mine": features["rank"]}, table, energy, n_jobs=1)
    with pytest.raises(ValueError, match=r"blocks of features grid"):
        extract_and_evaluate(table, energy, features=grid, n_jobs=1)
    with pytest.raises(ValueError, match=r"^a function pools the clips: energy cannot be had beside it"):
        extract_and_evaluate(table, energy, pooling=np.median, n_jobs=1)
    with pytest.raises(
        ValueError, match=r"^pooling is 'mean'; .* Settings\(poolings=\.\.\.\) takes the names"
    ):
        extract_and_evaluate(table, Settings(**short), pooling="mean", n_jobs=1)
    with pytest.raises(ValueError, match=r"^classifier= is given, and the settings say which as well"):
        evaluate(
            ranked, table, Settings(**short, classifier="lda"), classifier=make_classifier("all"), n_jobs=1
        )
    damaged = both[3, 3].copy()
    damaged[3, 7] = np.nan
    with pytest.raises(ValueError, match=r"^the features of 3 x 3 blocks: X holds NaN or infinity in row 3"):
        evaluate({(3, 3): damaged}, table, energy, pooling="mean+rank", n_jobs=1)


def test_a_clip_that_stays_as_it_is(table):
    """Its energies are finite, and it is evaluated with the others."""
    still = table.copy()
    still.attrs = table.attrs
    still.at[5, "frames"] = [table["frames"][5][0]] * 3
    short = Settings(**{**OPTIONS, "sweep": False, "nested": False}, poolings=["energy"])
    done = extract_and_evaluate(still, short, parameters={"size": SIZE}, n_jobs=1)
    assert len(done.table) == len(table)


@pytest.mark.parametrize("pooling", ["mean", "mean+rank", "energy"])
def test_describe_pools_otherwise(pooling, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    root = microexpr.simulate("data", subjects=2, clips=5, frames=(5, 5), size=(34, 28), progress=False)
    frames = microexpr.read_casme2(root)["frames"][0]
    assert main(["describe", str(frames[0].parent), "--pooling", pooling, "--out", "clip"]) == 0
    assert f" by {pooling}, " in capsys.readouterr().out
    with np.load("clip.npz") as described:
        clip = microexpr.read_clip(frames[0].parent)
        np.testing.assert_array_equal(described["u"], microexpr.describe(clip, pooling=pooling))
        assert described["pooling"] == pooling
        assert described["scores"].shape == (len(clip),)
    status = main(["describe", str(frames[0].parent), "--pooling", pooling, "--C", "2"])
    assert status == (2 if pooling == "mean" else 0)
