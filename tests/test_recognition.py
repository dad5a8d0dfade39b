"""From a table of clips to a recogniser, and what it says of new clips."""

import csv
import json
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut

import microexpr
from microexpr import Recogniser, train
from microexpr._linear_model import (
    LinearModel,
    calibrated_temperature,
    class_pairs,
    decision_values,
    log_probabilities,
)
from microexpr.cli import main
from microexpr.data import crop_frames, read_frames
from microexpr.pooling import POOLINGS

FEW = {"blocks": (4, 4), "n_features": 100, "progress": False}


@pytest.fixture(scope="module")
def root(simulated):
    return simulated(subjects=5, clips=30, frames=(6, 8), drift=0, seed=3, size=(128, 128))


@pytest.fixture(scope="module")
def table(root):
    return microexpr.read_casme2(root)


@pytest.fixture(scope="module")
def store(tmp_path_factory, table):
    """Of every pooling, for each recogniser of these tests."""
    path = tmp_path_factory.mktemp("store") / "features.zarr"
    microexpr.extract(table, path, blocks=(4, 4), pooling="mean+rank", progress=False)
    return path


@pytest.fixture(scope="module")
def recogniser(table, store):
    return train(table, store, **FEW)


@pytest.fixture(scope="module")
def file(recogniser, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.npz"
    recogniser.save(path)
    return path


def three_clips(table):
    return [table["frames"].iloc[k] for k in (0, 7, 19)]


# -- the linear model ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_features", [6, "all"])
@pytest.mark.parametrize("classifier", ["svm", "lda"])
@pytest.mark.parametrize("c", [2, 3, 5])
def test_a_linear_model_is_the_pipeline(c, classifier, n_features):
    rng = np.random.default_rng(0)
    y = np.tile(np.arange(c), 12)
    X = rng.standard_normal((len(y), 20)) * np.arange(1, 21) + np.eye(c)[y] @ rng.standard_normal((c, 20))
    pipeline = microexpr.make_classifier(n_features, classifier=classifier).fit(X, y)
    model = LinearModel.of(pipeline)
    margins = model.margins(X)
    decision = decision_values(margins, c, model.pairs)
    theirs = pipeline.decision_function(X)
    if c > 2:
        np.testing.assert_allclose(decision, theirs, rtol=1e-9, atol=1e-9)
        right = decision.argmax(axis=1) == pipeline.predict(X)
        assert right.mean() > 0.95  # libsvm breaks ties of votes by the order of the classes
    else:
        second = -margins[:, 0] if classifier == "svm" else margins[:, 1] - margins[:, 0]
        np.testing.assert_allclose(second, theirs, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(decision.argmax(axis=1), pipeline.predict(X))


def test_weights_of_a_class_are_the_mean_of_its_functions():
    coef = np.arange(12.0).reshape(3, 4) ** 2
    model = LinearModel(np.zeros(4), np.ones(4), np.arange(4), coef, np.zeros(3), 3, True)
    np.testing.assert_allclose(model.class_weights(0), (coef[0] + coef[1]) / 2)
    np.testing.assert_allclose(model.class_weights(1), (-coef[0] + coef[2]) / 2)
    np.testing.assert_allclose(model.class_weights(2), (-coef[1] - coef[2]) / 2)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("c", [2, 3, 5])
def test_probabilities_against_loops(c, temperature):
    f = np.random.default_rng(c).standard_normal((7, c * (c - 1) // 2))
    found = np.exp(log_probabilities(f, temperature, c, True))
    for row, margins in zip(found, f, strict=True):
        p = np.ones(c)
        for margin, (i, j) in zip(margins, class_pairs(c), strict=True):
            p[i] *= 1 / (1 + np.exp(-margin / temperature))
            p[j] *= 1 / (1 + np.exp(margin / temperature))
        np.testing.assert_allclose(row, p / p.sum())
    if c == 2:
        np.testing.assert_allclose(found[:, 0], expit(f[:, 0] / temperature))


def test_a_class_that_a_model_does_not_know_has_probability_0():
    known = np.array([[0.3]])
    margins = np.array([[np.nan, 0.3, np.nan]])  # (0, 1), (0, 2), (1, 2): class 1 is missing
    found = np.exp(log_probabilities(margins, 0.5, 3, True))[0]
    assert found[1] == 0
    np.testing.assert_allclose(found[[0, 2]], np.exp(log_probabilities(known, 0.5, 2, True))[0])
    functions = np.exp(log_probabilities(np.array([[1.0, np.nan, 2.0]]), 1.0, 3, False))[0]
    assert functions[1] == 0
    assert decision_values(margins, 3, True)[0].argmax() == 0
    assert decision_values(-margins, 3, True)[0].argmax() == 2
    assert decision_values(margins, 3, True)[0, 1] == -np.inf
    assert functions.sum() == pytest.approx(1)


@pytest.mark.parametrize("pairs", [True, False])
def test_the_temperature_of_simulated_margins_is_found(pairs):
    rng = np.random.default_rng(1)
    margins = 3 * rng.standard_normal((20_000, 3))
    p = np.exp(log_probabilities(margins, 2.0, 3, pairs))
    y = (rng.random(len(p))[:, None] > p.cumsum(axis=1)).sum(axis=1)
    assert calibrated_temperature(margins, y, 3, pairs) == pytest.approx(2, rel=0.05)
    assert calibrated_temperature(1e6 * margins, y, 3, pairs) == pytest.approx(2e6, rel=0.05)


def test_temperatures_where_there_is_little_to_learn():
    right = np.array([[2.0, 2.0, 0.0], [-2.0, 0.0, 2.0], [0.0, -2.0, -2.0]] * 4)
    y = np.arange(3).repeat(1).tolist() * 4
    tau = calibrated_temperature(right, np.array(y), 3, True)
    p = np.exp(log_probabilities(right, tau, 3, True))[np.arange(12), y]
    assert (p < 0.95).all()
    assert (p > 0.7).all()
    assert calibrated_temperature(np.zeros((4, 3)), np.arange(4) % 3, 3, True) == 1
    assert calibrated_temperature(np.full((4, 3), np.nan), np.arange(4) % 3, 3, True) == 1


# -- training ------------------------------------------------------------------------------------------------


def test_the_same_bits_from_the_same_data(table, store, recogniser, file, tmp_path):
    train(table, store, n_jobs=1, **FEW).save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == file.read_bytes()
    train(table, n_jobs=2, **FEW).save(tmp_path / "no_store.npz")  # and through rank pooling alone
    assert (tmp_path / "no_store.npz").read_bytes() == file.read_bytes()


def test_scores_are_of_people_left_out(table, store, recogniser):
    """Against loops: fit without a subject; the temperature from the others' clips, as they were left out."""
    X = microexpr.extract(table, store, blocks=(4, 4), progress=False).X
    codes = np.unique(table["emotion"].to_numpy(str), return_inverse=True)[1]
    subjects = table["subject"].to_numpy(str)
    margins = np.empty((len(X), 10))
    for train_clips, test in LeaveOneGroupOut().split(X, groups=subjects):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # fewer rows than 100 are not zero
            pipeline = microexpr.make_classifier(100).fit(X[train_clips], codes[train_clips])
        assert len(pipeline.classes_) == 5
        margins[test] = LinearModel.of(pipeline).margins(X[test])
    said = np.empty((len(X), 5))
    for subject in np.unique(subjects):
        test = subjects == subject
        tau = calibrated_temperature(margins[~test], codes[~test], 5, True)
        said[test] = log_probabilities(margins[test], tau, 5, True)
    scores = recogniser.about["scores"]
    assert scores["accuracy"][0] == np.mean(decision_values(margins, 5, True).argmax(axis=1) == codes)
    assert scores["accuracy"][1] <= scores["accuracy"][0] <= scores["accuracy"][2]
    assert scores["log_loss"][0] == pytest.approx(-said[np.arange(len(X)), codes].mean(), rel=1e-6)
    assert recogniser.temperature == pytest.approx(calibrated_temperature(margins, codes, 5, True), rel=1e-6)
    assert np.sum(scores["confusion"]) == 30
    assert recogniser.about["simulated"] is True
    assert recogniser.about["class_counts"] == table["emotion"].value_counts().to_dict()


@pytest.mark.parametrize(("classifier", "class_weight"), [("svm", None), ("svm", "balanced"), ("lda", None)])
def test_a_class_of_one_subject_alone(classifier, class_weight, table, store):
    """Without that subject two classes are left: one function, where the others have three."""
    y = np.where(np.arange(len(table)) % 2, "disgust", "others").astype(object)
    subjects = table["subject"].to_numpy(str)
    y[(subjects == subjects[0]) & (np.arange(len(y)) % 3 == 0)] = "rare"
    changed = table.assign(emotion=y)
    kind = {"classifier": classifier, "class_weight": class_weight}
    found = train(changed, store, **{**FEW, "n_features": "all"}, **kind)
    X = microexpr.extract(table, store, blocks=(4, 4), progress=False).X
    confusion = np.zeros((3, 3), int)
    for a, b in LeaveOneGroupOut().split(X, groups=subjects):
        fitted = microexpr.make_classifier("all", **kind).fit(X[a], y[a].astype(str))
        np.add.at(
            confusion,
            (
                np.searchsorted(found.classes, y[b].astype(str)),
                np.searchsorted(found.classes, fitted.predict(X[b])),
            ),
            1,
        )
    assert found.about["scores"]["confusion"] == confusion.tolist()
    assert np.isfinite(found.about["scores"]["log_loss"]).all()


@pytest.mark.parametrize(("classifier", "class_weight"), [("svm", None), ("svm", "balanced"), ("lda", None)])
def test_of_several_values_one_is_chosen_inside(classifier, class_weight, table, store):
    """The model's own choice against loops over the folds of all subjects, in the order given."""
    X = microexpr.extract(table, store, blocks=(4, 4), progress=False).X
    y, subjects = table["emotion"].to_numpy(str), table["subject"].to_numpy(str)
    N, Cs = [20, "all"], [1e-4, 1.0] if classifier == "svm" else [1.0]
    kind = {"classifier": classifier, "class_weight": class_weight}
    right = {}
    for n in N:
        for C in Cs:
            right[n, C] = 0
            for a, b in GroupKFold(3).split(X, groups=subjects):
                fitted = microexpr.make_classifier(n, C=C, **kind).fit(X[a], y[a])
                right[n, C] += int((fitted.predict(X[b]) == y[b]).sum())
    best = max(right, key=right.get)  # of equally good ones the first
    options = {**FEW, "n_features": N, "inner_splits": 3, "n_splits": 3, **kind}
    found = train(table, store, C=Cs if classifier == "svm" else None, **options)
    assert found.about["n_features"] == (4096 if best[0] == "all" else best[0])
    assert found.about["C"] == (best[1] if classifier == "svm" else None)
    assert found.about["chosen_from"] == len(right)
    assert found.about["scores"]["folds"] == "3 folds of the subjects"


def test_the_recipe_auto_chooses_among_poolings(table, store):
    found = train(
        table, store, recipe="auto", n_features="all", C=1.0, inner_splits=2, n_splits=2, blocks=(4, 4)
    )
    assert found.about["chosen_from"] == 3
    assert found.pooling in ("rank", "mean+rank", "energy")


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(("classifier", "class_weight"), [("svm", "balanced"), ("lda", None)])
def test_every_recipe_answers(pooling, classifier, class_weight, table, store, tmp_path):
    options = {"classifier": classifier, "class_weight": class_weight, "n_splits": 2, "n_features": "all"}
    if classifier == "lda" and pooling == "mean":
        options["n_features"] = 50
    found = train(table, store, pooling=pooling, **{**FEW, **options})
    found.save(tmp_path / "model.npz")
    answer = Recogniser.load(tmp_path / "model.npz").classify(three_clips(table)[0])
    X = microexpr.extract(table.iloc[:1], store, blocks=(4, 4), pooling=pooling, progress=False).X
    np.testing.assert_array_equal(answer.u, X[0])
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.label == max(answer.decision, key=answer.decision.get)
    weights = found.weights_by_block(answer)
    z = found.model.standardised(answer.u[None])[0, found.model.selected]
    w = found.model.class_weights(found.classes.index(answer.label))
    assert weights.shape == (4, 4)
    assert weights.sum() == pytest.approx(w @ z)


def test_what_cannot_be_trained_is_said_before_the_work(table):
    one = table[table["subject"] == table["subject"].iloc[0]]
    for wrong, words in [
        ({"recipe": "best"}, 'recipe is \'best\'; it must be "paper" or "auto"'),
        ({"pooling": "median"}, "pooling is 'median'"),
        ({"C": 0.0}, "C is 0.0; it must be positive"),
        ({"C": [1.0, 1.0]}, "several that are different"),
        ({"gamma": []}, "gamma is \\[\\]"),
        ({"n_features": 4096, "blocks": (4, 4)}, "n_features is 4096; rank pooling gives 4096 features"),
        ({"n_features": 2.5}, "n_features is 2.5"),
        ({"classifier": "lda", "C": 2.0}, "C is 2.0, the penalty of the SVM"),
        ({"classifier": "forest"}, "classifier is 'forest'"),
        ({"inner_splits": 1}, "inner_splits is 1"),
        ({"n_splits": 9}, "n_splits is 9"),
        ({"blocks": 4}, "blocks is 4"),
    ]:
        with pytest.raises(ValueError, match=words):
            train(table, **wrong)
    with pytest.raises(ValueError, match="leaving one out needs at least 2"):
        train(one)
    with pytest.raises(ValueError, match="all clips are of class"):
        train(table.assign(emotion="disgust"))
    for name in ("dataset", "subject", "emotion"):
        with pytest.raises(ValueError, match=f"table has no column {name}"):
            train(table.drop(columns=name))
        torn = table.copy()
        torn.loc[4, name] = None  # a subject who is missing would have been one of the name "nan"
        with pytest.raises(ValueError, match=f"^{name} is missing in row 4 of the table"):
            train(torn)
    with pytest.raises(ValueError, match="the table holds no clip"):
        train(table[:0])


def test_a_clip_that_cannot_be_read_stops_no_other(root, table, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(root, broken)
    frames = microexpr.read_casme2(broken)["frames"][3]
    frames[2].write_bytes(frames[2].read_bytes()[:200])
    with pytest.warns(UserWarning, match="1 clip could not be described"):
        found = train(microexpr.read_casme2(broken), **FEW)
    assert found.about["clips"] == 29
    assert found.about["notes"] == ["1 clips could not be read"]


def test_two_data_sets_have_different_people(table, store):
    both = pd.concat([table, table.assign(dataset="other")], ignore_index=True)
    both.attrs = dict(table.attrs)
    found = train(both, **{**FEW, "n_splits": 2})
    assert found.about["subjects"] == 10
    assert found.about["datasets"] == ["CASME II", "other"]


# -- classification ------------------------------------------------------------------------------------------


def test_a_clip_is_the_same_however_it_is_given(recogniser, file, table, tmp_path):
    again = Recogniser.load(file)
    for k, paths in enumerate(three_clips(table)):
        (tmp_path / str(k)).mkdir()  # the data set's folder has frames before the onset, too
        for path in paths:
            shutil.copy(path, tmp_path / str(k))
        answers = [
            recogniser.classify(paths),
            again.classify(paths),
            again.classify(tmp_path / str(k)),
            again.classify(read_frames(paths)),
        ]
        assert len({json.dumps(answer.to_json()) for answer in answers}) == 1
        assert len({answer.u.tobytes() for answer in answers}) == 1


def test_frames_of_another_size_are_resized(recogniser, table):
    large = read_frames(three_clips(table)[0], (200, 180))
    assert recogniser.classify(large).frames.shape[1:] == (128, 128)


@pytest.mark.parametrize(
    ("clip", "error", "words"),
    [
        (np.zeros((1, 64, 64), np.uint8), ValueError, "has 1 frame"),
        (np.zeros((64, 64), np.uint8), ValueError, "frames have shape"),
        (np.zeros((5, 64, 64, 3), np.uint8), ValueError, "frames have shape"),
        (np.zeros((64, 64, 3), np.uint8), ValueError, "a picture in colour"),
        ([np.zeros((64, 64), np.uint8), np.zeros((64, 60), np.uint8)], ValueError, "of different sizes"),
        (np.zeros((0, 64, 64), np.uint8), ValueError, "no frames"),
        (np.full((5, 64, 64), np.nan), TypeError, "uint8"),
        (np.ma.zeros((5, 64, 64), np.uint8), TypeError, "mask"),
        ([*np.ma.zeros((5, 64, 64), np.uint8)], TypeError, "mask"),
        ("no such clip", FileNotFoundError, "no such clip"),
    ],
)
def test_what_is_no_clip_is_refused(clip, error, words, recogniser):
    with pytest.raises(error, match=words):
        recogniser.classify(clip)


def test_one_bad_clip_stops_no_other(recogniser, table, tmp_path):
    (tmp_path / "empty").mkdir()
    clips = [three_clips(table)[0], tmp_path / "empty", three_clips(table)[1]]
    first, second, third = recogniser.classify_all(clips, progress=False)
    assert isinstance(second, Exception)
    assert "no images" in str(second)
    assert first.label in recogniser.classes
    assert third.label in recogniser.classes


def test_what_is_unlike_anything_trained_on_is_said_to_be(recogniser, table, store):
    rng = np.random.default_rng(0)
    face = recogniser.classify(three_clips(table)[0]).frames
    noise = rng.integers(0, 256, (7, 128, 128), dtype=np.uint8)
    still = np.repeat(face[:1], 7, axis=0)
    stripes = np.tile((np.arange(128) % 16 * 15).astype(np.uint8), (7, 128, 1)) + np.arange(7)[:, None, None]
    assert "its mean frame is" in recogniser.classify(noise).unlike
    assert "its standardised features have size" in recogniser.classify(still).unlike
    assert "its mean frame is" in recogniser.classify(stripes.astype(np.uint8)).unlike
    new = table["subject"] == table["subject"].iloc[0]
    others = train(table[~new], store, **FEW)
    like = [not answer.unlike for answer in others.classify_all(table["frames"][new], progress=False)]
    assert np.mean(like) > 0.5


def test_clips_are_cropped_as_those_trained_on(videos, tmp_path):
    for subject in "abc":
        for clip, emotion in enumerate(("surprise", "disgust")):
            folder = tmp_path / "raw" / subject / str(clip)
            folder.mkdir(parents=True)
            for t, frame in enumerate(microexpr.read_clip(videos.face, size=None, face=False)[::12]):
                shown = np.roll(frame, 3 * clip, axis=0)[20:250, 180:400]
                Image.fromarray(shown).save(folder / f"{t}.png")
            with open(tmp_path / "manifest.csv", "a") as manifest:
                if subject == "a" and clip == 0:
                    manifest.write("folder,subject,emotion\n")
                manifest.write(f"raw/{subject}/{clip},{subject},{emotion}\n")
    table = microexpr.read_dataset("manifest", tmp_path / "manifest.csv")
    options = {"blocks": (2, 2), "n_features": "all", "progress": False}
    found = train(table, parameters={"crop": "face", "size": (48, 48)}, **options)
    raw = read_frames(table["frames"][0], None)
    expected = crop_frames(raw, size=(48, 48), eyes=False)[0]
    for clip in (table["frames"][0], table["frames"][0][0].parent):
        np.testing.assert_array_equal(found.classify(clip).frames, expected)
    np.testing.assert_array_equal(found.classify(expected).frames, expected)  # frames are faces already
    assert found.classify(table["frames"][0][0].parent, face=False).frames.shape[1:] == (48, 48)
    with pytest.raises(ValueError, match='crop is \'head\'; it must be "face", "eyes" or None'):
        microexpr.extract(table, crop="head")


# -- the command line ----------------------------------------------------------------------------------------


def test_three_commands(root, table, recogniser, tmp_path, capsys):
    model, answers = tmp_path / "model.npz", tmp_path / "answers.csv"
    options = ["--blocks", "4", "4", "--n-features", "100", "--jobs", "2"]
    assert main(["train", "casme2", str(root), "--classes", "all", "--model", str(model), *options]) == 0
    said = capsys.readouterr().out
    assert "5 classes, trained on 30 clips of 5 subjects (CASME II, simulated clips)" in said
    assert f"wrote {model}" in said
    assert "leave one subject out" in said
    assert Recogniser.load(model).about == recogniser.about

    clip = table["frames"][0][0].parent
    assert main(["classify", str(model), str(clip), "--csv", str(answers)]) == 0
    said = capsys.readouterr().out
    answer = recogniser.classify(clip)
    assert f"{clip}  {answer.label}" in said
    assert f"{answer.probability:.2f}" in said
    with open(answers, newline="") as text:
        (row,) = csv.DictReader(text)
    assert row["class"] == answer.label
    assert row["problem"] == ""
    assert float(row["p surprise"]) == answer.probabilities["surprise"]

    assert main(["classify", str(model), str(clip.parent), "--json"]) == 0  # a folder of clips
    content = json.loads(capsys.readouterr().out)
    assert len(content["clips"]) == sum(path.is_dir() for path in clip.parent.iterdir())
    assert content["clips"][0]["class"] == answer.label
    assert content["model"]["simulated"] is True

    assert main(["classify", str(model), "casme2", str(root)]) == 0  # as coded
    said = capsys.readouterr().out
    right = sum(
        answer.label == emotion
        for answer, emotion in zip(recogniser.classify_all(table["frames"]), table["emotion"], strict=True)
    )
    assert f"as coded: {right} of 30 clips" in said


def test_bad_clips_on_the_command_line(file, table, tmp_path, capsys):
    clip = table["frames"][0][0].parent
    (tmp_path / "notes.txt").write_text("no clip")
    assert main(["classify", str(file), str(clip), str(tmp_path / "notes.txt")]) == 1
    said = capsys.readouterr().out
    assert "notes.txt could not be classified" in said
    assert "1 of 2 clips classified" in said
    for arguments, words in [
        ([str(file), str(tmp_path)], "holds no images and no videos"),
        ([str(file), str(tmp_path / "absent")], "no such file or folder"),
        ([str(tmp_path / "absent.npz"), str(clip)], "no such file; `microexpr train` writes one"),
        ([str(tmp_path / "notes.txt"), str(clip)], "is not a model of `microexpr train`"),
        ([str(file), str(clip), "--classes", "all"], "--classes is of a data set"),
        ([str(file), str(clip), "--sheet", "x"], "--sheet is of a data set"),
        ([str(file), str(clip), "--csv", str(tmp_path)], "is a folder; --csv is the file to write"),
    ]:
        assert main(["classify", *arguments]) == 2
        assert words in capsys.readouterr().err
    assert main(["train", "casme2", str(tmp_path), "--model", str(tmp_path)]) == 2
    assert "--model is the file to write" in capsys.readouterr().err


def test_a_folder_of_clips_with_other_things_in_it(file, table, tmp_path, capsys):
    folder = tmp_path / "clips"
    for name in ("b", "a/deep"):
        (folder / name).mkdir(parents=True)
        for path in three_clips(table)[0]:
            shutil.copy(path, folder / name)
    (folder / "empty").mkdir()
    (folder / "notes").mkdir()
    (folder / "notes" / "read me.txt").write_text("no clip")
    (folder / "a" / "back").symlink_to(folder)
    (folder / "broken.mp4").write_bytes(b"no video")
    assert main(["classify", str(file), str(folder), "--json"]) == 1
    clips = json.loads(capsys.readouterr().out)["clips"]
    assert [clip["clip"] for clip in clips] == [str(folder / name) for name in ("a/deep", "b", "broken.mp4")]
    assert [clip["problem"] is None for clip in clips] == [True, True, False]
