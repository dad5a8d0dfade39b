"""Options that several commands have, and how they are read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

#: Names of `data.DATASETS`, which would cost --help what NumPy costs to import.
DATASETS = (
    *("casme", "casme2", "smic", "smic-hs", "smic-vis", "smic-nir", "samm", "casme3", "casme3-c", "casme-sq"),
    *("samm-lv", "smic-e", "smic-e-hs", "smic-e-vis", "smic-e-nir", "mmew", "4dme", "manifest"),
)
#: Of `pooling.POOLINGS`, likewise.
POOLINGS = ("rank", "mean", "mean+rank", "energy")
NAMED = f"{', '.join(DATASETS[:-1])} or {DATASETS[-1]}"


def jobs(text: str) -> int:
    """Read a number of threads or processes: what joblib takes, and no more than a machine could start."""
    try:
        jobs = int(text)
    except ValueError:
        jobs = 0
    if not -1000 <= jobs <= 1000 or jobs == 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number from 1 to 1000, or below 0 (-1: every core, -2: all but one)"
        )
    return jobs


def number_of_features(text: str) -> int | str:
    """Read a number of features to select, or "all"."""
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, or all") from None


def location(text: str) -> Path | str:
    """Read where a feature store lies: a path, but for URLs, whose slashes a path would lose."""
    return text if "://" in text else Path(text)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as JSON, and nothing else")


def add_damaged(parser: argparse.ArgumentParser, default: str | None = "raise") -> None:
    parser.add_argument(
        "--damaged",
        choices=("raise", "keep"),
        default=default,
        help="what to do with a video that is damaged: say so and stop (default), or warn and keep what can "
        "be read",
    )


def add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        type=location,
        metavar="STORE",
        help="feature store to use and fill, a folder or a URL (default: a temporary one)",
    )


def add_classes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--classes",
        choices=("paper", "composite", "all"),
        help="the paper's subset (default where it has one), negative, positive and surprise (default of "
        "several data sets), or as coded",
    )


def add_further_datasets(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument(
        "--with",
        dest="others",
        nargs=2,
        action=FurtherDataset,
        metavar=("DATASET", "ROOT"),
        help=f"{text}; may be repeated, each with its own options of reading behind it",
    )


def add_pooling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pooling",
        choices=POOLINGS,
        default="rank",
        help="what makes one vector of a clip: rank pooling (%(default)s), the mean of its frames, both, of "
        "which all the others can be had later, or the log length of rank pooling's u in each block",
    )


def add_preparation(parser: argparse.ArgumentParser, size: tuple[int, int] | None = (128, 128)) -> None:
    """How frames are prepared; without a default of the size, nothing is said where nothing is given."""
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=size,
        metavar=("HEIGHT", "WIDTH"),
        help="that frames are resized to, pixels (128 128)",
    )
    parser.add_argument(
        "--crop",
        choices=("face", "eyes"),
        help="cut every clip to its face, or so that its eyes are level and at fixed places (default: clips "
        "are faces)",
    )
    add_stabilisation(parser)
    parser.add_argument(
        "--frames",
        type=int,
        metavar="N",
        help="resample each clip in time to N frames, linearly (default: as they are)",
    )


def add_stabilisation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stabilise",
        choices=("tiles", "subpixel"),
        help="move every frame back onto the first, by phase correlation: the median over tiles of a frame, "
        "or the whole frame's (default: off)",
    )
    parser.add_argument(
        "--blur", type=float, metavar="PIXELS", help="blur frames by this standard deviation (default: off)"
    )


def add_reading(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "reading", "Of the data set that was named last before the option, or else of the first."
    )

    def add(*names: str, **keywords: Any) -> None:
        group.add_argument(*names, action=_Reading, default=argparse.SUPPRESS, **keywords)

    add("--sheet", metavar="FILE", help="its spreadsheet")
    add("--cropped", nargs=0, const=True, help="its cropped frames (default, if both are there)")
    add("--raw", nargs=0, dest="cropped", const=False, help="its raw frames")
    add("--tree", metavar="FOLDER", help="its folder of subjects, where there are several: path or end of it")
    add("--expressions", choices=("micro", "macro", "all"), help="of long videos (micro)")
    add("--allow-gaps", nargs=0, const=True, help="keep clips that lack frames on disk; CAS(ME)3 needs it")
    add("--whole-folder", nargs=0, const=True, help="all of a folder is the clip, whatever the sheet says")
    add("--camera", type=str.upper, choices=("HS", "VIS", "NIR"), help="SMIC's (HS)")
    add("--follow-outside", nargs=0, const=True, help="read what a manifest names outside of its folder too")
    add("--encoding", metavar="NAME", help="of a manifest: gbk, cp1252 and the like")


def add_dask(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="work on the workers of this scheduler, tcp://HOST:8786 or its scheduler file; they say how "
        "many tasks they take at a time, and --jobs does not count",
    )


class FirstDataset(argparse.Action):
    """The first data set: what follows are options of it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, values)
        if values is not None:
            namespace.named_last = None


class FurtherDataset(argparse.Action):
    """A further data set: what follows are options of it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        namespace.named_last = {}
        namespace.others = [*(namespace.others or []), (*values, namespace.named_last)]


class _Reading(argparse.Action):
    """An option of the data set named last."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        named_last = getattr(namespace, "named_last", None)
        if named_last is None:
            if not hasattr(namespace, "reading"):
                namespace.reading = {}
            named_last = namespace.reading
        named_last[self.dest] = self.const if self.nargs == 0 else values
