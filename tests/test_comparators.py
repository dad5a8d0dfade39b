"""The methods beside ours: against loops or a case whose answer is known, and the table that they make."""

import argparse
import importlib
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib.externals.loky import get_reusable_executor

from microexpr import simulate

ROOT = Path(__file__).parents[1]
# They need PyTorch, TensorLy and PyDMD, which the tests do not bring.
HEAVY = {"cnn_lstm", "mpca", "sparse_sampling"}


@pytest.fixture(scope="module")
def bench():
    """The folder of the benchmarks on Python's path, as `python bench/compare.py` has it."""
    sys.path.insert(0, str(ROOT / "bench"))
    get_reusable_executor().shutdown(wait=True)  # workers of earlier tests know nothing of that path
    yield importlib.import_module("compare")
    sys.path.remove(str(ROOT / "bench"))


@pytest.fixture(scope="module")
def module(bench):
    return lambda name: importlib.import_module(f"comparators.{name}")


@pytest.fixture(scope="module")
def moving():
    """A textured square that moves right by two pixels in twelve frames, then stays."""
    texture = np.random.default_rng(0).integers(0, 256, (96, 96)).astype(float)
    for axis in (0, 1):
        texture = sum(np.roll(texture, k, axis) for k in range(-3, 4)) / 7
    texture = 255 * (texture - texture.min()) / np.ptp(texture)
    x = np.arange(96)
    shifts = [2 * min(t, 11) / 11 for t in range(16)]
    frames = [np.stack([np.interp(x - shift, x, row) for row in texture]) for shift in shifts]
    return np.round(frames).astype(np.uint8)


def test_every_method_gives_one_shape_for_clips_of_any_length(bench, module, moving):
    names = set(importlib.import_module("comparators").NAMES) - HEAVY
    for name in sorted(names):
        describe = module(name).COMPARATOR.describe
        long, short = np.asarray(describe(moving)), np.asarray(describe(moving[:9]))
        assert long.shape == short.shape, name
        assert np.isfinite(long).all(), name
        assert not np.array_equal(long, short), name
        np.testing.assert_array_equal(long, describe(moving), err_msg=name)


def test_lbp_sip_against_loops(module):
    frames = np.random.default_rng(0).integers(0, 4, (4, 10, 11), dtype=np.uint8)
    T, height, width = frames.shape
    counts = [np.zeros((25, 16)), np.zeros((25, 4))]
    for t in range(T):
        for y in range(height):
            for x in range(width):

                def at(dt, dy, dx, t=t, y=y, x=x):
                    place = (
                        np.clip(t + dt, 0, T - 1),
                        np.clip(y + dy, 0, height - 1),
                        np.clip(x + dx, 0, width - 1),
                    )
                    return frames[place]

                block = (y * 5 // height) * 5 + x * 5 // width
                space = [at(0, 0, 1), at(0, -1, 0), at(0, 0, -1), at(0, 1, 0)]
                time = [at(-1, 0, 0), at(1, 0, 0)]
                for part, neighbours in zip(counts, (space, time), strict=True):
                    part[block, sum(int(n >= frames[t, y, x]) << k for k, n in enumerate(neighbours))] += 1
    expected = np.concatenate([part / part.sum(axis=1, keepdims=True) for part in counts], axis=1).ravel()
    np.testing.assert_allclose(module("lbp_sip").describe(frames), expected)


def test_higo_of_a_ramp_is_one_orientation(module):
    ramp = np.broadcast_to(np.arange(48, dtype=np.uint8) * 2, (6, 48, 48))  # rises along x
    histograms = module("higo_top").describe(ramp).reshape(3, 2, 36, 8)
    np.testing.assert_allclose(histograms[:2, ..., 0], 1)  # (x, y) and (x, t): straight along x
    np.testing.assert_array_equal(histograms[2], 0)  # (y, t): no gradient, no vote


def test_flow_methods_see_which_way_it_moves(module, moving):
    flow = module("flow").describe(moving).reshape(24, 24, 2)[4:20, 4:20]
    np.testing.assert_allclose(flow[..., 0].mean(), 2, atol=0.3)
    np.testing.assert_allclose(flow[..., 1].mean(), 0, atol=0.3)
    mdmo = module("mdmo").describe(moving)
    x, y = mdmo[36:].reshape(36, 2).T
    assert np.median(x) > 5 * abs(np.median(y))
    np.testing.assert_allclose(mdmo[:36], np.hypot(x, y))
    woof = module("bi_woof").describe(moving).reshape(64, 8).sum(axis=0)
    assert set(np.argsort(woof)[-2:]) == {0, 7}  # on either side of straight right


def test_mdmo_has_a_bin_for_what_goes_right_and_barely_up(module):
    """In float32 the remainder of a tiny negative angle is a whole turn."""
    flow = np.tile(np.float32([1.0, 1.0]), (36, 36, 1))
    flow[..., 1] = np.nextafter(-np.tan(np.pi / 8), 0, dtype=np.float32)
    for _ in range(20):
        np.testing.assert_allclose(
            module("mdmo").main_direction(flow), np.tile(flow[0, 0], (36, 1)), rtol=1e-6
        )
        flow[..., 1] = np.nextafter(flow[..., 1], np.float32(-1))


def test_bi_woof_of_a_still_clip_is_nothing(module, moving):
    still = np.repeat(moving[:1], 5, axis=0)
    np.testing.assert_allclose(module("bi_woof").describe(still), 0, atol=1e-12)


def test_sparse_part_finds_what_was_planted(module):
    rng = np.random.default_rng(0)
    low = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 400))
    sparse = np.where(rng.random((60, 400)) < 0.05, rng.choice([-5.0, 5.0], (60, 400)), 0.0)
    found = module("distlbp_rip").sparse_part(low + sparse)
    np.testing.assert_allclose(found, sparse, atol=1e-3)
    np.testing.assert_array_equal(module("distlbp_rip").sparse_part(np.zeros((3, 10))), 0)


