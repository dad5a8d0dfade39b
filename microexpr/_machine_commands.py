"""The commands ``microexpr warmup`` and ``microexpr doctor``: the kernels, and the machine they run on."""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path
from typing import Any

from ._command_line import print_json
from ._extras import PURPOSES, is_installed, packages_of

_WITH_KERNELS = ("ltogp", "rankpool", "l21")


def warmup(options: argparse.Namespace) -> int:
    """Run each algorithm once, so that its kernels are compiled and kept."""
    import numba  # whose import is none of the packages'

    del numba
    rows = []
    for name in _WITH_KERNELS:
        if not options.json:  # before the work, too: the first of them takes half a minute
            print(f"{name:<10}", end="", flush=True)
        rows.append(_warm_up(name))
        if not options.json:
            print(_warmed(rows[-1]), flush=True)
    if options.json:
        print_json({"packages": rows})
    return 1 if any(row["cache"] is None for row in rows) else 0


def _warm_up(name: str) -> dict[str, Any]:
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cache = _cache_of(name)
        before = _kernels_in(cache)
        _RUNS[name]()
    problem = [str(warning.message) for warning in caught if "cache" in str(warning.message)]
    if cache is None and not problem:
        problem = ["no folder can be written to; NUMBA_CACHE_DIR may name one"]
    return {
        "package": name,
        "seconds": time.perf_counter() - started,
        "compiled": len(_kernels_in(cache) - before),
        "cache": None if problem else cache,
        "problem": problem[0] if problem else None,
    }


def _warmed(row: dict[str, Any]) -> str:
    compiled = row["compiled"]
    done = f"compiled {compiled} kernel{'s' * (compiled > 1)}" if compiled else "cached"
    if row["cache"] is None:
        done = "compiled, for this process only"
    return f"{row['seconds']:>6.1f} s  {done:<22}  {row['cache'] or row['problem']}"


def _run_ltogp() -> None:
    import numpy as np

    import ltogp

    frames = np.random.default_rng(0).integers(0, 256, (2, 128, 128), dtype=np.uint8)
    ltogp.histogram(frames)
    ltogp.encode(frames)


def _run_rankpool() -> None:
    import numpy as np

    import rankpool

    V = np.random.default_rng(0).poisson(4.0, (12, 64)).astype(np.float32)
    rankpool.held_out_scores(V)
    rankpool.rank_pool(V)  # of counts, in closed form
    rankpool.rank_pool(V.astype(np.float64), 0.1, normalize="l2")  # and where there is none


def _run_l21() -> None:
    import numpy as np

    import l21

    X = np.random.default_rng(0).standard_normal((12, 30))
    Y, _ = l21.one_hot(np.arange(12) % 3)
    l21.solve(X, Y)  # which has no kernels
    l21.solve_squared(X, Y)
    l21.solve_logistic(X, Y)


_RUNS = {"ltogp": _run_ltogp, "rankpool": _run_rankpool, "l21": _run_l21}


def _cache_of(name: str) -> str | None:
    """Return the folder that Numba keeps the kernels of a package in; None if it finds none to write to."""
    from numba.core.caching import FunctionCache

    import l21
    import ltogp
    import rankpool

    # Each of a file beside that of the kernels.
    functions = {"ltogp": ltogp.encode, "rankpool": rankpool.rank_svm, "l21": l21.solve}
    try:
        return str(FunctionCache(functions[name]).cache_path)
    except RuntimeError:
        return None


def _kernels_in(cache: str | None) -> set[str]:
    return set() if cache is None else {path.name for path in Path(cache).glob("*.nbc")}


def doctor(options: argparse.Namespace) -> int:
    """Say what is installed, what runs how on this machine, and what is missing."""
    import platform

    from . import __version__

    found: dict[str, Any] = {
        "microexpr": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "packages": _packages(),
        "extras": {name: _extra(name) for name in PURPOSES},
    }
    try:
        found |= _machine()
    except ImportError as error:  # what is missing is told; what it would have told of is not
        found["problem"] = str(error)
    if options.json:
        print_json(found)
    else:
        print("\n".join(_lines(found)))
    missing = [name for name, version in found["packages"].items() if version is None]
    kept = all(cache["writable"] for cache in found.get("caches", {}).values())
    return 1 if missing or not kept or "problem" in found else 0


