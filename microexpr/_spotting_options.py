"""Options of the command line for long videos."""

from __future__ import annotations

import argparse

from ._option_groups import NAMED, add_damaged, add_json, add_reading, jobs
from ._wording import flag

#: Options of `spot` that are fields of `spotting.SpottingOptions`, which has their defaults.
SPOTTING = {
    "method": {
        "choices": ("rank", "difference"),
        "help": "rank pooling before against after each frame (default), or the difference of each frame "
        "from those before and after (Moilanen et al.)",
    },
    "features": {"choices": ("ltogp", "lbp"), "help": "whose histograms (ltogp)"},
    "blocks": {"type": int, "nargs": 2, "metavar": ("DOWN", "ACROSS"), "help": "(6 6)"},
    "n_largest": {"type": int, "metavar": "M", "help": "blocks whose values are averaged (a third of them)"},
    "eyes": {
        "type": float,
        "nargs": 2,
        "metavar": ("TOP", "BOTTOM"),
        "help": "part of the height whose blocks are left out, because of blinks (0.333 0.5)",
    },
    "longest": {"type": float, "metavar": "SECONDS", "help": "that an expression lasts (0.5)"},
    "shortest": {"type": float, "metavar": "SECONDS", "help": "that an expression lasts (0.1)"},
    "p": {"type": float, "help": "threshold: mean + p (maximum - mean) of the contrast (0.25)"},
    "noise": {
        "type": float,
        "metavar": "Z",
        "help": "the threshold lies Z standard deviations above the median at least; 0: does not (4)",
    },
    "threshold": {"type": float, "help": "a number in place of these"},
    "edge": {"type": float, "help": "an event ends where the contrast is this part of its apex's (0)"},
    "blur": {
        "action": argparse.BooleanOptionalAction,
        "help": "blur frames by 2 pixels first (default: yes)",
    },
    "smooth": {"type": float, "metavar": "SECONDS", "help": "that the curve is averaged over (0.1)"},
}

#: Options of `simulate --long` that are parameters of `data.simulate_long`, which has their defaults.
LONG_SIMULATION = (
    ("videos", int, "how many, each of a face of its own (4)"),
    ("seconds", float, "of a video (60)"),
    ("fps", float, "frames in a second (200)"),
    ("expressions", int, "micro-expressions in a video (6)"),
    ("blinks", float, "in a minute (15)"),
)


def add_long_simulation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "long videos",
        "With --long, which --subjects, --clips and --frames have no part in; --drift is how far the head "
        "sways (0.5).",
    )
    group.add_argument(
        "--long",
        action="store_true",
        help="write long videos to spot in, with several expressions, blinks and turns of the head, and a "
        "manifest of them",
    )
    for name, kind, text in LONG_SIMULATION:
        group.add_argument(f"--{name}", type=kind, help=text)
    group.add_argument(
        "--video", action="store_true", default=None, help="H.264 files without loss, not folders of JPEGs"
    )


def add_spotting(parser: argparse.ArgumentParser) -> None:
    parser.usage = "microexpr spot [options] (VIDEO | DATASET ROOT)"
    parser.add_argument(
        "source",
        nargs="+",
        metavar="SOURCE",
        help=f"a video or folder of frames; or a data set ({NAMED}) and its folder",
    )
    parser.add_argument("--model", metavar="FILE", help="a recogniser of `train`: classify each event")
    parser.add_argument(
        "--fps", type=float, help="frames in a second (default: as the video or data set says)"
    )
    parser.add_argument(
        "--face",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="crop to the largest face, or not (default: videos yes, folders no)",
    )
    parser.add_argument("--margin", type=float, help="border around the face, as a fraction of it (0.1)")
    add_damaged(parser, default=None)
    group = parser.add_argument_group("spotting")
    for name, keywords in SPOTTING.items():
        group.add_argument(flag(name), default=None, **keywords)  # type: ignore[arg-type]
    group.add_argument("--keep-eyes", dest="eyes", action="store_const", const=(), help="leave no blocks out")
    add_json(parser)
    parser.add_argument(
        "--out",
        metavar="PREFIX",
        help="write PREFIX.csv and, of a video, PREFIX.png (the video's or data set's name-spotted, here)",
    )
    add_reading(parser)
    parser.add_argument(
        "--jobs", type=jobs, default=-1, metavar="J", help="threads, of a data set (-1: every core)"
    )
