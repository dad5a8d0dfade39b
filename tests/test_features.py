"""Other features, poolings and classifiers where the paper's stand: functions of anybody's."""

import functools
import json

import numpy as np
import pytest
from skimage.feature import local_binary_pattern
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import microexpr
import rankpool
from microexpr import Features, describe, extract, loso, read_casme2
from microexpr.data import read_frames
from microexpr.experiment import Settings, evaluate, extract_and_evaluate, repeat, save_evaluation
from microexpr.plots import plot_face_parts
from microexpr.plots import save_evaluation as save_pictures
from microexpr.store import FeatureStore, StoreError

pytestmark = pytest.mark.filterwarnings("ignore:only .* rows of W:UserWarning")

SIZE = (32, 32)


def grid(frames, step=4):
    """Grey levels of every so many pixels."""
    return frames[:, ::step, ::step].reshape(len(frames), -1)


def lbp(frames):
    codes = [local_binary_pattern(frame, 8, 1, "uniform").astype(int) for frame in frames]
    return [np.bincount(code.ravel(), minlength=10) for code in codes]


def first_and_last(V):
    return V[-1] - V[0]


@pytest.fixture(scope="module")
def root(simulated):
    return simulated(subjects=4, clips=24, frames=(4, 7), size=SIZE)


@pytest.fixture(scope="module")
def table(root):
    return read_casme2(root)


@pytest.fixture(scope="module")
def frames(table):
    return read_frames(table["frames"][0], SIZE)


def test_describe_is_the_pooling_of_the_features(frames):
    np.testing.assert_array_equal(describe(frames, features=grid), rankpool.rank_pool(grid(frames)))
    np.testing.assert_array_equal(
        describe(frames, features=grid, C=0.01, loss="squared_hinge"),
        rankpool.rank_pool(grid(frames), 0.01, loss="squared_hinge"),
    )
    u = describe(frames, features=lbp, pooling=first_and_last)
    assert u.dtype == np.float64
    np.testing.assert_array_equal(u, first_and_last(np.array(lbp(frames))))


