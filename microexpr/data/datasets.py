"""Data sets by name: what reads each, and who gives it out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._wording import option
from ._reading import StrPath
from .later_readers import read_4dme, read_casme3_c, read_mmew
from .long_videos import read_casme_sq, read_samm_lv, read_smic_e
from .manifests import read_manifest
from .readers import read_casme, read_casme2, read_casme3, read_samm, read_smic

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DATASETS", "read_dataset"]

#: Data sets by name, as the command line knows them.
DATASETS: dict[str, Callable[..., pd.DataFrame]] = {
    "casme": read_casme,
    "casme2": read_casme2,
    "smic": partial(read_smic, camera="HS"),
    "smic-hs": partial(read_smic, camera="HS"),
    "smic-vis": partial(read_smic, camera="VIS"),
    "smic-nir": partial(read_smic, camera="NIR"),
    "samm": read_samm,
    "casme3": read_casme3,
    "casme3-c": read_casme3_c,
    "casme-sq": read_casme_sq,
    "samm-lv": read_samm_lv,
    "smic-e": partial(read_smic_e, camera="HS"),
    "smic-e-hs": partial(read_smic_e, camera="HS"),
    "smic-e-vis": partial(read_smic_e, camera="VIS"),
    "smic-e-nir": partial(read_smic_e, camera="NIR"),
    "mmew": read_mmew,
    "4dme": read_4dme,
    "manifest": read_manifest,
}


# Who gives the data sets out; each asks for a signed licence agreement.
_CASME_GROUP = "of the Institute of Psychology, Chinese Academy of Sciences (casme.psych.ac.cn/casme)"
_GIVEN_OUT_BY = {
    "casme": f"CASME {_CASME_GROUP}",
    "casme2": f"CASME II {_CASME_GROUP}",
    "casme-sq": f"CAS(ME)2 {_CASME_GROUP}",
    "casme3": f"CAS(ME)3 {_CASME_GROUP}",
    "mmew": "MMEW of Shandong University (dpailab.com/database.html)",
    "4dme": "4DME of the University of Oulu, Center for Machine Vision",
    "smic": "SMIC of the University of Oulu, Center for Machine Vision",
    "samm": "SAMM of Manchester Metropolitan University",
}


def read_dataset(name: str, root: StrPath, **options: Any) -> pd.DataFrame:
    """Read a data set by its name in `DATASETS`, in any case.

    `root` is its folder, or a manifest's file; `options` are passed to the reader. ValueError if there is no
    such name, or its reader has no such option; FileNotFoundError, which says where the data set is from, if
    there is no such folder.

    Examples
    --------
    >>> from microexpr.data import read_dataset
    >>> read_dataset("casme4", ".")
    Traceback (most recent call last):
        ...
    ValueError: 'casme4' is not a data set; it must be casme, casme2, smic, smic-hs, smic-vis, ...
    """
    reader = check_source(name, options)
    source = _GIVEN_OUT_BY.get(name.lower()) or _GIVEN_OUT_BY.get(name.lower().split("-")[0])
    if source and not Path(root).exists():
        raise FileNotFoundError(
            f"{root}: no such folder; {source} is given out under a signed licence "
            "(without one, `microexpr simulate` writes clips in CASME II's layout)"
        )
    return reader(root, **options)


def check_source(name: str, options: Iterable[str]) -> Callable[..., pd.DataFrame]:
    """Return the reader of a data set, or raise a ValueError if there is none or it has no such option."""
    reader = DATASETS.get(name.lower())
    if reader is None:
        raise ValueError(f"{name!r} is not a data set; it must be {', '.join(DATASETS)}")
    taken = [key for key in inspect.signature(reader).parameters if key not in ("root", "path")]
    if name.lower().endswith(("-hs", "-vis", "-nir")):
        taken.remove("camera")  # its name says it
    for key in options:
        if key not in taken:
            raise ValueError(f"{name} has no {option(key)}; it has {', '.join(map(option, taken))}")
    return reader
