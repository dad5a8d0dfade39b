"""What Kendall's tau of held-out frames says, and what it does not: frames in order and in random order.

    python docs/held_out_scores.py [--orders 200] [VIDEO ...]

Frames of normal numbers, of which none has a place in time: mean and standard deviation of tau, over as many
seeds as --orders says; beside it the tau of leave-one-out, whose scores of different solves are compared, and
of a time predicted from them, which lies near the mean time of the others, and that is the earlier the later
the frame. Then simulated clips (`microexpr.simulate`, drawn faces), one photograph in fresh noise before and
after H.264, and the VIDEOs given, cropped to the face: in order and in random order, LTOGP in 8 x 8 blocks.

A minute on two cores.
"""

import argparse
import tempfile
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau
from skimage.data import astronaut
from skimage.util import img_as_ubyte

import ltogp
from microexpr import read_casme2, read_clip, simulate
from microexpr.data import read_frames
from rankpool import held_out_scores, rank_svm


def leave_one_out(V: NDArray) -> tuple[float, float]:
    """Tau of the scores of T solves, and of the times that they predict by least squares."""
    T = len(V)
    scores, times = np.empty(T), np.empty(T)
    for t in range(T):
        others = np.delete(np.arange(T), t)
        u = rank_svm(V[others]).u
        seen = (V[others] - V[others].mean(axis=0)) @ u
        scores[t] = (V[t] - V[others].mean(axis=0)) @ u
        times[t] = others.mean() + scores[t] * (seen @ others) / (seen @ seen)
    return kendalltau(np.arange(T), scores).statistic, kendalltau(np.arange(T), times).statistic


def photograph(T: int, noise: float, seed: int, folder: Path) -> tuple[NDArray, NDArray]:
    """T times the same photograph in noise, as made and as H.264 gives it back."""
    rng = np.random.default_rng(seed)
    face = img_as_ubyte(astronaut()[48:176, 160:288].mean(axis=2) / 255).astype(float)
    frames = np.clip(face + rng.normal(0, noise, (T, *face.shape)), 0, 255).round().astype(np.uint8)
    with av.open(str(folder / "photograph.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"threads": "1"})
        stream.height, stream.width = face.shape
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return frames, read_clip(folder / "photograph.mp4", face=False)


def report(name: str, clips: list[NDArray], rng: np.random.Generator, orders: int = 1) -> None:
    """Print the mean tau of the clips in order and in random order."""
    features = [ltogp.histogram(frames) for frames in clips]
    given = [held_out_scores(V).tau for V in features]
    random = [held_out_scores(V[rng.permutation(len(V))]).tau for V in features for _ in range(orders)]
    print(
        f"{name:<48}{len(clips):>6}{np.mean(given):>9.2f} ({min(given):.2f} to {max(given):.2f})"
        f"{np.mean(random):>10.2f} ({np.std(random):.2f})"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("videos", nargs="*", metavar="VIDEO")
    options = parser.parse_args()

    print("frames of independent normal numbers: mean tau and, in brackets, its standard deviation")
    print(f"{'frames x features':<20}{'held out in folds':>20}{'leave one out':>18}{'predicted time':>18}")
    for T, d in ((4, 50), (10, 50), (20, 500), (30, 1000), (70, 2000)):
        found = []
        for seed in range(options.orders):
            V = np.random.default_rng(seed).standard_normal((T, d))
            found.append((held_out_scores(V).tau, *leave_one_out(V)))
        cells = (
            f"{f'{mean:+.2f} ({sd:.2f})':>19}"
            for mean, sd in zip(np.mean(found, 0), np.std(found, 0), strict=True)
        )
        print(f"{f'{T} x {d}':<20}" + "".join(cells), flush=True)

    print(f"\n{'mean tau (range, standard deviation)':<48}{'clips':>6}{'in order':>24}{'random order':>17}")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, motion, drift in (
            ("simulated expressions", (1.0, 2.0), 0.1),
            ("simulated, neither expression nor drift", (0.0, 0.0), 0.0),
        ):
            root = simulate(folder / name, subjects=5, clips=20, motion=motion, drift=drift, progress=False)
            clips = [read_frames(frames) for frames in read_casme2(root)["frames"]]
            report(name, clips, rng)
        pairs = [photograph(60, 1.0, seed, folder) for seed in range(10)]
        report("one photograph in fresh noise", [frames for frames, _ in pairs], rng)
        report("the same after H.264", [coded for _, coded in pairs], rng)
    for video in options.videos:
        report(Path(video).name, [read_clip(video)], rng, orders=20)


if __name__ == "__main__":
    main()
