"""Expressions coded in long videos, to recognise or to spot: CAS(ME)2, SAMM and SMIC-E."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._wording import option
from ._folders import (
    CAMERAS,
    Found,
    camera_of,
    clip_name,
    find_folders,
    is_aligned,
    one_tree,
    read_camera,
    subject_trees,
    without_suffix,
)
from ._layouts import CASME_SQ, SAMM_LV, SMIC_E, SMIC_EMOTIONS
from ._reading import Reading, StrPath
from ._sheets import sheet_rows, spreadsheets
from ._workbooks import Formula, Row, is_blank, read_pages
from .readers import read_coded

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_casme_sq", "read_samm_lv", "read_smic_e"]


def read_casme_sq(
    root: StrPath,
    *,
    expressions: str = "micro",
    strict: bool = False,
    sheet: StrPath | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
    tree: str | None = None,
) -> pd.DataFrame:
    """Read the expressions in the long videos of CAS(ME)2 (Qu et al. 2018).

    The layout is ``rawpic/s15/15_0401girlcrashing/img001.jpg``. The workbook, ``CAS(ME)^2code_final.xlsx``,
    has no header; two of its sheets say which folders its subjects and videos are in. Where no offset is
    coded (0), the clip ends at its apex, and a note says so. Parameters not listed, result and errors are
    those of `read_casme`; ``frames`` are those of the long video from onset to offset, and the folder that
    holds them is the whole video.

    Parameters
    ----------
    expressions : {"micro", "macro", "all"}
        Which to read.
    """
    options = {"sheet": sheet, "cropped": cropped, "tree": tree}
    if expressions != "micro":
        options["expressions"] = expressions
    reading = Reading("casme-sq", root, strict, allow_gaps, **options)
    rows = _casme_sq_rows(reading, sheet)
    folders = _casme_sq_folders(reading, cropped, tree)
    return read_coded(CASME_SQ, reading, rows, folders, expressions)


def read_samm_lv(
    root: StrPath,
    *,
    expressions: str = "micro",
    strict: bool = False,
    sheet: StrPath | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
    tree: str | None = None,
) -> pd.DataFrame:
    """Read the expressions of SAMM Long Videos (Yap et al. 2020): ``SAMM_longvideos/006_1/``.

    Its spreadsheet codes no emotion: ``emotion`` is "micro" or "macro". The rest is as in `read_casme_sq`.
    """
    options = {"sheet": sheet, "cropped": cropped, "tree": tree}
    if expressions != "micro":
        options["expressions"] = expressions
    reading = Reading("samm-lv", root, strict, allow_gaps, **options)
    reading.sheet, rows = sheet_rows(SAMM_LV, reading, sheet)
    for _, row in rows:
        video = re.match(r"\s*0*(\d+)_0*(\d+)(_\d+)?\s*$", str(row["clip"]))
        row["folder"] = f"{video[1]}_{video[2]}" if video else None
    trees: dict[Path, list[Found]] = {}
    for found, folder in find_folders(reading, r"0*(\d{1,3})_0*(\d+)(_aligned)?", 2):
        name = f"{found[1]}_{found[2]}{found[3] or ''}"
        trees.setdefault(folder.parent, []).append((int(found[1]), folder, name))
    folders = _chosen(trees, reading, cropped, tree, "006_1, 006_2, ...")
    return read_coded(SAMM_LV, reading, rows, folders, expressions)


def read_smic_e(
    root: StrPath,
    camera: str = "HS",
    *,
    strict: bool = False,
    sheet: StrPath | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
    tree: str | None = None,
) -> pd.DataFrame:
    """Read the micro-expressions in the long videos of SMIC-E (Li et al. 2013, 2018), of one camera.

    The layout is ``HS_long/SMIC-HS-E/s01/s1_ne_01/`` and a spreadsheet for each camera. A video may have
    several micro-expressions: the second of ``s1_ne_01`` is ``s1_ne_01_2``. Parameters not listed, result
    and errors are those of `read_casme`; ``frames`` are those of the long video.

    Parameters
    ----------
    camera : {"HS", "VIS", "NIR"}
        High-speed, visible or near infrared, in the name of the folder and of the spreadsheet.
    """
    name = read_camera(camera)
    options = {"sheet": sheet, "cropped": cropped, "tree": tree}
    reading = Reading(f"smic-e-{name.lower()}", root, strict, allow_gaps, **options)
    rows = _smic_e_rows(reading, name, sheet)
    trees = {}
    for parent, subjects in subject_trees(reading, "s{}", 3).items():
        found = [
            (number, video, video.name)
            for number, folder in subjects.items()
            for video in reading.subfolders(folder)
            if re.fullmatch(r"s\d+_[a-z]+_\d+", clip_name(video), re.IGNORECASE)
        ]
        if found and camera_of(parent, reading.root) in (name, None):
            trees[parent] = found
    folders = _chosen(trees, reading, cropped, tree, f"s01/s1_ne_01, ... of camera {name}")
    return read_coded(replace(SMIC_E, dataset=SMIC_E.dataset.format(name)), reading, rows, folders)


def _casme_sq_rows(reading: Reading, given: StrPath | None) -> list[tuple[int, dict[str, Any]]]:
    """Rows of the sheet of codings, with the folders that the other two sheets say."""
    fits: list[Any] = []
    wrong: list[str] = []
    for path, pages in _workbooks(reading, given, fits, wrong):
        codes = [page for page in pages if _share(page, 7, r"m[ia]cro.*") > 0.5]
        subjects = [
            page for page in pages if _share(page, 1, r"s\d+") > 0.5 and _share(page, 2, r"\d+") > 0.5
        ]
        videos = [
            page
            for page in pages
            if _share(page, 0, r"\d{3,4}") > 0.5 and _share(page, 1, r"[a-z]+\d+") > 0.5
        ]
        if codes and subjects and videos:
            fits.append((path, codes[0], subjects[0], videos[0]))
        else:
            sheets = {"of codings": codes, "that names subjects": subjects, "that names videos": videos}
            lacks = " and none ".join(words for words, found in sheets.items() if not found)
            wrong.append(f"{path} has no sheet {lacks}")
    reading.sheet, codes, subjects, videos = _only(fits, wrong, reading, "CAS(ME)2")
    folder_of = {_plain(code): _plain(folder) for _, folder, code, *_ in subjects}
    code_of = {_plain(video).lower(): _plain(code).zfill(4) for code, video, *_ in videos}
    rows = []
    for number, cells in enumerate(codes, start=1):
        subject, clip, onset, apex, offset, units, emotion, kind = cells[:8]
        apex = None if _plain(apex) == "0" else apex
        if _plain(offset) == "0" and not is_blank(apex):
            reading.notes.append(
                f"{reading.sheet.name}, row {number}: no offset is coded; the clip ends at its apex, "
                f"{_plain(apex)}"
            )
            offset = apex
        row = {"subject": folder_of.get(_plain(subject), subject), "clip": clip, "onset": onset, "apex": apex}
        row |= {"offset": offset, "action_units": units, "emotion": emotion, "type": kind}
        row["folder"] = code_of.get(_plain(clip).partition("_")[0].lower())
        rows.append((number, row))
    return rows


def _casme_sq_folders(
    reading: Reading, cropped: bool | None, tree: str | None
) -> dict[tuple[int, str], Path]:
    """Folders of long videos by subject and by the four digits in their names."""
    trees: dict[Path, list[Found]] = {}
    for parent, subjects in subject_trees(reading, "s{}", 2).items():
        for number, folder in subjects.items():
            for video in reading.subfolders(folder):
                name = re.match(r"0*(\d+)_(\d{4})", video.name)
                if name and int(name[1]) != number:
                    reading.notes.append(
                        f"{video.relative_to(reading.root)} is named after subject {name[1]}: passed over"
                    )
                elif name:
                    suffix = "_aligned" if is_aligned(video) else ""
                    trees.setdefault(parent, []).append((number, video, name[2] + suffix))
    return _chosen(trees, reading, cropped, tree, "s15/15_0401girlcrashing, ...")


def _smic_e_rows(reading: Reading, camera: str, given: StrPath | None) -> list[tuple[int, dict[str, Any]]]:
    """Make a row of each onset that the spreadsheet of a camera has of a video."""
    fits: list[Any] = []
    wrong: list[str] = []
    for path, pages in _workbooks(reading, given, fits, wrong):
        if given is None and camera_of(path.with_suffix(""), reading.root) not in (camera, None):
            continue
        for page in pages:
            header = _header(page)
            if header is None:
                wrong.append(f"{path} has no column Subject, Filename, OnsetF, OffsetF")
            else:
                fits.append((path, page, header))
    reading.sheet, page, header = _only(fits, wrong, reading, f"SMIC-E's camera {camera}")
    names = [_plain(cell) for cell in page[header]]
    at = {
        key: _columns(names, key, camera)
        for key in ("onset", "offset", "apex", "emotion", "subject", "filename")
    }
    if len(at["onset"]) != len(at["offset"]):
        raise ValueError(
            f"{reading.sheet} has {len(at['onset'])} columns Onset, and {len(at['offset'])} Offset"
        )
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, cells in enumerate(page[header + 1 :], start=header + 2):
        subject, name = cells[at["subject"][0]], cells[at["filename"][0]]
        video = _plain(name)
        coded = [_plain(cells[k]) for k in (*at["onset"], *at["offset"])]
        if video in ("", _plain(subject), *coded[:1]) and all(cell in ("", video) for cell in coded):
            continue  # a remark below the clips, perhaps in merged cells
        for k, (onset, offset) in enumerate(zip(at["onset"], at["offset"], strict=True), start=1):
            if k > 1 and is_blank(cells[onset]) and is_blank(cells[offset]):
                continue
            row = {"subject": subject, "clip": video if k == 1 else f"{video}_{k}"}
            if isinstance(name, Formula):
                row["clip"] = name
            row |= {"onset": cells[onset], "offset": cells[offset], "folder": video}
            row["apex"] = cells[at["apex"][k - 1]] if k <= len(at["apex"]) else None
            row["emotion"] = cells[at["emotion"][0]] if at["emotion"] else _emotion_of(video)
            rows.append((number, row))
    return rows


def _header(page: Sequence[Sequence[Any]]) -> int | None:
    """Find the row of names: Subject, Filename and at least one onset and offset."""
    for number, cells in enumerate(page[:40]):
        names = [_plain(cell).lower() for cell in cells]
        if {"subject", "filename"} <= set(names) and all(
            any(name.startswith(word) for name in names) for word in ("onset", "offset")
        ):
            return number
    return None


def _columns(names: Sequence[str], word: str, camera: str) -> list[int]:
    """Columns whose names begin with a word; those of the camera where names say one ("OnsetF NIR")."""
    begin = {k: name.upper() for k, name in enumerate(names) if name.lower().startswith(word)}
    own = [k for k, name in begin.items() if name.endswith(camera)]
    return own or [k for k, name in begin.items() if not name.endswith(CAMERAS)]


def _emotion_of(video: str) -> str:
    """Read the emotion in the name of a video, s1_ne_01."""
    word = video.split("_")[1].lower() if "_" in video else video
    return next((emotion for emotion in SMIC_EMOTIONS if emotion.startswith(word)), word)


def _workbooks(
    reading: Reading, given: StrPath | None, fits: Sequence[Any], wrong: list[str]
) -> Iterator[tuple[Path, list[list[Row]]]]:
    """Spreadsheets of a data set, each with the rows of its sheets, all of a sheet equally long.

    CSV files come last, and only if `fits`, which begin with a path, are none by then.
    """
    if given is not None and not Path(given).is_file():
        raise FileNotFoundError(f"{given}: no such spreadsheet")
    found = chain.from_iterable(spreadsheets(reading))
    for path in [Path(given)] if given is not None else found:
        is_csv = path.suffix.lower() == ".csv"
        if is_csv and fits:
            return
        notes: list[str] = []
        try:
            pages = [page.rows() for page in read_pages(path, notes)]
        except ValueError as error:
            (wrong if is_csv else reading.notes).append(str(error))  # CSV files are of anything
            continue
        widths = [max(map(len, rows), default=0) for rows in pages]
        yield (
            path,
            [
                [row + [None] * (width - len(row)) for row in rows]
                for rows, width in zip(pages, widths, strict=True)
            ],
        )
        if any(fit[0] == path for fit in fits):
            reading.notes += notes


def _only(fits: list[Any], wrong: list[str], reading: Reading, dataset: str) -> Any:
    """Return the only spreadsheet that fits, or say why there is none or which there are."""
    if len(fits) == 1:
        return fits[0]
    if fits:
        names = ", ".join(sorted({str(path.name) for path, *_ in fits}))
        raise ValueError(
            f"{reading.root} holds {len(fits)} spreadsheets of {dataset} ({names}); say which one with "
            f"{option('sheet', ...)}"
        )
    if wrong or reading.notes:
        more = [f"and {len(wrong) - 20} more"] * (len(wrong) > 20)
        raise ValueError("\n".join([*wrong[:20], *more, *reading.notes]))
    raise FileNotFoundError(
        f"{reading.root} holds 0 spreadsheets (*.xlsx, *.xlsm, *.xls, *.csv) of {dataset} in it or at most "
        "two folders below; it must hold one"
    )


def _share(page: Sequence[Sequence[Any]], column: int, pattern: str) -> float:
    """Share of a sheet's rows whose cell in a column is of a pattern."""
    cells = [_plain(row[column]) for row in page if column < len(row) and any(not is_blank(c) for c in row)]
    return sum(bool(re.fullmatch(pattern, cell, re.IGNORECASE)) for cell in cells) / max(1, len(cells))


def _plain(cell: Any) -> str:
    """Write a cell as text, a whole number without a point."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return "" if is_blank(cell) else str(cell).strip()


def _chosen(
    trees: Mapping[Path, Sequence[Found]],
    reading: Reading,
    cropped: bool | None,
    tree: str | None,
    called: str,
) -> dict[tuple[int, str], Path]:
    if not trees:
        raise FileNotFoundError(
            f"{reading.root} has no folders {called} in it or at most three folders below"
            f"{reading.not_looked_into}"
        )
    return without_suffix(trees[one_tree(trees, reading, cropped, tree)], reading, cropped)
