"""Write the tables of times in docs/ and README, and docs/ltogp_speed.svg, from one run of all benchmarks.

    pytest bench --benchmark-only --benchmark-json here.json
    NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx2 \\
        pytest bench --benchmark-only -k ltogp --benchmark-json haswell.json
    python bench/tables.py here.json haswell.json

The second run, with the kernels of a processor without AVX-512, may be left out, and its columns with it; the
name alone would keep this processor's instructions. A table stands between `<!-- benchmarks NAME -->` and
`<!-- end of benchmarks -->`, in docs/benchmarks.md or README.md, and all of that is replaced. Rows not in the
run (no C compiler, mahotas or data) are left out, and named on standard error.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]


class Run(NamedTuple):
    """What pytest-benchmark wrote: its machine, and each benchmark by its name."""

    machine: dict[str, Any]
    date: str
    benchmarks: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, path: Path) -> "Run":
        """Read the file that --benchmark-json named."""
        content = json.loads(path.read_text(encoding="utf-8"))
        found = {entry["name"]: entry for entry in content["benchmarks"]}
        return cls(content["machine_info"], content["datetime"][:10], found)

    def seconds(self, name: str, statistic: str = "min") -> float:
        """Return the best of a benchmark's rounds, or another of its statistics."""
        return self.benchmarks[name]["stats"][statistic]

    def extra(self, name: str, key: str) -> Any:
        """Return what a benchmark noted beside its times."""
        return self.benchmarks[name]["extra_info"][key]

    def description(self) -> str:
        """Say on what the run was, and when."""
        machine = self.machine
        kernels = machine["numba_cpu"]
        return f"{machine['cpus']} CPUs, {machine['cpu']['brand_raw']}, kernels for {kernels}, {self.date}"


# ---------------------------------------------------------------------------------------------------- ltogp

LBP_OF = "test_lbp[histograms of 100 frames-{}]"
# What a row says, and the benchmark. Ratios above 1 are times over the competitor's or how often faster,
# as the benchmark has them.
LTOGP = [
    ("histogram, pictures, against C that counts bytes", "test_histogram[bytes-new-pictures]"),
    ("the same, noise", "test_histogram[bytes-new-noise]"),
    ("the same, smooth images", "test_histogram[bytes-new-smooth]"),
    ("the same, constant images", "test_histogram[bytes-new-constant]"),
    ("the same, pictures, into a given array", "test_histogram[bytes-given-pictures]"),
    ("histogram, pictures, against C with bit planes", "test_histogram[planes-new-pictures]"),
    ("the same, into a given array", "test_histogram[planes-given-pictures]"),
    ("a single frame a call, against C that counts bytes", "test_one_frame[bytes]"),
    ("a single frame a call, against C with bit planes", "test_one_frame[planes]"),
    ("histogram, against vectorised NumPy", "test_numpy"),
    (
        "histogram, against scikit-image's `local_binary_pattern` (codes only)",
        LBP_OF.format("scikit-image LBP codes"),
    ),
    ("histogram, against mahotas' `lbp`", LBP_OF.format("mahotas LBP")),
    ("histogram, against fastlbp (codes only)", LBP_OF.format("fastlbp uniform LBP codes")),
    ('`mapping="uniform"` against the default', "test_mapping[uniform]"),
    ('`mapping="ror"`', "test_mapping[ror]"),
    ('`mapping="nri_uniform"`', "test_mapping[nri_uniform]"),
    ("a mask of all frames", "test_mask[of all frames]"),
    ("a mask of each frame", "test_mask[of each]"),
    ('`normalize="l1"`', "test_normalize[l1]"),
    ('`normalize="l2"`', "test_normalize[l2]"),
    ('`normalize="l1-sqrt"`', "test_normalize[l1-sqrt]"),
    ("`overlap=0.5`", "test_overlap"),
    ("`radius=(1, 2, 3)`", "test_radii"),
    ("`histogram_top`, a frame, against one plane", "test_top_and_one_plane"),
    ('`templates="lbp"`', "test_sparse_templates[lbp]"),
    ('`templates="central"`', "test_sparse_templates[central]"),
    ("templates of 3, -1, -2 anywhere", "test_sparse_templates[3, -1, -2 anywhere]"),
    ("uint16 against uint8", "test_dtype[uint16]"),
    ("float32 against uint8", "test_dtype[float32]"),
]
BARS = [
    ("ltogp.histogram", "test_histogram[bytes-new-pictures]", "one"),
    ("hand-written C", "test_histogram[bytes-new-pictures]", "other"),
    ("vectorised NumPy LTOGP", "test_numpy", "other"),
    ("scikit-image LBP, codes only", LBP_OF.format("scikit-image LBP codes"), "other"),
    ("mahotas LBP", LBP_OF.format("mahotas LBP"), "other"),
]


