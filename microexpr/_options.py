"""The options of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from . import __version__
from ._spotting_options import LONG_SIMULATION, SPOTTING

#: Options of `evaluate` that are fields of `experiment.Settings`, which has their defaults.
SETTINGS = {
    "protocol": {
        "choices": ("loso", "lovo", "kfold", "composite", "cross"),
        "help": "leave out one subject (loso, the default), one video, a k-th of the subjects, or one "
        "subject of all data sets together; or train on the first data set and test on each other one",
    },
    "blocks": {"type": int, "metavar": "B", "help": "blocks down and across, for the tables (8)"},
    "n_features": {"type": int, "metavar": "N", "help": "features for the tables (casme 325, others 450)"},
    "gamma": {"type": float, "help": "weight of the loss in Eq. (4) (1)"},
    "C": {"type": float, "help": "penalty of the SVM (1)"},
    "sweep": {"action": argparse.BooleanOptionalAction, "help": "Fig. 4 (default: yes)"},
    "nested": {
        "action": argparse.BooleanOptionalAction,
        "help": "choose C and N inside the training folds too (default: yes)",
    },
    "sweep_blocks": {"type": int, "nargs": "+", "metavar": "B", "help": "of Fig. 4 (4 6 8 10 12)"},
    "sweep_n_features": {
        "type": int,
        "nargs": "+",
        "metavar": "N",
        "help": "of Fig. 4, and what N is chosen from (75 200 ... 950)",
    },
    "n_splits": {"type": int, "metavar": "K", "help": "folds of --protocol kfold (10)"},
    "n_resamples": {"type": int, "metavar": "R", "help": "of the bootstrap (10000)"},
    "seed": {"type": int, "help": "of the bootstrap (0)"},
}


#: Names of `data.DATASETS`, which would cost --help what NumPy costs to import.
DATASETS = (
    *("casme", "casme2", "smic", "smic-hs", "smic-vis", "smic-nir", "samm", "casme3", "casme3-c", "casme-sq"),
    *("samm-lv", "smic-e", "smic-e-hs", "smic-e-vis", "smic-e-nir", "mmew", "4dme", "manifest"),
)
_NAMED = f"{', '.join(DATASETS[:-1])} or {DATASETS[-1]}"


def make_parser(
    functions: Mapping[str, Callable[[argparse.Namespace], int | None]],
) -> argparse.ArgumentParser:
    """Return the parser; parsed options have the function of their command as `command`."""
    parser = _Parser(
        prog="microexpr", description="Micro-expression recognition by temporal order (Niu et al., 2019)."
    )
    parser.add_argument("--version", action="version", version=f"microexpr {__version__}")
    commands = parser.add_subparsers(title="commands", dest="name", metavar="COMMAND", required=True)

    demo = _command(
        commands,
        "demo",
        functions["demo"],
        "simulate a small data set, run the whole experiment on it, print the table",
    )
    _add_simulation(demo, subjects=8, clips=80, frames=(20, 40))
    demo.add_argument(
        "--n-features", type=int, default=450, metavar="N", help="features to select (%(default)s)"
    )
    demo.add_argument("--gamma", type=float, default=1.0, help="weight of the loss in Eq. (4) (%(default)s)")
    demo.add_argument("--C", type=float, default=1.0, help="penalty of the SVM (%(default)s)")
    demo.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the simulated data set in this new folder"
    )
    demo.add_argument(
        "--out", type=Path, default=Path("microexpr-demo.png"), metavar="FILE", help="pictures (%(default)s)"
    )

    simulate = _command(
        commands,
        "simulate",
        functions["simulate"],
        "write a simulated data set in CASME II's layout, spreadsheet included",
    )
    simulate.add_argument("out", type=Path, metavar="OUT", help="folder to write into; new or empty")
    _add_simulation(simulate, subjects=26, clips=246, frames=(40, 90))
    _add_long_simulation(simulate)

    describe = _command(
        commands,
        "describe",
        functions["describe"],
        "a face video or a folder of frames -> its representation, and a plot",
    )
    describe.add_argument("path", metavar="VIDEO", help="video file or folder of images")
    describe.add_argument(
        "--face",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="crop to the largest face, or not (default: videos yes, folders no)",
    )
    describe.add_argument(
        "--margin", type=float, default=0.1, help="border around the face, as a fraction of it (%(default)s)"
    )
    _add_damaged(describe)
    _add_stabilisation(describe)
    describe.add_argument(
        "--blocks", type=int, nargs=2, default=(8, 8), metavar=("DOWN", "ACROSS"), help="(8 8)"
    )
    describe.add_argument("--C", type=float, default=1.0, help="penalty of rank pooling (%(default)s)")
    describe.add_argument(
        "--out", metavar="PREFIX", help="write PREFIX.npz and PREFIX.png (VIDEO's name, here)"
    )

    _add_cropping(
        _command(commands, "crop", functions["crop"], "faces of a video or a data set -> clips of images")
    )
    _add_spotting(
        _command(
            commands,
            "spot",
            functions["spot"],
            "micro-expressions in a long video, or in a data set of them, scored",
        )
    )
    _add_extraction(
        _command(commands, "extract", functions["extract"], "every clip of a data set -> a feature store")
    )
    check = _command(
        commands, "check", functions["check"], "what is in a feature store, and what is stale or damaged"
    )
    check.add_argument("store", type=location, metavar="STORE", help="its folder or URL")
    check.add_argument("--json", action="store_true", help="print it as JSON")
    _add_evaluation(
        _command(
            commands,
            "evaluate",
            functions["evaluate"],
            "a data set -> the paper's tables and Fig. 4, with what makes them comparable",
        )
    )
    return parser


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


def location(text: str) -> Path | str:
    """Read where a feature store lies: a path, but for URLs, whose slashes a path would lose."""
    return text if "://" in text else Path(text)


def _add_damaged(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--damaged",
        choices=("raise", "keep"),
        default="raise",
        help="what to do with a video that is damaged: say so and stop, or warn and keep what can be read "
        "(%(default)s)",
    )


def _add_cropping(parser: argparse.ArgumentParser) -> None:
    parser.usage = "microexpr crop [options] (VIDEO | DATASET ROOT) OUT"
    parser.add_argument(
        "source",
        nargs="+",
        metavar="SOURCE",
        help=f"a video or folder of frames; or a data set ({_NAMED}) and its folder",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write into; new or empty")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(128, 128),
        metavar=("HEIGHT", "WIDTH"),
        help="of the images, pixels (128 128)",
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=0.1,
        help="border around a face without eyes, as a fraction (%(default)s)",
    )
    parser.add_argument(
        "--eyes",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="level the eyes and put them at fixed places, or take the face's box (default: eyes, where the "
        "extra is installed)",
    )
    parser.add_argument("--frames", type=int, metavar="N", help="resample each clip in time to N frames")
    _add_damaged(parser)
    _add_reading(parser)
    parser.add_argument("--jobs", type=jobs, default=-1, metavar="J", help="threads (-1: every core)")


def _add_extraction(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help=_NAMED)
    parser.add_argument("root", action=_Root, metavar="ROOT", help="its folder (manifest: its file)")
    parser.add_argument(
        "--store",
        type=location,
        metavar="STORE",
        help="feature store to fill, a folder or a URL (s3://...); what it holds already is skipped "
        "(DATASET.zarr)",
    )
    parser.add_argument(
        "--blocks",
        type=int,
        nargs=2,
        action="append",
        metavar=("DOWN", "ACROSS"),
        help="(8 8); may be repeated, the frames are decoded once for all",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(128, 128),
        metavar=("HEIGHT", "WIDTH"),
        help="that frames are resized to, pixels (128 128)",
    )
    _add_stabilisation(parser)
    parser.add_argument(
        "--frames",
        type=int,
        metavar="N",
        help="resample each clip in time to N frames, linearly (default: as they are)",
    )
    parser.add_argument("--strict", action="store_true", help="fail if any clip cannot be read or described")
    _add_reading(parser)
    parser.add_argument("--jobs", type=jobs, default=-1, metavar="J", help="threads (-1: every core)")
    _add_dask(parser)


def _add_evaluation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", nargs="?", metavar="DATASET", help=_NAMED)
    parser.add_argument(
        "root", nargs="?", action=_Root, metavar="ROOT", help="its folder (manifest: its file)"
    )
    parser.add_argument(
        "--with",
        dest="others",
        nargs=2,
        action=_With,
        metavar=("DATASET", "ROOT"),
        help="a further data set, for the protocols composite and cross; may be repeated, each with its own "
        "options of reading behind it",
    )
    parser.add_argument(
        "--store",
        type=location,
        metavar="STORE",
        help="feature store to use and fill, a folder or a URL (default: a temporary one)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("microexpr-evaluation"),
        metavar="DIR",
        help="folder to write into (%(default)s)",
    )
    parser.add_argument(
        "--classes",
        choices=("paper", "composite", "all"),
        help="the paper's subset (default where it has one), negative, positive and surprise (default of "
        "several data sets), or as coded",
    )
    parser.add_argument(
        "--from", dest="file", type=Path, metavar="FILE", help="repeat what this evaluation.json says"
    )
    _add_reading(parser)
    for name, keywords in SETTINGS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=None, **keywords)  # type: ignore[arg-type]
    parser.add_argument("--jobs", type=jobs, default=-1, metavar="J", help="processes (-1: every core)")
    _add_dask(parser)


def _add_dask(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="work on the workers of this scheduler, tcp://HOST:8786 or its scheduler file; they say how "
        "many tasks they take at a time, and --jobs does not count",
    )


def _command(commands, name, function, text):  # type: ignore[no-untyped-def]
    parser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
    )
    parser.set_defaults(command=function)
    return parser


def _add_simulation(
    parser: argparse.ArgumentParser, subjects: int, clips: int, frames: tuple[int, int]
) -> None:
    group = parser.add_argument_group("simulation")
    group.add_argument("--subjects", type=int, default=subjects, help="(%(default)s)")
    group.add_argument("--clips", type=int, default=clips, help="of all subjects together (%(default)s)")
    group.add_argument(
        "--faces", metavar="DIR", help="folder of portraits, one a subject (default: drawn faces)"
    )
    group.add_argument("--noise", type=float, default=1.0, help="sensor noise, grey levels (%(default)s)")
    group.add_argument(
        "--motion",
        type=float,
        nargs=2,
        default=(1.0, 2.0),
        metavar=("LEAST", "MOST"),
        help="peak displacement of a clip, in pixels of a 128 x 128 frame (1 2)",
    )
    group.add_argument("--drift", type=float, help="head drift over a clip, in the same pixels (0.1)")
    group.add_argument(
        "--frames",
        type=int,
        nargs=2,
        default=frames,
        metavar=("FEWEST", "MOST"),
        help="from onset to offset ({} {})".format(*frames),
    )
    group.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(128, 128),
        metavar=("HEIGHT", "WIDTH"),
        help="of a frame, pixels (128 128)",
    )
    group.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--jobs", type=jobs, default=-1, metavar="J", help="threads (-1: every core)")


def _add_long_simulation(parser: argparse.ArgumentParser) -> None:
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


def _add_spotting(parser: argparse.ArgumentParser) -> None:
    parser.usage = "microexpr spot [options] (VIDEO | DATASET ROOT)"
    parser.add_argument(
        "source",
        nargs="+",
        metavar="SOURCE",
        help=f"a video or folder of frames; or a data set ({_NAMED}) and its folder",
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
    parser.add_argument(
        "--damaged",
        choices=("raise", "keep"),
        help="what to do with a video that is damaged: say so and stop (default), or warn and keep what "
        "can be read",
    )
    group = parser.add_argument_group("spotting")
    for name, keywords in SPOTTING.items():
        group.add_argument(f"--{name.replace('_', '-')}", default=None, **keywords)  # type: ignore[arg-type]
    group.add_argument("--keep-eyes", dest="eyes", action="store_const", const=(), help="leave no blocks out")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument(
        "--out",
        metavar="PREFIX",
        help="write PREFIX.csv and, of a video, PREFIX.png (the video's or data set's name-spotted, here)",
    )
    _add_reading(parser)
    parser.add_argument(
        "--jobs", type=jobs, default=-1, metavar="J", help="threads, of a data set (-1: every core)"
    )


def _add_stabilisation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stabilise",
        choices=("tiles", "subpixel"),
        help="move every frame back onto the first, by phase correlation: the median over tiles of a frame, "
        "or the whole frame's (default: off)",
    )
    parser.add_argument(
        "--blur", type=float, metavar="PIXELS", help="blur frames by this standard deviation (default: off)"
    )


def _add_reading(parser: argparse.ArgumentParser) -> None:
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


class _Root(argparse.Action):
    """The first data set: what follows are options of it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, values)
        if values is not None:
            namespace.named_last = None


class _With(argparse.Action):
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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line, as every other error is said."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")
