"""Try other strengths of what makes `simulate --difficulty real` hard: methods' scores on a part of it.

    python bench/calibrate.py --only lbp_top lbp_sip mdmo flow
    python bench/calibrate.py --set turn=0.5 flicker=0.004 --only lbp_top mdmo

Strengths are chosen on seeds 11 and 12: the tables in the docs are of others.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
from comparators import NAMES, load
from compare import Clips, by_name, describe_all
from joblib import parallel_config

import microexpr
from microexpr.data import real_simulation, simulation
from microexpr.experiment import Scores

REAL = real_simulation.REAL


def main() -> None:
    """Draw the clips, and print a line a method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="of " + ", ".join(REAL._fields)
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, default=["lbp_top", "lbp_sip", "mdmo", "flow"])
    parser.add_argument("--difficulty", choices=("easy", "real"), default="real", help="(%(default)s)")
    parser.add_argument("--subjects", type=int, default=13, help="(%(default)s)")
    parser.add_argument("--clips", type=int, default=123, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=11, help="(%(default)s)")
    parser.add_argument("--noise", type=float, default=1.0, help="(%(default)s)")
    parser.add_argument("--motion", type=float, nargs=2, default=(1.0, 2.0), help="(1 2)")
    parser.add_argument("--faces", metavar="FOLDER", help="portraits (default: drawn faces)")
    options = vars(parser.parse_args())
    names, changes = options.pop("only"), dict(change.split("=") for change in options.pop("set"))
    strengths = REAL._replace(**{name: type(getattr(REAL, name))(value) for name, value in changes.items()})

    def code(*arguments):  # type: ignore[no-untyped-def]
        return real_simulation.code_clips(*arguments, strengths)

    def draw(*arguments):  # type: ignore[no-untyped-def]
        return real_simulation.draw_clip(*arguments, strengths)

    with (
        parallel_config(n_jobs=-1),
        tempfile.TemporaryDirectory() as folder,
        mock.patch.multiple(simulation, code_clips=code, draw_clip=draw, REAL=strengths),
    ):
        table = microexpr.read_casme2(microexpr.simulate(Path(folder) / "data", **options))
        y, groups = (table[name].to_numpy(dtype=str) for name in ("emotion", "subject"))
        labels, counts = np.unique(y, return_counts=True)
        print(f"{len(y)} simulated clips; always the largest class: {100 * counts.max() / len(y):.1f} %")
        for name in names:
            X, failures, _ = describe_all(partial(by_name, name), Clips(table, list(table["frames"])), name)
            if failures:
                raise SystemExit(f"{name} fails on {len(failures)} clips, first because {failures[0].why}")
            predicted = load(name).classify(X, table)
            scores = Scores(y, np.asarray(predicted), groups, labels)
            print(f"{name}: accuracy {100 * scores.accuracy:.1f} %, UF1 {100 * scores.uf1:.1f} %", flush=True)


if __name__ == "__main__":
    main()