def ltogp(runs: list[Run]) -> list[str]:
    """Each of the runs has three columns: ours, the other's, the ratio."""
    head, rule = "| 128 × 128 uint8, 8 × 8 blocks, one thread |", "| --- |"
    for run in runs:
        head += f" `ltogp`, {run.machine['numba_cpu']} | competitor | ratio |"
        rule += " --- | --- | --- |"
    lines = [head, rule]
    for label, name in LTOGP:
        cells = ""
        for run in runs:
            if name in run.benchmarks:
                one, other, ratio, unit = (run.extra(name, key) for key in ("one", "other", "ratio", "unit"))
                unit = unit.partition("/")[0].replace("us", "µs")
                cells += f" {number(one)} {unit} | {number(other)} {unit} "
                cells += f"| {said(ratio, run.extra(name, 'speedup'))} |"
            else:
                cells += " | | |"
        if cells.strip(" |"):
            lines.append(f"| {label} |{cells}")
        else:
            left_out(label, name)
    return [*lines, "", *(f"Measured on {run.description()}." for run in runs)]


def number(x: float) -> str:
    """Write three digits, without an exponent."""
    return f"{x:.3g}" if x < 1000 else f"{x:.0f}"


def said(ratio: float, speedup: bool) -> str:
    """Write a ratio of times, or how often faster."""
    return f"{ratio:.3g} times faster" if speedup else f"{ratio:.2f} × the time"


