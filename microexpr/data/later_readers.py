"""Readers of the data sets that came after CAS(ME)3's part A: its part C, MMEW and 4DME."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ._folders import clip_folders, named_folders
from ._layouts import CASME3_C, FOUR_DME, MMEW, Layout
from ._reading import Fault, Reading, StrPath
from ._sheets import read_emotion, read_subject, sheet_rows
from ._workbooks import is_blank
from .readers import read_coded

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_4dme", "read_casme3_c", "read_mmew"]


def read_mmew(
    root: StrPath,
    *,
    strict: bool = False,
    sheet: StrPath | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
    whole_folder: bool = False,
    tree: str | None = None,
) -> pd.DataFrame:
    """Read the micro-expressions of MMEW (Ben et al. 2021): ``Micro_Expression/EMOTION/S04-03-001/``.

    Folders are found by the names in the column Filename of the spreadsheet. Parameters, result and errors
    are those of `read_casme`.
    """
    options = {"sheet": sheet, "cropped": cropped, "whole_folder": whole_folder, "tree": tree}
    reading = Reading("mmew", root, strict, allow_gaps, **options)
    reading.sheet, rows = sheet_rows(MMEW, reading, sheet)
    return read_coded(MMEW, reading, rows, named_folders(reading, _named(MMEW, rows), cropped, tree))


def read_casme3_c(
    root: StrPath,
    *,
    strict: bool = False,
    sheet: StrPath | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
    whole_folder: bool = False,
    tree: str | None = None,
) -> pd.DataFrame:
    """Read the micro-expressions of part C of CAS(ME)3 (Li et al. 2023): ``01/a/color/``, a mock crime.

    A subject has one video; its clips are named by their count in the spreadsheet, and clips cut out into
    folders of these names (``01/1/color/``) are read as well. No apex is coded. Parameters, result and
    errors are those of `read_casme`.
    """
    options = {"sheet": sheet, "cropped": cropped, "whole_folder": whole_folder, "tree": tree}
    reading = Reading("casme3-c", root, strict, allow_gaps, **options)
    reading.sheet, rows = sheet_rows(CASME3_C, reading, sheet)
    folders = clip_folders(CASME3_C, reading, cropped, tree)
    videos: dict[int, list[str]] = {}
    for subject, name in folders:
        videos.setdefault(subject, []).append(name)
    for _, row in rows:
        if isinstance(row["clip"], float) and row["clip"].is_integer():
            row["clip"] = int(row["clip"])  # as in an old .xls
        try:
            subject = read_subject(CASME3_C, row["subject"])
        except Fault:
            continue  # `read_coded` says so
        if (subject, str(row["clip"])) not in folders and len(videos.get(subject, [])) == 1:
            row["folder"] = videos[subject][0]
    return read_coded(CASME3_C, reading, rows, folders)


def read_4dme(
    root: StrPath,
    *,
    strict: bool = False,
    sheet: StrPath | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
    whole_folder: bool = False,
    tree: str | None = None,
) -> pd.DataFrame:
    """Read the micro-expressions of 4DME (Li et al. 2022), of its grey videos or another tree of frames.

    Folders are found as ``S13/FOLD_NAME/``, or anywhere by the name in the column fold_name. A clip of
    several emotions has them all, in the order of the alphabet: ``positive+surprise``. Parameters, result
    and errors are those of `read_casme`.
    """
    options = {"sheet": sheet, "cropped": cropped, "whole_folder": whole_folder, "tree": tree}
    reading = Reading("4dme", root, strict, allow_gaps, **options)
    reading.sheet, rows = sheet_rows(FOUR_DME, reading, sheet)
    for _, row in rows:
        if isinstance(row["emotion"], str):
            words = re.split(r"[^a-z]+", row["emotion"].lower().strip())
            row["emotion"] = "+".join(sorted({read_emotion(word, "Emotion") for word in words if word}))
    try:
        folders = clip_folders(FOUR_DME, reading, cropped, tree)
    except FileNotFoundError:
        folders = named_folders(reading, _named(FOUR_DME, rows), cropped, tree)
    return read_coded(FOUR_DME, reading, rows, folders)


def _named(layout: Layout, rows: list[tuple[int, dict[str, Any]]]) -> dict[str, int]:
    """Names of clips in lower case, and whose they are."""
    subjects = {}
    for _, row in rows:
        try:
            if not is_blank(row["clip"]):
                subjects[str(row["clip"]).strip().lower()] = read_subject(layout, row["subject"])
        except Fault:
            continue  # `read_coded` says so
    return subjects
