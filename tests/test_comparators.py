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

import ltogp
import rankpool
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


def both_steps(bench, name, clips, out, left_out=()):
    """What compare.py has of a method, its steps done in this process."""
    found = []
    for step, kind in (("described", bench.Described), ("classified", bench.Result)):
        bench.run_step(step, name, clips, out, left_out)
        of_step = json.loads((out / f"{name}.part").read_text())
        found.append(kind(key="", megabytes=1.0, **of_step))
    return found


def test_the_table_of_results(bench, clips, tmp_path):
    done = {name: both_steps(bench, name, clips, tmp_path) for name in ("paper", "flow")}
    described, results = ({name: both[k] for name, both in done.items()} for k in (0, 1))
    assert not any(of_method.failures for of_method in described.values())
    assert list(results["flow"].predicted) == list(clips.table["emotion"])
    rows = bench.table_of(results, described, clips.table)
    assert rows[3].startswith("| optical flow, raw | 100.0 [100.0, 100.0] |")
    assert rows[3].endswith("| MEB (Varanka et al.) |")
    assert "66.00 (CASME II)" in rows[2]
    ours = np.mean(np.array(results["paper"].predicted) == clips.table["emotion"])
    if ours < 1:  # by how much is not the point here
        assert f"optical flow, raw ({100 * (1 - ours):+.1f})" in "\n".join(rows)


def test_who_is_ahead_is_said(bench):
    score_table = importlib.import_module("score_table")
    y = np.tile(["a", "b"], 20)
    table = pd.DataFrame({"emotion": y, "subject": np.repeat(np.arange(10).astype(str), 4)})
    flipped = np.where(y == "a", "b", "a")
    predicted = {"first": np.where(np.arange(40) % 4 < 2, y, "a"), "right": y, "wrong": flipped}
    rows = {name: score_table.Row(name, values) for name, values in predicted.items()}
    lines = score_table.score_table(rows, table, "first")
    assert lines[-3:] == ["- ahead: right (+25.0)", "- behind: wrong (-75.0)", "- not told apart: none"]
    assert lines[2] == ("| first | 75.0 [75.0, 75.0] | 73.3 [73.3, 73.3] | 75.0 [75.0, 75.0] |  |  |")
    assert lines[3].startswith("| right | 100.0 [100.0, 100.0] | 100.0 [100.0, 100.0] |")
    assert "+25.0 [+25.0, +25.0] | 0.002 |" in lines[3]


def test_a_clip_that_cannot_be_described_is_left_out_of_every_row(
    bench, clips, tmp_path, capsys, monkeypatch
):
    frames = [*clips.frames]
    frames[2] = frames[2][:1]  # a gradient in time needs two
    frames[5] = [tmp_path / "gone.jpg"]
    damaged = clips._replace(frames=frames)
    monkeypatch.setattr(bench, "clips_of", lambda options: damaged)

    def here(command):  # instead of a process of its own, which knows nothing of these clips
        return bench.main(command[2:]), 1.0

    monkeypatch.setattr(bench, "watched", here)
    page = tmp_path / "page.md"
    page.write_text("<!-- comparison made -->\n<!-- end of comparison -->\n")
    arguments = ["casme2", "FOLDER", "--only", "flow", "higo_top", "--jobs", "1"]
    arguments += ["--out", str(tmp_path / "out"), "--doc", str(page), "--place", "made"]
    assert bench.main(arguments) == 0
    said = capsys.readouterr().out
    assert "22 clips of 6 subjects" in said
    assert "Left out of every row: s0/0_2 (higo_top: 1 frames: " in said
    assert "s1/1_1 (" in said
    assert "gone.jpg" in said
    assert said.strip() in page.read_text()
    monkeypatch.setattr(bench, "watched", None)  # all is there
    assert bench.main(arguments) == 0
    assert capsys.readouterr().out == said


def test_simulated_clips_on_disk_are_called_simulated(bench, tmp_path):
    root = simulate(tmp_path / "tree", subjects=2, clips=4, frames=(4, 5), progress=False)
    table = bench.microexpr.read_dataset("casme2", root)
    parser = bench.parser_of("")
    options = bench.parsed(parser, ["casme2", str(root), "--out", str(tmp_path / "out")])
    of_some = bench.without(bench.Clips(table, list(table["frames"])), [1])
    assert ": 3 **simulated** clips of 2 subjects" in bench.heading(options, of_some, {})[0]
    of_some.attrs.clear()
    assert ": 3 clips of 2 subjects" in bench.heading(options, of_some, {})[0]


def test_a_method_that_fails_often_is_left_out_itself(bench, clips):
    failures = [bench.Failure(k, "", readable=True) for k in range(3)]
    assert bench.too_many(failures, clips)
    assert not bench.too_many(failures[:2], clips)
    assert not bench.too_many([failure._replace(readable=False) for failure in failures], clips)


def test_what_lacks_a_library_says_what_brings_it(bench, module, monkeypatch):
    package = importlib.import_module("comparators")
    monkeypatch.setitem(sys.modules, "cv2", None)
    for name in ("optical_flow", "flow"):
        monkeypatch.delitem(sys.modules, f"comparators.{name}", raising=False)
    assert "pip install opencv-python-headless" in package.missing("flow")
    assert package.missing("paper") == ""
    assert package.about("flow").startswith("flow            Raw optical flow")
    assert "opencv-python-headless" in package.about("flow")


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


# ------------------------------------------------------------------------------------------------ ablations


@pytest.fixture(scope="module")
def ablate(bench):
    return importlib.import_module("ablate")