def draw_ltogp(run: Run, path: Path) -> None:
    """Draw the time per frame beside others, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    bars = [(label, run.extra(name, which)) for label, name, which in BARS if name in run.benchmarks]
    with plt.rc_context({"svg.hashsalt": "ltogp", "svg.fonttype": "none", "font.size": 9}):
        figure, ax = plt.subplots(figsize=(7.6, 1.9), layout="constrained")
        places = range(len(bars))
        drawn = ax.barh(places, [us for _, us in bars], color=["#0072b2"] + ["#999999"] * (len(bars) - 1))
        ax.bar_label(drawn, [number(us) for _, us in bars], padding=3)
        ax.set_yticks(places, [label for label, _ in bars])
        ax.invert_yaxis()
        ax.set_xscale("log")
        ax.set_xlim(1, 3 * max(us for _, us in bars))
        ax.set_title("µs per 128 × 128 frame, one thread (logarithmic)", loc="left", fontsize=9)
        for side in ("top", "right", "left"):
            ax.spines[side].set_visible(False)
        ax.tick_params(axis="y", length=0)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


# ------------------------------------------------------------------------------------------ rankpool and l21

RANKPOOL = [  # what, frames x features, and the benchmark of each loss
    ("LTOGP counts of a clip", "68 × 16384", "test_rank_svm[{loss}-raw]"),
    ("the same divided by 4", "68 × 16384", "test_rank_svm[{loss}-raw/4]"),
    ("the same divided by 16", "68 × 16384", "test_rank_svm[{loss}-raw/16]"),
    ("the same divided by 64", "68 × 16384", "test_rank_svm[{loss}-raw/64]"),
    ("the same with ℓ2-normalised rows", "68 × 16384", "test_rank_svm[{loss}-l2]"),
    ("`LinearSVC` on the pair differences, counts", "68 × 16384", "test_linear_svc_on_pairs[{loss}-raw]"),
    ("`LinearSVC`, ℓ2-normalised rows", "68 × 16384", "test_linear_svc_on_pairs[{loss}-l2]"),
    ("random walk", "500 × 4096", "test_500_frames[walk-{loss}]"),
    ("random walk, ℓ2-normalised", "500 × 4096", "test_500_frames[l2-{loss}]"),
    ("random walk, gap 1e-6", "2000 × 1024", "test_long[T=2000 d=1024-walk-{loss}]"),
    ("trend in noise, gap 1e-6", "2000 × 1024", "test_long[T=2000 d=1024-trend-{loss}]"),
    ("random walk, gap 1e-3", "20,000 × 512", "test_long[T=20000 d=512-walk-{loss}]"),
    ("trend in noise, gap 1e-3", "20,000 × 512", "test_long[T=20000 d=512-trend-{loss}]"),
    ("random walk, gap 1e-3", "100,000 × 64", "test_long[T=100000 d=64-walk-{loss}]"),
    ("trend in noise, gap 1e-3", "100,000 × 64", "test_long[T=100000 d=64-trend-{loss}]"),
]  # fmt: skip
L21 = [  # what, our benchmark, and Nie et al.'s iteration on the same
    ("72 × 7129, c = 2, made, many correlated features, γ = 1", "test_solve[genes-1]", "test_nie[genes]"),
    ("210 × 2420, c = 10, made likewise, γ = 1", "test_solve[groups-1]", "test_nie[groups]"),
    (
        "246 × 16384, c = 5, simulated clips, standardised, γ = 1",
        "test_solve[clips, standardised-1]",
        "test_nie[clips, standardised]",
    ),
    ("the same, 10 × critical γ", "test_solve[clips, standardised-10 x critical]", None),
    ("the same, 100 × critical γ", "test_solve[clips, standardised-100 x critical]", None),
    (
        "the same with unit-norm rows, 10 × critical γ",
        "test_solve[clips, unit norm-10 x critical]",
        "test_nie[clips, unit norm]",
    ),
    ("ALLAML 72 × 7129, γ = 1", "test_solve[ALLAML-1]", "test_nie[ALLAML]"),
    ("Prostate-GE 102 × 5966, γ = 1", "test_solve[Prostate-GE-1]", "test_nie[Prostate-GE]"),
    ("colon 62 × 2000, γ = 1", "test_solve[colon-1]", "test_nie[colon]"),
    ("warpPIE10P 210 × 2420, c = 10, γ = 1", "test_solve[warpPIE10P-1]", "test_nie[warpPIE10P]"),
    ("26 leave-one-subject-out folds of the clips, γ = 1", "test_folds[warm]", None),
    ("a path of 20 γ, 1 to 100 × critical, on the clips", "test_path[warm]", None),
]


def rankpool(runs: list[Run]) -> list[str]:
    """Both losses of the first run, the best of each benchmark's rounds."""
    run = runs[0]
    lines = [
        "| one thread, simulated | frames × features | hinge | squared hinge |",
        "| --- | --- | --- | --- |",
    ]
    for label, size, name in RANKPOOL:
        names = [name.format(loss=loss) for loss in ("hinge", "squared_hinge")]
        if all(name in run.benchmarks for name in names):
            cells = " | ".join(duration(run.seconds(name)) for name in names)
            lines.append(f"| {label} | {size} | {cells} |")
        else:
            left_out(label, *names)
    return [*lines, "", f"Measured on {run.description()}."]


def l21(runs: list[Run]) -> list[str]:
    """The first run."""
    run = runs[0]
    lines = [
        "| to a relative duality gap of 1e-6 | `l21.solve` | Nie et al.'s iteration (n × n form) to 1e-3 |",
        "| --- | --- | --- |",
    ]
    for label, ours, nie in L21:
        if ours not in run.benchmarks:
            left_out(label, ours)
            continue
        theirs = time_of_nie(run, nie) if nie in run.benchmarks else ""
        # Of the folds only the solutions are timed, and not their standardising.
        seconds = run.benchmarks[ours]["extra_info"].get("seconds") or run.seconds(ours, "median")
        lines.append(f"| {label} | {duration(seconds)} | {theirs} |")
    return [*lines, "", f"Measured on {run.description()}."]


def time_of_nie(run: Run, name: str) -> str:
    """Write how long the iteration took, and where it stopped if that is short of its gap."""
    stopped = "" if run.extra(name, "converged") else f", stopped at {run.extra(name, 'gap'):.1e}"
    return duration(run.seconds(name)) + stopped


SQUARED = "test_squared[{tasks}-{fraction}-{other}]"
PROBLEMS = [(tasks, fraction) for tasks in (20, 1) for fraction in (0.5, 0.1, 0.01)]
OTHERS = ("scikit-learn", "celer", "skglm")


