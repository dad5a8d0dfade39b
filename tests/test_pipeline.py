"""The orchestrator: that it is the three packages in order, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import ltogp
import rankpool
from microexpr import describe, make_classifier


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    still = rng.integers(0, 200, (64, 64))
    return np.stack([still + (t * 3) * (np.arange(64) > 32) for t in range(12)]).astype(np.uint8)


def test_describe_is_rank_pooling_of_histograms(frames):
    V = ltogp.histogram(frames, (4, 4), radius=2, mode="reflect")
    u = describe(frames, blocks=(4, 4), radius=2, mode="reflect", C=0.5)
    np.testing.assert_allclose(u, rankpool.rank_pool(V, 0.5), rtol=1e-9, atol=1e-12)


def test_scores_rise_with_time(frames):
    V = ltogp.histogram(np.unique(frames, axis=0))
    scores = V @ describe(np.unique(frames, axis=0))
    assert np.all(np.diff(scores) > 0)


def test_reversed_clip_turns_the_representation_round(frames):
    np.testing.assert_allclose(describe(frames[::-1]), -describe(frames), atol=1e-6)


def test_memory_mapped_and_read_only_frames(frames, tmp_path):
    np.save(tmp_path / "frames.npy", frames)
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    np.testing.assert_array_equal(describe(mapped), describe(frames))


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda f: f[0], ValueError, r"shape \(64, 64\); they must be grey"),
        (lambda f: np.stack([f] * 3, axis=-1), ValueError, r"they must be grey, \(T, height, width\)"),
        (lambda f: f[:1], ValueError, "1 frame"),
        (lambda f: f[:0], ValueError, "0 frame"),
        (
            lambda f: np.stack([f[0]] * 3, axis=-1),
            ValueError,
            r"^frames have shape \(64, 64, 3\).* in colour",
        ),
        (lambda f: [f[0], f[1][:20]], ValueError, "^frames are of different sizes"),
        (lambda f: ["1.png", "2.png"], TypeError, r"^frames are paths \('1.png'\); read them with"),
        (lambda f: Path("clip.mp4"), TypeError, "^frames are paths"),
        (lambda f: np.ma.masked_array(f, f > 9), TypeError, "^frames is a masked array"),
        (lambda f: list(np.ma.masked_array(f, f > 9)), TypeError, "^frames is a masked array"),
        (lambda f: f.astype(object), TypeError, "^frames .*dtype object"),
        (lambda f: np.where(f > 9, np.inf, f), ValueError, "^frames holds inf at frame 0"),
        (lambda f: None, ValueError, r"^frames have shape \(\)"),
        (lambda f: np.where(np.arange(64) == 7, np.nan, f), ValueError, "nan at frame 0, row 0, column 7"),
        (lambda f: f.astype(complex), TypeError, "complex"),
    ],
)
def test_bad_frames(frames, damage, error, message):
    with pytest.raises(error, match=message):
        describe(damage(frames))


def test_histograms_of_another_type_are_refused_by_their_name(frames):
    with pytest.raises(TypeError, match=r"^histograms is float64"):
        describe(frames, blocks=(2, 2), histograms=np.zeros((12, 1024)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_features": 0}, ValueError, "^n_features is 0"),
        ({"n_features": 1.5}, ValueError, "^n_features is 1.5"),
        ({"n_features": np.nan}, ValueError, "^n_features is nan"),
        ({"n_features": True}, ValueError, "^n_features is True"),
        ({"n_features": [3]}, ValueError, r"^n_features is \[3\]"),
        ({"gamma": 0}, ValueError, "^gamma is 0"),
        ({"gamma": np.inf}, ValueError, "^gamma is inf"),
        ({"C": np.nan}, ValueError, "^C is nan"),
        ({"C": "1"}, ValueError, "^C is '1'"),
        ({"n_features": "all", "solvr": "irls"}, TypeError, "solvr"),
    ],
)
def test_wrong_options_of_the_classifier(options, error, message):
    with pytest.raises(error, match=message):
        make_classifier(**options)


def test_classifier_steps():
    classifier = make_classifier(n_features=20, gamma=2.0, C=3.0)
    assert list(classifier.named_steps) == ["scale", "select", "svm"]
    assert classifier["select"].n_features_to_select == 20
    assert classifier["select"].gamma == 2.0
    assert classifier["svm"].kernel == "linear"
    assert classifier["svm"].C == 3.0
    assert make_classifier("all")["select"] == "passthrough"
    with pytest.raises(ValueError, match="n_features is 'most'; it must be a number, None or \"all\""):
        make_classifier("most")


def test_classifier_in_a_grid_search():
    rng = np.random.default_rng(0)
    y = np.repeat(["happiness", "others", "surprise"], 12)
    X = rng.standard_normal((36, 30))
    X[y == "happiness", :3] += 2
    X[y == "surprise", 3:6] += 2
    search = GridSearchCV(
        clone(make_classifier(6)), {"select__n_features_to_select": [3, 6], "svm__C": [1, 10]}
    )
    assert search.fit(X, y).best_score_ > 0.7
