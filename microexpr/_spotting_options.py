"""Options of the command line for long videos."""

import argparse

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
