"""The options of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from . import __version__
from ._examples import STATUS, epilog_of
from ._option_groups import (
    NAMED,
    POOLINGS,
    FirstDataset,
    add_classes,
    add_damaged,
    add_dask,
    add_further_datasets,
    add_json,
    add_pooling,
    add_preparation,
    add_reading,
    add_stabilisation,
    add_store,
    jobs,
    location,
    number_of_features,
)
from ._spotting_options import add_long_simulation, add_spotting
from ._wording import flag

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
    "poolings": {
        "nargs": "+",
        "choices": POOLINGS,
        "help": "recipes to evaluate beside the paper's rank pooling, in rows of their own: the mean of a "
        "clip's frames, both, the log length of rank pooling's u in each block (rank)",
    },
    "classifier": {
        "choices": ("svm", "lda"),
        "help": "linear SVM, or linear discriminant analysis with shrinkage, which has no C (svm)",
    },
    "class_weight": {
        "choices": ("balanced",),
        "help": "let rare classes weigh as much as frequent ones (default: no)",
    },
}


def make_parser(
    functions: Mapping[str, Callable[[argparse.Namespace], int | None]],
) -> argparse.ArgumentParser:
    """Return the parser; parsed options have their command's function as `command`, and its `own_parser`."""
    parser = _Parser(
        prog="microexpr",
        description="Micro-expression recognition by temporal order (Niu et al., 2019).",
        epilog=STATUS,
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
    for name in ("classifier", "class_weight"):
        demo.add_argument(flag(name), **SETTINGS[name])  # type: ignore[arg-type]
    demo.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the simulated data set in this new folder"
    )
    demo.add_argument(
        "--out", type=Path, default=Path("microexpr-demo.png"), metavar="FILE", help="pictures (%(default)s)"
    )
    add_json(demo)

    simulate = _command(
        commands,
        "simulate",
        functions["simulate"],
        "write a simulated data set in CASME II's layout, spreadsheet included",
    )
    simulate.add_argument("out", type=Path, metavar="OUT", help="folder to write into; new or empty")
    _add_simulation(simulate, subjects=26, clips=246, frames=(40, 90))
    add_long_simulation(simulate)
    add_json(simulate)

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
    add_damaged(describe)
    add_stabilisation(describe)
    describe.add_argument(
        "--blocks", type=int, nargs=2, default=(8, 8), metavar=("DOWN", "ACROSS"), help="(8 8)"
    )
    describe.add_argument("--C", type=float, default=1.0, help="penalty of rank pooling (%(default)s)")
    add_pooling(describe)
    describe.add_argument(
        "--out", metavar="PREFIX", help="write PREFIX.npz and PREFIX.png (VIDEO's name, here)"
    )
    add_json(describe)

    _add_cropping(
        _command(commands, "crop", functions["crop"], "faces of a video or a data set -> clips of images")
    )
    add_spotting(
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
    add_json(check)
    _add_evaluation(
        _command(
            commands,
            "evaluate",
            functions["evaluate"],
            "a data set -> the paper's tables and Fig. 4, with what makes them comparable",
        )
    )
    _add_training(
        _command(
            commands,
            "train",
            functions["train"],
            "a data set -> a recogniser, with its scores on people left out",
        )
    )
    _add_classification(
        _command(commands, "classify", functions["classify"], "clips -> their classes, by a recogniser")
    )
    warmup = _command(
        commands,
        "warmup",
        functions["warmup"],
        "compile the kernels once, and say how long each package took",
    )
    add_json(warmup)
    doctor = _command(
        commands,
        "doctor",
        functions["doctor"],
        "what is installed, what runs how on this machine, and what is missing for what",
    )
    add_json(doctor)
    completion = _command(
        commands,
        "completion",
        functions["completion"],
        "print what completes commands and options in a shell",
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    return parser


def _add_cropping(parser: argparse.ArgumentParser) -> None:
    parser.usage = "microexpr crop [options] (VIDEO | DATASET ROOT) OUT"
    parser.add_argument(
        "source",
        nargs="+",
        metavar="SOURCE",
        help=f"a video or folder of frames; or a data set ({NAMED}) and its folder",
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
    add_damaged(parser)
    add_json(parser)
    add_reading(parser)
    parser.add_argument("--jobs", type=jobs, default=-1, metavar="J", help="threads (-1: every core)")


def _add_extraction(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help=NAMED)
    parser.add_argument("root", action=FirstDataset, metavar="ROOT", help="its folder (manifest: its file)")
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
    add_preparation(parser)
    add_pooling(parser)
    parser.add_argument("--strict", action="store_true", help="fail if any clip cannot be read or described")
    add_json(parser)
    add_reading(parser)
    parser.add_argument("--jobs", type=jobs, default=-1, metavar="J", help="threads (-1: every core)")
    add_dask(parser)


def _add_evaluation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", nargs="?", metavar="DATASET", help=NAMED)
    parser.add_argument(
        "root", nargs="?", action=FirstDataset, metavar="ROOT", help="its folder (manifest: its file)"
    )
    add_further_datasets(parser, "a further data set, for the protocols composite and cross")
    add_store(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("microexpr-evaluation"),
        metavar="DIR",
        help="folder to write into (%(default)s)",
    )
    add_classes(parser)
    parser.add_argument(
        "--from", dest="file", type=Path, metavar="FILE", help="repeat what this evaluation.json says"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="take options from this TOML file, by their names (n-features = 325); those given here win",
    )
    add_json(parser)
    add_reading(parser)
    for name, keywords in SETTINGS.items():
        parser.add_argument(flag(name), dest=name, default=None, **keywords)  # type: ignore[arg-type]
    parser.add_argument("--jobs", type=jobs, default=-1, metavar="J", help="processes (-1: every core)")
    add_dask(parser)


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help=NAMED)
    parser.add_argument("root", action=FirstDataset, metavar="ROOT", help="its folder (manifest: its file)")
    add_further_datasets(parser, "a further data set to train on")
    add_classes(parser)
    parser.add_argument(
        "--model", type=Path, required=True, metavar="FILE", help="to write the recogniser into"
    )
    add_store(parser)
    parser.add_argument(
        "--recipe",
        choices=("paper", "auto"),
        default="paper",
        help="what holds for options that are not given: the paper's values (default), or a choice among "
        "several, by the clips of people left out",
    )
    group = parser.add_argument_group("recipe", "Of several values one is chosen inside the training folds.")
    group.add_argument(
        "--pooling",
        nargs="+",
        choices=POOLINGS,
        help='"rank" (the paper\'s, default), "mean", both, "energy"',
    )
    group.add_argument(
        "--n-features",
        nargs="+",
        type=number_of_features,
        metavar="N",
        help="features to select, or all (casme 325, others 450)",
    )
    group.add_argument(
        "--gamma", nargs="+", type=float, metavar="G", help="weight of the loss in Eq. (4) (1)"
    )
    group.add_argument("--C", nargs="+", type=float, metavar="C", help="penalty of the SVM (1)")
    group.add_argument(
        "--classifier",
        choices=("svm", "lda"),
        default="svm",
        help="linear SVM (default), or discriminant analysis with shrinkage",
    )
    group.add_argument(
        "--class-weight", choices=("balanced",), help="let rare classes count as much as others (default: no)"
    )
    group.add_argument(
        "--blocks", type=int, nargs=2, default=(8, 8), metavar=("DOWN", "ACROSS"), help="(8 8)"
    )
    add_preparation(parser, size=None)
    parser.add_argument(
        "--n-splits", type=int, metavar="K", help="leave out a K-th of the subjects (default: one subject)"
    )
    parser.add_argument(
        "--inner-splits",
        type=int,
        default=5,
        metavar="K",
        help="folds, by subject, to choose by (%(default)s)",
    )
    add_json(parser)
    add_reading(parser)
    parser.add_argument("--jobs", type=jobs, default=-1, metavar="J", help="threads (-1: every core)")
    add_dask(parser)


def _add_classification(parser: argparse.ArgumentParser) -> None:
    parser.usage = "microexpr classify [options] FILE (CLIP ... | DATASET ROOT)"
    parser.add_argument("model", type=Path, metavar="FILE", help="what `microexpr train` wrote")
    parser.add_argument(
        "clips",
        nargs="+",
        metavar="CLIP",
        help=f"videos, folders of frames, folders of these; or a data set ({NAMED}) and its folder",
    )
    parser.add_argument(
        "--face",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="crop clips to the face, or not (default: as the model's; where these were faces, videos yes, "
        "folders no)",
    )
    add_damaged(parser)
    add_json(parser)
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write a table of all that is said into FILE"
    )
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write a picture of each clip into DIR")
    add_classes(parser)
    add_reading(parser)
    parser.add_argument("--jobs", type=jobs, default=-1, metavar="J", help="threads (-1: every core)")


def _command(commands, name, function, text):  # type: ignore[no-untyped-def]
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=epilog_of(name),
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.set_defaults(command=function, own_parser=parser)
    return parser


def _add_simulation(
    parser: argparse.ArgumentParser, subjects: int, clips: int, frames: tuple[int, int]
) -> None:
    group = parser.add_argument_group("simulation")
    group.add_argument("--subjects", type=int, default=subjects, help="(%(default)s)")
    group.add_argument("--clips", type=int, default=clips, help="of all subjects together (%(default)s)")
    group.add_argument(
        "--difficulty",
        choices=("easy", "real"),
        default="easy",
        help="easy: where a face moves tells the class; real: as hard as CASME II for methods that read "
        "motion, harder for others, see docs/simulation.md (%(default)s)",
    )
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


class _Help(argparse.HelpFormatter):
    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Leave the lines of examples as they are."""
        return text if "\n" in text else super()._fill_text(text, width, indent)


class _Parser(argparse.ArgumentParser):
    source = ""  # the file that options are from, while they are not from the command line

    def error(self, message: str) -> NoReturn:
        """Say it in one line, as every other error is said."""
        self.exit(2, f"{self.prog}: {self.source}{message} (see {self.prog} --help)\n")