def _packages() -> dict[str, str | None]:
    """Return the version of each package that the core needs; None for those that are not there."""
    import re
    from importlib.metadata import PackageNotFoundError, requires

    try:
        needed = requires("microexpr") or []
    except PackageNotFoundError:  # run from a clone
        needed = []
    names = [re.split(r"[^\w.-]", text)[0] for text in needed if "extra ==" not in text]
    return {name: _version(name) for name in (*names, "llvmlite")}


def _extra(name: str) -> dict[str, Any]:
    versions = {package: _version(package) for package in packages_of(name).values()}
    return {"for": PURPOSES[name], "installed": is_installed(name), "packages": versions}


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    import joblib
    import numba
    import scipy.linalg  # which brings its BLAS
    from llvmlite import binding  # type: ignore[import-untyped]
    from threadpoolctl import threadpool_info

    import ltogp

    del scipy
    config: Any = numba.config
    chosen = (config.CPU_FEATURES or "").split(",") if config.CPU_NAME or config.CPU_FEATURES else None
    has = (
        binding.get_host_cpu_features()
        if chosen is None
        else {name[1:]: True for name in chosen if name[:1] == "+"}
    )
    instructions = [name for name in ("avx2", "avx512bw", "avx512vpopcntdq") if has.get(name)]
    kernels = "bit planes (AVX-512, VPOPCNTDQ)" if ltogp.counts_bits() else "bytes"
    if config.DISABLE_JIT:
        kernels = "plain Python (NUMBA_DISABLE_JIT)"
    caches = {}
    for name in _WITH_KERNELS:
        cache = _cache_of(name)
        caches[name] = {"folder": cache, "writable": cache is not None, "kernels": len(_kernels_in(cache))}
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return {
        "processor": {
            "model": _processor(),
            "compiled_for": config.CPU_NAME or binding.get_host_cpu_name(),
            "instructions": instructions,
            "ltogp_counts": kernels,
        },
        "threads": {
            "cpus": os.cpu_count(),
            "cpus_of_this_process": joblib.cpu_count(),  # what n_jobs=-1 takes: of a cgroup, too
            "NUMBA_NUM_THREADS": config.NUMBA_NUM_THREADS,
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
            "threading_layer": f"none of Numba's ({config.THREADING_LAYER}): ltogp has threads of its own",
        },
        "blas": [
            {
                "library": f"{library['internal_api']} {library['version']}",
                "kernels": library.get("architecture"),
                "threads": library["num_threads"],
                "file": library["filepath"],
            }
            for library in blas
        ],
        "caches": caches,
    }


def _processor() -> str:
    import platform

    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"microexpr {found['microexpr']}, {found['python']}, {found['platform']}"]
    if "processor" in found:
        cpu, threads = found["processor"], found["threads"]
        has = ", ".join(cpu["instructions"]) or "none of AVX2, AVX-512"
        layer = threads["threading_layer"]
        lines += [
            "",
            f"processor   {cpu['model']}; kernels for {cpu['compiled_for']} ({has})",
            f"            ltogp counts {cpu['ltogp_counts']}",
            f"threads     {threads['cpus_of_this_process']} of {threads['cpus']} CPUs are this process's; "
            f"NUMBA_NUM_THREADS={threads['NUMBA_NUM_THREADS']}, OMP_NUM_THREADS={threads['OMP_NUM_THREADS']}",
            f"            threading layer: {layer}",
        ]
        for library in found["blas"]:
            lines.append(
                f"BLAS        {library['library']} for {library['kernels']}, {library['threads']} threads "
                f"(one inside of the solvers): {library['file']}"
            )
        for name, cache in found["caches"].items():
            kept = f"{cache['folder']}: {cache['kernels']} kernels" if cache["writable"] else _NO_CACHE
            lines.append(f"cache       {name:<9} {kept}")
    lines.append("")
    for name, version in found["packages"].items():
        lines.append(f"{name:<20}{version or 'MISSING: microexpr needs it'}")
    lines.append("")
    for name, extra in found["extras"].items():
        versions = ", ".join(
            f"{package} {version}" for package, version in extra["packages"].items() if version
        )
        missing = f"missing, for {extra['for']}: pip install 'microexpr[{name}]'"
        lines.append(f"{name:<20}{versions if extra['installed'] else missing}")
    if "problem" in found:
        lines += ["", f"The rest cannot be told: {found['problem']}"]
    return lines


_NO_CACHE = "no folder can be written to: every process compiles anew; NUMBA_CACHE_DIR may name one"