def test_laplacian_score_against_its_formula(module):
    from sklearn.neighbors import kneighbors_graph

    X = np.random.default_rng(0).standard_normal((20, 12))
    X[:, 3] = 1.0  # constant: never kept
    S = kneighbors_graph(X, 5).toarray()
    S = np.maximum(S, S.T)
    D = np.diag(S.sum(axis=1))
    ones, scores = np.ones(20), []
    for f in X.T:
        f = f - (f @ D @ ones) / (ones @ D @ ones)
        scores.append(f @ (D - S) @ f / (f @ D @ f) if np.any(np.abs(f) > 1e-12) else np.inf)
    kept = module("distlbp_rip").LaplacianScore(4).fit(X).kept_
    np.testing.assert_array_equal(kept, np.sort(np.argsort(scores)[:4]))


@pytest.fixture
def clips(bench, moving):
    """Clips of six people who move right or stay, told apart by all that sees motion."""
    rng = np.random.default_rng(0)
    frames, rows = [], []
    for subject in range(6):
        for k in range(4):
            moves = k % 2
            clip = moving if moves else np.repeat(moving[:1], 16, axis=0)
            noisy = clip[:, :64, :64] + rng.integers(0, 3, (16, 64, 64))
            frames.append(np.clip(noisy, 0, 255).astype(np.uint8))
            rows.append(("made", f"s{subject}", f"{subject}_{k}", ["still", "moving"][moves]))
    table = pd.DataFrame(rows, columns=["dataset", "subject", "clip", "emotion"])
    return bench.Clips(table, frames)


def test_the_table_of_results(bench, clips):
    results = {name: bench.run(name, clips, f"key of {name}") for name in ("paper", "flow")}
    for name, result in results.items():
        assert result.key == f"key of {name}"
        assert len(result.predicted) == 24
        assert bench.Result(**json.loads(json.dumps(result._asdict()))) == result
    assert list(results["flow"].predicted) == list(clips.table["emotion"])
    table = bench.table_of(results, clips)
    assert "| optical flow, raw (MEB (Varanka et al.)) | 100.0 [100.0, 100.0] |" in table
    assert "24 clips of 6 subjects; always the largest class: 50.0 %" in table


def test_a_stored_result_holds_for_these_clips_only(bench, clips):
    of_clips = bench.digest_of(clips)
    key = bench.key_of("flow", of_clips)
    assert key == bench.key_of("flow", bench.digest_of(clips))
    assert key != bench.key_of("mdmo", of_clips)
    changed = clips._replace(frames=[*clips.frames[:-1], 255 - clips.frames[-1]])
    assert key != bench.key_of("flow", bench.digest_of(changed))


def test_a_changed_file_is_noticed_and_seeds_have_clips_of_their_own(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(
        bench.microexpr, "simulate", partial(simulate, subjects=2, clips=4, frames=(4, 5), progress=False)
    )
    options = argparse.Namespace(dataset="simulated", out=tmp_path, difficulty="easy", faces=None, seed=0)
    (tmp_path / "clips-easy-0-drawn.part").mkdir()
    (tmp_path / "clips-easy-0-drawn.part" / "left.txt").touch()  # by a run that was stopped
    clips = bench.clips_of(options)
    before = bench.digest_of(clips)
    assert before == bench.digest_of(bench.clips_of(options))
    options.seed = 1
    assert before != bench.digest_of(bench.clips_of(options))
    image = Path(clips.frames[0][1])
    image.write_bytes(Path(clips.frames[0][0]).read_bytes())
    assert before != bench.digest_of(clips)


def test_what_the_command_line_refuses(bench, capsys):
    with pytest.raises(SystemExit):
        bench.main(["casme2"])
    assert "needs the folder" in capsys.readouterr().err