def test_the_full_output(frames):
    clip = describe(frames, blocks=(2, 2), full_output=True)
    np.testing.assert_array_equal(clip.u, describe(frames, blocks=(2, 2)))
    np.testing.assert_array_equal(clip.scores, clip.V @ clip.u)
    assert 0 <= clip.gap <= 1e-6
    other = describe(frames, features=grid, pooling=first_and_last, full_output=True)
    np.testing.assert_array_equal(other.V, grid(frames))
    assert np.isnan(other.gap)
    assert other.method == "first_and_last"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"features": "lbp"}, TypeError, "^features is 'lbp'; it must be a function"),
        ({"pooling": "max"}, ValueError, r"^pooling is 'max'; it must be \"rank\", \"mean\""),
        ({"pooling": 3}, TypeError, "^pooling is 3"),
        ({"features": grid, "blocks": (4, 4)}, ValueError, "^blocks is an option of LTOGP"),
        ({"features": grid, "radius": 2}, ValueError, "^radius is an option of LTOGP"),
        (
            {"features": grid, "histograms": np.zeros((5, 64))},
            ValueError,
            "^histograms is an option of LTOGP",
        ),
        ({"features": grid, "templates": "lbp"}, ValueError, "^templates is an option of LTOGP"),
        ({"pooling": first_and_last, "C": 2.0}, ValueError, "^C is an option of rank pooling"),
        (
            {"features": lambda f: grid(f)[:-1]},
            ValueError,
            r"gave shape \(\d+, 64\); it must be a row a frame",
        ),
        ({"features": lambda f: grid(f)[0]}, ValueError, r"gave shape \(64,\)"),
        ({"features": lambda f: grid(f)[:, :0]}, ValueError, r"gave shape \(\d+, 0\)"),
        ({"features": lambda f: grid(f).astype(str)}, ValueError, "it must be numbers"),
        ({"features": lambda f: grid(f) / 0.0}, ValueError, "gave NaN or infinity"),
        ({"features": lambda f: None}, ValueError, "gave shape"),
        ({"features": lambda f: np.ma.masked_array(grid(f), grid(f) > 9)}, TypeError, "gave a masked array"),
        ({"pooling": lambda V: V}, ValueError, "^pooling <lambda> gave shape"),
        ({"pooling": lambda V: V[0] * np.nan}, ValueError, "^pooling <lambda> gave NaN"),
        (
            {"pooling": lambda V: np.ma.masked_array(V[0], V[0] > 9)},
            TypeError,
            "^pooling <lambda> gave a masked",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_refused(frames, options, error, message):
    with pytest.raises(error, match=message):
        describe(frames, **options)


def test_features_know_their_name_and_parameters():
    coarse = Features(functools.partial(grid, step=np.int64(8)))
    assert (coarse.name, coarse.parameters, coarse.blocks) == ("grid", {"step": 8}, None)
    assert Features(grid, "pixels", (2, 2), {"version": 2}).parameters == {"version": 2}
    with pytest.raises(ValueError, match=r"blocks is \(0, 2\)"):
        Features(grid, blocks=(0, 2))
    with pytest.raises(ValueError, match="is not of JSON types"):
        Features(functools.partial(grid, step=slice(3)))


def test_extract_in_memory_and_in_a_store(table, tmp_path):
    coarse = Features(functools.partial(grid, step=8), "coarse")
    memory = extract(table, size=SIZE, features=[grid, coarse, lbp])
    assert {name: X.shape for name, X in memory.features.items()} == {
        "grid": (24, 64),
        "coarse": (24, 16),
        "lbp": (24, 10),
    }
    with pytest.raises(ValueError, match="say which"):
        _ = memory.X
    path = tmp_path / "x.zarr"
    first = extract(table[:9], path, size=SIZE, features=[grid, coarse])
    assert (first.n_computed, first.n_skipped) == (9, 0)
    second = extract(table, path, size=SIZE, features=[grid, coarse, lbp])
    assert (second.n_computed, second.n_skipped) == (24, 0)  # all lacked lbp
    third = extract(table, path, size=SIZE, features=coarse)
    assert (third.n_computed, third.n_skipped) == (0, 24)
    np.testing.assert_array_equal(third.X, memory.features["coarse"])
    for name, X in memory.features.items():
        np.testing.assert_array_equal(second.features[name], X)
        np.testing.assert_array_equal(FeatureStore(path).load(name), X)
    store = extract(table, path, size=SIZE, blocks=(2, 2)).store  # LTOGP beside them
    assert (store.blocks, store.features) == ([(2, 2)], ["coarse", "grid", "lbp"])
    assert len(store.complete()) == 24
    with pytest.raises(KeyError):
        _ = third.features["lbp"]


def test_a_store_knows_its_features_by_name_and_parameters(table, tmp_path):
    path, few = tmp_path / "x.zarr", table[:3]
    extract(few, path, size=SIZE, features=functools.partial(grid, step=8))
    with pytest.raises(
        StoreError, match=r"has grid with \{'step': 8\}, not \{'step': 4\}; give them another"
    ):
        extract(few, path, size=SIZE, features=functools.partial(grid, step=4))
    with pytest.raises(StoreError, match="pooling"):
        extract(few, path, size=SIZE, features=functools.partial(grid, step=8), pooling=first_and_last)
    for name in ("<lambda>", "../x", "8x8", "", "a/b", ".hidden"):
        with pytest.raises(StoreError, match="cannot name features in a store"):
            extract(few, path, size=SIZE, features=Features(lambda f: grid(f), name or "/"))
    assert FeatureStore(path).features == ["grid"]
    np.testing.assert_array_equal(
        extract(few, path, size=SIZE, features=functools.partial(grid, step=8)).X,
        extract(few, size=SIZE, features=functools.partial(grid, step=8)).X,
    )


def test_a_function_that_fails_on_a_clip_stops_no_other(table, tmp_path):
    def nobody(frames):
        if len(frames) == 5:
            raise ValueError("no face found")
        return grid(frames)[:, : 8 if len(frames) == 6 else 9]

    lengths = np.array([len(frames) for frames in table["frames"]])
    assert {4, 5, 6} <= set(lengths)
    for store in (None, tmp_path / "x.zarr"):
        clips = extract(table, store, size=SIZE, features=nobody)
        told = [str(problem) for problem in clips.problems]
        first = 8 if lengths[lengths != 5][0] == 6 else 9
        assert sum("no face found" in line for line in told) == (lengths == 5).sum()
        assert (
            sum(f"and {first} of the clips before" in line for line in told)
            == len(told) - (lengths == 5).sum()
        )
        assert clips.X.shape == (len(table) - len(told), first)


def test_two_of_one_name_and_none(table):
    with pytest.raises(ValueError, match="two features are called 'grid'"):
        extract(table, features=[grid, functools.partial(grid, step=2)])
    with pytest.raises(ValueError, match=r"^features is empty"):
        extract(table, features=[])
    with pytest.raises(ValueError, match=r"^blocks is an option of LTOGP"):
        extract(table, features=grid, blocks=(2, 2))


SETTINGS = Settings(n_features=12, sweep_n_features=(4, 12, 500), n_resamples=100, inner_splits=2)


@pytest.fixture(scope="module")
def evaluation(table):
    return extract_and_evaluate(
        table, SETTINGS, features=Features(functools.partial(grid, step=4), blocks=(4, 4)), n_jobs=1
    )


def test_an_evaluation_of_other_features(evaluation, table):
    X = extract(table, features=grid).X
    assert X.shape == (24, 1024)
    by_hand = loso(X, table["emotion"], table["subject"], microexpr.make_classifier(12))
    assert evaluation.rows[1].basis == "as given"
    np.testing.assert_array_equal(evaluation.rows[1].scores.predicted, by_hand.predicted)
    assert evaluation.features == "grid"
    assert set(evaluation.sweep) == {("grid", n) for n in (4, 12, 500)}
    assert evaluation.weights.shape == (4, 4)
    assert "grid; gamma = 1" in str(evaluation)
    assert "8 x 8" not in str(evaluation)


def test_its_files_and_pictures(evaluation, tmp_path):
    files = {
        path.name for path in [*save_evaluation(evaluation, tmp_path), *save_pictures(evaluation, tmp_path)]
    }
    assert {"face.png", "sweep.png", "weights.csv", "sweep.csv"} <= files
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert list(content["data"]["features"]) == ["grid"]
    assert content["results"]["sweep"][0]["features"] == "grid"
    assert (tmp_path / "sweep.csv").read_text().splitlines()[0] == "source,features,N,accuracy,uf1,uar"


def test_without_blocks_there_is_no_face(table, evaluation, tmp_path):
    X = extract(table, features=lbp).X
    other = evaluate({"lbp": X}, table, Settings(n_features=4, sweep=False, nested=False), n_jobs=1)
    assert other.weights is None
    assert "note: lbp has no blocks: no picture of the face" in str(other)
    with pytest.raises(ValueError, match=r"^lbp has no blocks"):
        plot_face_parts(other)
    save_evaluation(evaluation, tmp_path)
    save_pictures(evaluation, tmp_path)
    files = {path.name for path in [*save_evaluation(other, tmp_path), *save_pictures(other, tmp_path)]}
    assert not files & {"face.png", "weights.csv", "sweep.png", "sweep.csv"}
    for name in ("face.png", "weights.csv", "sweep.png", "sweep.csv"):  # those of the run before are gone
        assert not (tmp_path / name).exists()
    assert json.loads((tmp_path / "evaluation.json").read_text())["results"]["weights"] is None


def test_evaluate_takes_an_array_or_a_mapping(table):
    X = np.random.default_rng(0).standard_normal((24, 30))
    short = Settings(n_features=4, sweep=False, nested=False)
    plain = evaluate(X, table, short, n_jobs=1)
    named = evaluate({"mine": X}, table, short, blocks=(5, 2), n_jobs=1)
    assert (plain.features, named.features) == ("features", "mine")
    assert named.weights.shape == (5, 2)
    assert plain.results()["rows"] == named.results()["rows"]
    with pytest.raises(ValueError, match=r"mine has 30 features, not as many for each of 4 x 4 blocks"):
        evaluate({"mine": X}, table, short, blocks=(4, 4), n_jobs=1)
    with pytest.raises(ValueError, match="features are a, b; evaluate one"):
        evaluate({"a": X, "b": X}, table, short, n_jobs=1)
    with pytest.raises(ValueError, match="N = 30, but features has 30 features; choose fewer"):
        evaluate(X, table, Settings(n_features=30, sweep=False, nested=False), n_jobs=1)
    with pytest.raises(ValueError, match=r"features of features have shape \(23, 30\); the table has 24"):
        evaluate(X[1:], table, short, n_jobs=1)
    swept = evaluate(X, table, Settings(n_features=4, sweep_n_features=(4, 30, 75), n_resamples=50), n_jobs=1)
    assert list(swept.sweep) == [("features", 4)]
    assert "features has 30 features: no N of 30 and more" in swept.notes


@pytest.mark.filterwarnings("ignore:Only one sample:UserWarning")
def test_any_classifier_at_the_end(table, tmp_path):
    X = extract(table, size=SIZE, features=grid).X
    settings = Settings(n_features=12, sweep_n_features=(4, 12), n_resamples=50, inner_splits=2)
    y, subjects = table["emotion"], table["subject"]
    for classifier in (
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        LogisticRegression(C=0.1, max_iter=1000),
    ):
        done = evaluate({"grid": X}, table, settings, classifier=classifier, n_jobs=1)
        expected = loso(X, y, subjects, make_pipeline(StandardScaler(), clone(classifier)))
        np.testing.assert_array_equal(done.rows[0].scores.predicted, expected.predicted)
        chosen = microexpr.make_classifier(12)
        chosen.steps[-1] = ("classifier", clone(classifier))
        expected = loso(X, y, subjects, chosen)
        np.testing.assert_array_equal(done.rows[1].scores.predicted, expected.predicted)
        assert [row.basis for row in done.rows] == [
            "as given",
            "as given",
            "N chosen inside",
            "N by the test clips: optimistic",
        ]
        assert all(C is None for row in done.rows for C in row.C)
        assert [(pair.first, pair.second) for pair in done.comparisons] == [(1, 0), (2, 0), (3, 2)]
        assert "(" in done.pins["classifier"]
        save_evaluation(done, tmp_path)


def test_repeat_needs_the_same_functions(root, table, tmp_path):
    features = Features(grid, parameters={"version": 1})
    settings = Settings(n_features=12, sweep=False, nested=False, n_resamples=50)
    classifier = LogisticRegression(max_iter=1000)
    recipe = {"features": features, "pooling": first_and_last, "classifier": classifier}
    table = microexpr.experiment.read([("casme2", root)])
    done = extract_and_evaluate(table, settings, **recipe, n_jobs=1)
    save_evaluation(done, tmp_path)
    again, differences = repeat(tmp_path / "evaluation.json", **recipe, n_jobs=1)
    assert differences == []
    assert again.results() == done.results()
    for name in recipe:
        fewer = {key: value for key, value in recipe.items() if key != name}
        with pytest.raises(ValueError, match=f"was written with {name}="):
            repeat(tmp_path / "evaluation.json", **fewer, n_jobs=1)


def test_scores_are_short_to_look_at_and_a_table(evaluation, table):
    scores = evaluation.rows[1].scores
    assert len(repr(scores)) < 120
    assert repr(scores).startswith(f"Scores(accuracy {scores.accuracy:.3f}, UF1 ")
    assert list(scores.predictions) == ["clip", "subject", "true", "predicted"]
    assert scores.predictions["clip"].tolist() == table["clip"].tolist()
    assert (scores.predictions["true"] == scores.predictions["predicted"]).mean() == scores.accuracy
    assert len(repr(evaluation)) < 700
    part = scores.part(scores.groups == "01")
    assert part.predictions["clip"].tolist() == table["clip"][table["subject"] == "01"].tolist()


def mean_and_peak(V):
    return np.concatenate([V.mean(axis=0), V.max(axis=0)])


def test_a_pooling_of_another_length(table, tmp_path):
    """Twice as long: each half has all blocks, so that nothing is said of which block is which."""
    memory = extract(table, blocks=(2, 2), size=SIZE, pooling=mean_and_peak)
    kept = extract(table, tmp_path / "x.zarr", blocks=(2, 2), size=SIZE, pooling=mean_and_peak)
    assert kept.X.shape == (24, 2 * 1024)
    np.testing.assert_array_equal(kept.X, memory.X)
    settings = Settings(blocks=2, n_features=12, sweep=False, nested=False, n_resamples=50)
    done = extract_and_evaluate(table, settings, pooling=mean_and_peak, n_jobs=1)
    assert done.weights is None
    assert "2 x 2 blocks has no blocks" not in str(done)
    assert "no picture of the face" in done.notes[-1]
    same = extract_and_evaluate(table, settings, pooling=first_and_last, n_jobs=1)
    assert same.weights.shape == (2, 2)
    other = Features(grid, blocks=(4, 4))
    assert (
        extract_and_evaluate(table, settings, features=other, pooling=mean_and_peak, n_jobs=1).weights is None
    )


def test_a_mapping_without_the_blocks_says_what_it_has(table):
    X = np.zeros((24, 1024))
    settings = Settings(blocks=4, n_features=12, sweep=False, nested=False)
    with pytest.raises(ValueError, match="there are no features of 4 x 4 blocks; there is 2 x 2 blocks"):
        evaluate({(2, 2): X}, table, settings, n_jobs=1)
    with pytest.raises(ValueError, match="there is nothing"):
        evaluate({}, table, settings, n_jobs=1)
