"""The command ``microexpr evaluate``."""

from __future__ import annotations

import argparse
import time

from ._command_line import check_writable, matplotlib_is_there, print_json, reading_of, warned_once
from ._dask import on_dask
from ._extras import require
from ._options import SETTINGS
from ._wording import option


def evaluate(options: argparse.Namespace) -> None:
    check_writable(options.out, folder=True)
    require("this command", "datasets", "store")
    from .data import report
    from .experiment import Settings, extract_and_evaluate, read, repeat, save_evaluation
    from .experiment.report import as_json

    started = time.perf_counter()
    if (options.dataset is None) != (options.root is None):
        raise ValueError(f"{options.dataset} needs its folder: microexpr evaluate DATASET ROOT")
    if options.dataset is None and reading_of(options):
        raise ValueError(f"{option(next(iter(reading_of(options))))} is of which data set? Give DATASET ROOT")
    first = [(options.dataset, options.root, reading_of(options))] if options.dataset else []
    sources = [*first, *(options.others or [])]
    given = {name: getattr(options, name) for name in SETTINGS if getattr(options, name) is not None}
    differences: list[str] = []
    with on_dask(options.dask), warned_once():
        if options.file is not None:
            if given or options.classes:
                names = ", ".join([*given, *(["classes"] if options.classes else [])])
                raise ValueError(f"{options.file} says what {names} is; give no other beside --from")
            evaluation, differences = repeat(
                options.file, sources=sources or None, store=options.store, n_jobs=options.jobs
            )
        else:
            if not sources:
                raise ValueError("evaluate what? Give DATASET ROOT, or --from FILE")
            settings = Settings(**given)
            table = read(sources, options.classes)
            if not options.json:
                print(report(table) + "\n", flush=True)
            evaluation = extract_and_evaluate(table, settings, store=options.store, n_jobs=options.jobs)
    written = save_evaluation(evaluation, options.out)
    if matplotlib_is_there():
        from . import plots

        written += plots.save_evaluation(evaluation, options.out)
    if options.json:  # comes last: nobody may read it any more
        print_json(as_json(evaluation))
    else:
        print(evaluation)
        seconds = time.perf_counter() - started
        print(f"\nwrote {len(written)} files into {options.out}; done in {seconds:.0f} s")
    if options.file is not None:
        if differences:
            raise ValueError(f"not what {options.file} has: {'; '.join(differences)}")
        if not options.json:
            print(f"the same as {options.file}, bit for bit")