def test_three_planes_sum_to_the_histogram_of_the_clip(ablate, moving):
    rows = ablate.three_planes(moving)
    assert rows.shape == (16, 3 * 16384)
    np.testing.assert_array_equal(rows.sum(axis=0), ltogp.histogram_top(moving, (8, 8)))
    np.testing.assert_array_equal(rows[:, :16384], ltogp.histogram(moving, (8, 8)))


@pytest.mark.parametrize(
    ("weights", "name"),
    [({0: 1, 1: -2, 2: 1}, "ltogp"), ({-1: 1, 0: -2, 1: 1}, "central"), ({0: -1, 1: 1}, "lbp")],
)
def test_templates_are_those_with_a_name(ablate, moving, weights, name):
    np.testing.assert_array_equal(
        ltogp.encode(moving[:2], templates=ablate.templates(weights)),
        ltogp.encode(moving[:2], templates=name),
    )


def test_every_pooling_against_its_formula(ablate, moving):
    V = ltogp.histogram(moving, (8, 8)).astype(np.float64)
    pools = np.stack([ablate.pooled(ablate.DESCRIPTORS["LTOGP"], moving)] * 2)
    t = np.arange(1, 17)
    expected = {
        "rank, exact": rankpool.rank_pool(V),
        "rank, approximate": (2 * t - 17) @ V,
        "rank, SVR": rankpool.rank_pool(V, method="svr"),
        "mean": V.sum(axis=0) / 16,
        "standard deviation": np.sqrt(((V - V.mean(axis=0)) ** 2).mean(axis=0)),
        "max": V.max(axis=0),
        "last third less first": V[11:].sum(axis=0) / 5 - V[:5].sum(axis=0) / 5,
        "mean and rank": np.concatenate([V.mean(axis=0), rankpool.rank_pool(V)]),
    }
    assert set(ablate.PARTS["pooling"]) == {name + end for name in expected for end in ("", ", energy")}
    for name, whole in expected.items():
        found = ablate.features(pools, name)
        assert found.shape == (2, len(whole)), name
        np.testing.assert_allclose(found[1], whole, rtol=1e-5, atol=1e-7, err_msg=name)
        energy = ablate.features(pools, f"{name}, energy")[0]
        lengths = np.linalg.norm(whole.reshape(-1, 64, 256), axis=2)
        floor = 1e-3 * lengths.max(axis=1, keepdims=True)
        expected_energy = np.log(np.maximum(lengths, floor)).ravel()
        np.testing.assert_allclose(energy, expected_energy, rtol=1e-4, atol=1e-4, err_msg=name)


def test_recipes_exchange_one_part_or_all(ablate):
    tables = ablate.recipes_of(list(ablate.PARTS), False)
    assert {name: len(recipes) for name, recipes in tables.items()} == {
        "pooling": 16,
        "selection": 4,
        "descriptor": 5,
    }
    for part, recipes in tables.items():
        assert recipes[0] == ablate.PAPER
        for recipe in recipes[1:]:
            changed = {
                name for name in recipe._fields if getattr(recipe, name) != getattr(ablate.PAPER, name)
            }
            assert changed == ({"pooling", "selection"} if "energy" in recipe.pooling else {part})
    (every,) = ablate.recipes_of([], True).values()
    assert len(every) == len(set(every)) == 5 * (8 * 4 + 8)  # of energies nothing is selected
    (readings,) = ablate.recipes_of(["templates"], False).values()
    assert readings[0] == ablate.PAPER
    assert len({recipe.descriptor for recipe in readings}) == len(readings) == 8


def test_ablations_are_kept_and_agree_with_the_comparator(
    ablate, module, clips, tmp_path, capsys, monkeypatch
):
    def describe(frames):  # few features, to be quick
        return ltogp.histogram(frames, (2, 2), n_jobs=1)

    monkeypatch.setattr(ablate, "clips_of", lambda options: clips)
    monkeypatch.setitem(ablate.DESCRIPTORS, "LTOGP", describe)
    l21 = [name for name in ablate.PARTS["selection"] if "F-score" not in name]
    monkeypatch.setitem(ablate.PARTS, "selection", l21)  # F-scores are fitted 216 times
    arguments = ["casme2", "FOLDER", "--only", "selection", "--jobs", "1", "--out", str(tmp_path)]
    assert ablate.main(arguments) == 0
    said = capsys.readouterr().out
    assert "24 clips of 6 subjects" in said
    assert len([line for line in said.splitlines() if line.startswith("|")]) == 2 + 3
    inside = json.loads(next((tmp_path / "ablation").glob("*N-chosen-inside*.json")).read_text())
    X = np.array([rankpool.rank_pool(describe(frames)) for frames in clips.frames])
    X = X.astype(np.float32).astype(np.float64)  # as they are kept
    assert inside["predicted"] == list(module("classifiers").selected_svm(X, clips.table))
    assert inside["d"] == 1024
    monkeypatch.setattr(ablate, "predictions", None)  # all is there
    monkeypatch.setattr(ablate, "describe_all", None)
    assert ablate.main(arguments) == 0
    assert capsys.readouterr().out == said


def test_the_f_score_of_what_is_constant_is_nothing(ablate):
    X = np.random.default_rng(0).standard_normal((20, 4))
    y = np.repeat(["a", "b"], 10)
    X[:, 1] = 5
    X[:, 2] += 10 * (y == "b")
    scores = ablate.f_score(X, y)
    assert scores[1] == 0
    assert np.argmax(scores) == 2