def squared(runs: list[Run]) -> list[str]:
    """Ours, and the others' time over ours, of the first run."""
    run = runs[0]
    lines = [
        "| squared loss, 306 × 3000 (simulated), to a gap of 1e-6 | `l21.solve_squared` | "
        + " | ".join(OTHERS)
        + " |",
        "| --- | --- |" + " --- |" * len(OTHERS),
    ]
    for tasks, fraction in PROBLEMS:
        label = f"{tasks} task{'s' * (tasks > 1)}, λ = {fraction} λ_max"
        names = [SQUARED.format(tasks=tasks, fraction=fraction, other=other) for other in OTHERS]
        there = [name for name in names if name in run.benchmarks]
        if not there:
            left_out(label, *names)
            continue
        ours = duration(min(run.extra(name, "ours") for name in there))
        theirs = [f"{1 / run.extra(name, 'ratio'):.2g} × the time" if name in there else "" for name in names]
        lines.append(f"| {label} | {ours} | {' | '.join(theirs)} |")
    return [*lines, "", f"Measured on {run.description()}."]


def duration(seconds: float) -> str:
    """Write seconds with two digits, in the unit that reads best."""
    if seconds < 0.1:
        return f"{1e3 * seconds:.2g} ms"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


# ------------------------------------------------------------------------------------------------ microexpr

DECODING = "test_extract_beside_decoding_alone"
IMREAD = "test_extract_beside_imread_and_skimage"
SPOT = "test_spot_beside_decoding[rank-without loss]"
START = "test_start"
# What a row says, the benchmark, what it noted or None for its time, and how that is written.
MICROEXPR: list[tuple[str, str, str | None, str]] = [
    ("`extract` of 240 simulated clips of 340 × 280 JPEGs", DECODING, "seconds", "{:.1f} s"),
    ("the same, against decoding and resizing alone in threads", DECODING, "threads", "{:.2f} × the time"),
    ("against decoding and resizing alone in processes", DECODING, "processes", "{:.2f} × the time"),
    ("five grids of blocks at once, against decoding in threads", DECODING, "grids", "{:.2f} × the time"),
    ("against `plt.imread`, `rgb2gray` and `resize`, one process", IMREAD, "single", "{:.2f} × the time"),
    ("`evaluate` of 246 simulated clips, with and without selection", "test_loso", None, "{:.2g} s"),
    ("scikit-learn's `cross_val_predict` of the same", "test_loso_of_scikit_learn", None, "{:.2g} s"),
    ("`evaluate` with Fig. 4, C and N chosen inside", "test_everything", None, "{:.3g} s"),
    ("`spot` in a simulated video, without loss", SPOT, "rate", "{:.0f} frames a second"),
    ("decoding that video alone", SPOT, "decoding", "{:.0f} frames a second"),
    ("`import microexpr`, more than Python", START, "import microexpr", "{:.2f} s"),
    ("`microexpr --help`, more than Python", START, "microexpr --help", "{:.2f} s"),
]  # fmt: skip


def microexpr(runs: list[Run]) -> list[str]:
    """The first run."""
    run = runs[0]
    lines = [f"| {run.machine['cpus']} CPUs | |", "| --- | --- |"]
    for label, name, key, form in MICROEXPR:
        if name in run.benchmarks:
            value = run.extra(name, key) if key else run.seconds(name)
            lines.append(f"| {label} | {form.format(value)} |")
        else:
            left_out(label, name)
    return [*lines, "", f"Measured on {run.description()}."]


# --------------------------------------------------------------------------------------------------- summary

SKIMAGE = LBP_OF.format("scikit-image LBP codes")
IN_C = "test_histogram[bytes-new-pictures]"
# What, ours, whose beside it, theirs: a benchmark, and which of its figures.
SUMMARY: list[tuple[str, tuple[str, str], str, tuple[str, str]]] = [
    ("LTOGP of a 128 × 128 image", (SKIMAGE, "one"), "scikit-image's LBP, codes only", (SKIMAGE, "other")),
    ("the same", (IN_C, "one"), "C with intrinsics", (IN_C, "other")),
    (
        "RankSVM of 68 × 16384 counts",
        ("test_rank_svm[hinge-raw]", "min"),
        "`LinearSVC` on pairs",
        ("test_linear_svc_on_pairs[hinge-raw]", "min"),
    ),
    (
        "ℓ2,1 of 246 × 16384, gap 1e-6",
        ("test_solve[clips, standardised-1]", "median"),
        "Nie et al.'s iteration, gap 1e-3",
        ("test_nie[clips, standardised]", "nie"),
    ),
    (
        "squared loss of 306 × 3000, 20 tasks",
        (SQUARED.format(tasks=20, fraction=0.1, other="scikit-learn"), "ours"),
        "scikit-learn's `MultiTaskLasso`",
        (SQUARED.format(tasks=20, fraction=0.1, other="scikit-learn"), "ratio"),
    ),
    (
        "`evaluate` of 246 clips, 26 folds",
        ("test_loso", "min"),
        "`cross_val_predict` of the same",
        ("test_loso_of_scikit_learn", "min"),
    ),
]


