"""The poolings against NumPy's own words for them, and one from another, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import ltogp
import rankpool
from microexpr import Features, describe, extract, read_casme2
from microexpr._options import POOLINGS as ON_COMMAND_LINE
from microexpr.cli import main
from microexpr.pooling import POOLINGS, derive, sufficient
from microexpr.store import FeatureStore, StoreError

SIZE = (24, 24)


def grey(frames):
    return frames[:, ::3, ::3].reshape(len(frames), -1).astype(float)


GREY = Features(grey, blocks=(4, 2))


@pytest.fixture(scope="module")
def frames():
    """The left moves, the right half stays as it is, two pixels of its neighbourhood included."""
    rng = np.random.default_rng(0)
    still = rng.integers(0, 200, (24, 24))
    moving = rng.integers(0, 30, (9, 24, 24)) + 3 * np.arange(9)[:, None, None]
    return np.where(np.arange(24) < 10, still + moving, still).astype(np.uint8)


@pytest.fixture(scope="module")
def table(simulated):
    return read_casme2(simulated(subjects=2, clips=5, frames=(4, 6), size=SIZE))


def energies(u, n_blocks):
    """Slowly: a block at a time."""
    lengths = [np.sqrt(sum(float(x) ** 2 for x in block)) for block in np.split(u, n_blocks)]
    if max(lengths) == 0:
        return np.full(n_blocks, np.log(2.0**-52))
    return np.array([np.log(max(length, 1e-3 * max(lengths))) for length in lengths])


def test_against_numpy(frames):
    V = ltogp.histogram(frames, (4, 2)).astype(float)
    u = rankpool.rank_pool(V)
    np.testing.assert_array_equal(describe(frames, blocks=(4, 2), pooling="mean"), V.sum(axis=0) / len(V))
    both = describe(frames, blocks=(4, 2), pooling="mean+rank")
    np.testing.assert_array_equal(both, np.concatenate([V.sum(axis=0) / len(V), u]))
    energy = describe(frames, blocks=(4, 2), pooling="energy")
    np.testing.assert_allclose(energy, energies(u, 8), rtol=1e-12)
    np.testing.assert_allclose(energy[1::2], energy.max() + np.log(1e-3))  # the half that stays as it is
    other = describe(frames, features=GREY, pooling="energy", C=0.01, loss="squared_hinge")
    u = rankpool.rank_pool(grey(frames), 0.01, loss="squared_hinge")
    np.testing.assert_allclose(other, energies(u, 8), rtol=1e-12)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_full_output(frames, pooling):
    clip = describe(frames, features=GREY, pooling=pooling, full_output=True)
    np.testing.assert_array_equal(clip.u, describe(frames, features=GREY, pooling=pooling))
    ranked = describe(frames, features=GREY, full_output=True)
    np.testing.assert_array_equal(clip.V, ranked.V)
    if pooling == "mean":
        assert np.isnan(clip.gap)
        assert clip.method == "mean"
    else:
        assert (clip.gap, clip.method) == (ranked.gap, ranked.method)
    if clip.u.shape != ranked.u.shape:
        with pytest.raises(ValueError, match=r"of 64 features: frames have no scores"):
            _ = clip.scores


def test_a_clip_that_stays_as_it_is(frames):
    still = np.repeat(frames[:1], 5, axis=0)
    for features in (None, GREY):
        np.testing.assert_array_equal(
            describe(still, features=features, pooling="energy"),
            np.full(64 if not features else 8, np.log(2.0**-52)),
        )
        both = describe(still, features=features, pooling="mean+rank")
        np.testing.assert_array_equal(both, describe(still[:2], features=features, pooling="mean+rank"))


U = arrays(
    np.float64, (3, 12), elements=st.floats(-1e3, 1e3, allow_subnormal=False).map(lambda x: round(x, 3))
)


@given(U, st.sampled_from([2.0**-900, 2.0**-40, 8.0, 2.0**900]))
def test_energy_of_any_vector(X, scale):
    """Finite, against the slow one; scaled with u, moved with its blocks, blind to order and sign inside."""
    energy = derive(X, "rank", "energy", (2, 2))
    assert np.isfinite(energy).all()
    np.testing.assert_allclose(energy, [energies(u, 4) for u in X], rtol=1e-9, atol=1e-9)
    moves = X.any(axis=1)
    scaled = derive(X * scale, "rank", "energy", (2, 2))
    np.testing.assert_allclose(scaled[moves], energy[moves] + np.log(scale), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(scaled[~moves], energy[~moves])
    order = [2, 0, 3, 1]
    moved = X.reshape(3, 4, 3)[:, order].reshape(3, 12)
    np.testing.assert_array_equal(derive(moved, "rank", "energy", (2, 2)), energy[:, order])
    turned = -X.reshape(3, 4, 3)[..., ::-1].reshape(3, 12)
    np.testing.assert_allclose(derive(turned, "rank", "energy", (4, 1)), energy, rtol=1e-12, atol=1e-12)


def test_time_reversed(frames):
    for pooling in ("mean", "energy"):
        np.testing.assert_allclose(
            describe(frames[::-1], features=GREY, pooling=pooling),
            describe(frames, features=GREY, pooling=pooling),
            rtol=1e-4,
        )


@pytest.mark.parametrize("n", [1, 2, 7, 40])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_however_many_clips_are_derived_at_once(n, pooling):
    X = np.random.default_rng(n).standard_normal((n, 2 * 16 * 77))
    whole = derive(X, "mean+rank", pooling, (4, 4))
    for row, x in zip(whole, X, strict=True):
        np.testing.assert_array_equal(row, derive(x[None], "mean+rank", pooling, (4, 4))[0])
        np.testing.assert_array_equal(
            row, derive(np.asfortranarray(x[None]), "mean+rank", pooling, (4, 4))[0]
        )
    assert whole.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 8)), "rank", "mean"), "^the pooling mean cannot be had of rank"),
        ((np.ones((2, 8)), "energy", "rank"), "^the pooling rank cannot be had of energy"),
        ((np.ones((2, 8)), "max", "rank"), "^pooling is 'max'"),
        ((np.ones((2, 8)), "rank", ""), "^pooling is ''"),
        ((np.ones((2, 7)), "mean+rank", "mean"), "^X has 7 columns"),
        (
            (np.ones((2, 7)), "rank", "energy", (2, 1)),
            "^u has 7 entries, not as many for each of 2 x 1 blocks",
        ),
        ((np.ones((2, 8)), "rank", "energy"), "needs to know the blocks"),
        ((np.ones(8), "rank", "energy", (2, 1)), r"^X has shape \(8,\)"),
        ((np.array([[1.0, 2], [3, np.nan]]), "rank", "energy", (2, 1)), "^X holds NaN or infinity in row 1"),
        ((np.array([[np.inf, 2]]), "rank", "rank"), "^X holds NaN or infinity in row 0"),
    ],
)
def test_what_cannot_be_derived(arguments, message):
    with pytest.raises(ValueError, match=message):
        derive(*arguments)


def test_masked_arrays_are_refused():
    with pytest.raises(TypeError, match="masked"):
        derive(np.ma.masked_equal(np.ones((2, 4)), 1), "rank", "energy", (2, 1))


def test_what_is_refused(frames):
    with pytest.raises(
        ValueError, match=r"energy needs to know the blocks of features grey: give microexpr.Feat"
    ):
        describe(frames, features=grey, pooling="energy")
    with pytest.raises(ValueError, match=r"^u has 64 entries, not as many for each of 5 x 1 blocks"):
        describe(frames, features=Features(grey, blocks=(5, 1)), pooling="energy")
    for option in ({"C": 2.0}, {"loss": "squared_hinge"}, {"tol": 1e-3}):
        with pytest.raises(ValueError, match=f"^{next(iter(option))} is an option of rank pooling"):
            describe(frames, pooling="mean", **option)
        describe(frames, blocks=(1, 1), pooling="mean+rank", **option)
    with pytest.raises(
        ValueError, match=r'^pooling is \'max\'; it must be "rank", "mean", "mean\+rank", "energy" or'
    ):
        describe(frames, pooling="max")
    huge = Features(lambda frames: np.full((len(frames), 4), 1.7e308))
    with pytest.raises(ValueError, match=r"^pooling mean gave NaN or infinity"), np.errstate(over="ignore"):
        describe(frames, features=huge, pooling="mean")


@pytest.mark.parametrize("kind", [{"blocks": (2, 3)}, {"features": GREY}])
def test_one_store_holds_them_all(table, tmp_path, kind):
    path = tmp_path / "x.zarr"
    first = extract(table[:3], path, size=SIZE, pooling="mean+rank", **kind)
    for pooling in POOLINGS[::-1]:
        kept = extract(table, path, size=SIZE, pooling=pooling, **kind)
        memory = extract(table, size=SIZE, pooling=pooling, **kind)
        np.testing.assert_array_equal(kept.X, memory.X)
        assert kept.n_skipped == (3 if pooling == "energy" else 5)  # the first adds what is missing
    assert first.store.parameters["pooling"] == FeatureStore(path).parameters["pooling"] == "mean+rank"
    ranked = tmp_path / "rank.zarr"
    assert "pooling" not in extract(table, ranked, size=SIZE, **kind).store.parameters
    np.testing.assert_array_equal(
        extract(table, ranked, size=SIZE, pooling="energy", **kind).X,
        extract(table, size=SIZE, pooling="energy", **kind).X,
    )
    with pytest.raises(
        StoreError, match=r"was made with pooling='rank', not pooling='mean\+rank'; give another"
    ):
        extract(table, ranked, size=SIZE, pooling="mean+rank", **kind)
    with pytest.raises(ValueError, match="blocks of features grey"):
        extract(table, path, size=SIZE, features=grey, pooling="energy")
    with pytest.raises(StoreError, match="pooling="):
        extract(table, path, size=SIZE, pooling=np.median, **kind)


def test_a_broken_clip_stops_no_other(table, tmp_path):
    def moody(frames):
        return grey(frames) * (np.nan if len(frames) == 4 else 1)

    lengths = np.array([len(frames) for frames in table["frames"]])
    assert 0 < (lengths == 4).sum() < len(table)
    clips = extract(
        table, tmp_path / "x.zarr", size=SIZE, features=Features(moody, blocks=(4, 2)), pooling="energy"
    )
    assert clips.X.shape == ((lengths != 4).sum(), 8)
    assert all("NaN" in str(problem) for problem in clips.problems)


def test_what_to_extract():
    for poolings, one in [
        (("rank",), "rank"),
        (("rank", "energy"), "rank"),
        (("mean",), "mean"),
        (("mean", "rank"), "mean+rank"),
        (POOLINGS, "mean+rank"),
        (("energy",), "energy"),
    ]:
        assert sufficient(poolings) == one


def test_the_command(table, tmp_path, capsys):
    assert ON_COMMAND_LINE == POOLINGS
    root = table["frames"][0][0].parents[3]
    store = tmp_path / "x.zarr"
    command = ["extract", "casme2", str(root), "--store", str(store), "--blocks", "2", "2", "--jobs", "1"]
    assert main([*command, "--pooling", "mean+rank"]) == 0
    assert FeatureStore(store).load((2, 2)).shape == (5, 2048)
    capsys.readouterr()
    assert main(command) == 0  # the paper's can be had of it
    assert "5 skipped" in capsys.readouterr().out