def summary(runs: list[Run]) -> list[str]:
    """README's table, of the first run: a line for each thing that people do, and what else does it."""
    run = runs[0]
    lines = ["| | here | | instead |", "| --- | --- | --- | --- |"]
    for label, ours, other, theirs in SUMMARY:
        if ours[0] in run.benchmarks and theirs[0] in run.benchmarks:
            lines.append(f"| {label} | {figure(run, *ours)} | {other} | {figure(run, *theirs)} |")
        else:
            left_out(label, ours[0], theirs[0])
    return [*lines, "", f"Measured on {run.description()}."]


def figure(run: Run, name: str, key: str) -> str:
    """Write a figure that a benchmark noted, or a statistic of its rounds."""
    if key in ("one", "other"):
        return f"{number(run.extra(name, key))} µs"
    if key == "nie":
        return time_of_nie(run, name)
    if key == "ratio":
        return f"{1 / run.extra(name, key):.2g} × the time"
    return duration(run.extra(name, key) if key == "ours" else run.seconds(name, key))


# --------------------------------------------------------------------------------------------------- places

TABLES: dict[str, Callable[[list[Run]], list[str]]] = {
    "ltogp": ltogp,
    "rankpool": rankpool,
    "l21": l21,
    "squared": squared,
    "microexpr": microexpr,
    "summary": summary,
}
PLACES = {
    "docs/benchmarks.md": ("ltogp", "rankpool", "l21", "squared", "microexpr"),
    "README.md": ("summary",),
}


def names() -> set[str]:
    """Return every benchmark that the tables are made of."""
    losses = [name.format(loss=loss) for *_, name in RANKPOOL for loss in ("hinge", "squared_hinge")]
    of_l21 = [name for _, *both in L21 for name in both if name]
    of_squared = [
        SQUARED.format(tasks=tasks, fraction=fraction, other=other)
        for tasks, fraction in PROBLEMS
        for other in OTHERS
    ]
    of_microexpr = [name for _, name, *_ in MICROEXPR]
    of_summary = [name for _, (ours, _), _, (theirs, _) in SUMMARY for name in (ours, theirs)]
    return {
        *(name for _, name in LTOGP),
        *(name for _, name, _ in BARS),
        *losses,
        *of_l21,
        *of_squared,
        *of_microexpr,
        *of_summary,
    }


def fill(path: Path, runs: list[Run], wanted: tuple[str, ...]) -> str:
    """Return the text of a file with each of its tables written anew."""
    text = path.read_text(encoding="utf-8")
    for name in wanted:
        text = put(text, path.name, "benchmarks", name, TABLES[name](runs))
    return text


def put(text: str, page: str, kind: str, name: str, lines: Sequence[str]) -> str:
    """Return the text of a page with these lines in the place of that kind and name."""
    place = re.compile(rf"(<!-- {kind} {re.escape(name)} -->\n).*?(<!-- end of {kind} -->)", re.S)
    if len(place.findall(text)) != 1:
        raise SystemExit(f"{page} has no place for the table of {name}, or more than one")
    rows = "".join(f"{line}\n" for line in lines)
    return place.sub(lambda found: f"{found[1]}{rows}{found[2]}", text)


def left_out(label: str, *benchmarks: str) -> None:
    """Say which row is not in the table, and why."""
    print(f"left out, not in the run: {label} ({', '.join(benchmarks)})", file=sys.stderr)


def main() -> None:
    """Read the runs, write the tables and the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN.json", help="what --benchmark-json wrote")
    runs = [Run.read(path) for path in parser.parse_args().runs]
    filled = {ROOT / place: fill(ROOT / place, runs, wanted) for place, wanted in PLACES.items()}
    for path, text in filled.items():
        path.write_text(text, encoding="utf-8")
    draw_ltogp(runs[0], ROOT / "docs/ltogp_speed.svg")


if __name__ == "__main__":
    main()
