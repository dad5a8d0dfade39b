"""What each data set looks like: its folders, columns and emotions, and the known slips of its sheet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

EMOTIONS: Sequence[str] = (
    *("anger", "contempt", "disgust", "fear", "happiness"),
    *("others", "repression", "sadness", "surprise", "tense"),
)
SMIC_EMOTIONS: Sequence[str] = ("negative", "positive", "surprise")


@dataclass(frozen=True)
class Layout:
    """What a data set with a spreadsheet looks like."""

    dataset: str
    folder: str  # of a subject
    digits: int  # of a subject in the table
    columns: Mapping[str, Sequence[str]]  # field -> its names in the spreadsheet
    # Row under the header, from 0 -> what it should say. See docs/datasets.md.
    slips: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    long_videos: bool = False  # a folder holds a whole video, in which several clips are coded
    named_by_onset: bool = False  # its clips have no name but the video's
    emotions: Sequence[str] = EMOTIONS
    # What a row says (subject, clip, onset, offset), wherever it stands -> what it should say.
    coded_slips: Mapping[tuple[int, str, int, int], Mapping[str, int]] = field(default_factory=dict)


def _columns(onset: str, apex: str, offset: str, emotion: str) -> dict[str, list[str]]:
    """Name the columns of a spreadsheet; | stands between the names that one may have."""
    names = {"subject": "Subject", "clip": "Filename", "onset": onset, "apex": apex, "offset": offset}
    return {key: value.split("|") for key, value in {**names, "emotion": emotion}.items()}


CASME = Layout(
    "CASME",
    "sub{:02d}",
    2,
    _columns("OnsetF|OnsetFrame", "ApexF1|ApexF|ApexFrame", "OffsetF|OffsetFrame", "Emotion"),
    {
        40: {"onset": 100, "offset": 149},
        42: {"onset": 101, "offset": 119},
        43: {"onset": 57, "offset": 74},
        54: {"offset": 40},
        140: {"offset": 142},
    },
)
CASME2 = Layout(
    "CASME II",
    "sub{:02d}",
    2,
    _columns("OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion"),
    {60: {"offset": 91}},
)
SAMM = Layout(
    "SAMM",
    "{:03d}",
    3,
    _columns("Onset Frame", "Apex Frame", "Offset Frame", "Estimated Emotion"),
    {56: {"offset": 5739}},
)
CASME3 = Layout(
    "CAS(ME)3",
    "spNO.{}",
    3,
    _columns("Onset", "Apex", "Offset", "emotion"),
    long_videos=True,
    named_by_onset=True,
    coded_slips={
        (149, "d", 112, 358): {"apex": 123},
        (214, "c", 5, 3460): {"offset": 34},
        (216, "d", 3647, 2694): {"onset": 2647},
        (216, "e", 0, 25): {"onset": 1, "apex": 1},
        (40, "e", 1812, 0): {"offset": 1845},
        (40, "e", 2327, 0): {"offset": 2403},
    },
)

MMEW = Layout(
    "MMEW",
    "S{:02d}",
    2,
    _columns("OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion"),
    {
        row: {"apex": apex, "offset": offset}
        for row, apex, offset in (
            *((33, 40, 75), (35, 15, 54), (36, 46, 59), (37, 20, 98), (38, 25, 80), (39, 20, 93)),
            *((40, 23, 58), (41, 28, 61), (42, 32, 68), (142, 56, 88), (143, 32, 80), (145, 27, 85)),
            *((146, 22, 61), (148, 29, 108), (154, 31, 72), (156, 38, 106)),
        )
    },
)
CASME3_C = Layout(
    "CAS(ME)3-C",
    "{:02d}",
    2,
    {key: [key] for key in ("onset", "offset", "emotion")} | {"subject": ["sub"], "clip": ["count"]},
    long_videos=True,
    emotions=(*SMIC_EMOTIONS, "others"),
)
_FOUR_DME = ("negative", "others", "positive", "repression", "surprise")
FOUR_DME = Layout(
    "4DME",
    "S{:02d}",
    2,
    {**_columns("Onset", "Apex", "Offset", "Emotion"), "subject": ["sub_ID"], "clip": ["fold_name"]},
    emotions=["+".join(words) for length in (1, 2, 3) for words in combinations(_FOUR_DME, length)],
)

SAMM_LV = Layout(
    "SAMM-LV",
    "{:03d}",
    3,
    {key: [key.capitalize(), f"{key.capitalize()} Frame"] for key in ("onset", "apex", "offset")}
    | {"subject": ["Subject"], "clip": ["Filename"], "type": ["Type"]},
    long_videos=True,
)
CASME_SQ = Layout(  # its spreadsheet has no header
    "CAS(ME)2",
    "s{}",
    2,
    {
        key: [f"column {number}"]
        for key, number in {"subject": 1, "clip": 2, "onset": 3, "apex": 4, "offset": 5, "emotion": 7}.items()
    },
    long_videos=True,
    emotions=(*SMIC_EMOTIONS, "others"),
)
SMIC_E = Layout(  # of each camera
    "SMIC-E-{}",
    "s{}",
    2,
    {
        key: [name]
        for key, name in {
            "subject": "Subject",
            "clip": "Filename",
            "onset": "OnsetF",
            "apex": "ApexF",
        }.items()
    }
    | {"offset": ["OffsetF"], "emotion": ["Emotion"]},
    long_videos=True,
    emotions=SMIC_EMOTIONS,
)

OPTIONAL_COLUMNS = {"action_units": ["Action Units", "AU", "AUs"], "type": ["Expression type"]}


def is_slip(images: Mapping[int, Any], coded: Mapping[str, Any], corrected: Mapping[str, Any]) -> bool:
    """Whether a known slip is this row's: a sorted or shortened spreadsheet has another clip there.

    As corrected, the clip is on disk, and is all that the folder holds, or most of it where the row as
    coded is not on disk.
    """
    there = _frames_on_disk(images, **corrected)
    return there == len(images) or (2 * there > len(images) and not _frames_on_disk(images, **coded))


def is_coded_slip(images: Mapping[int, Any], coded: Mapping[str, Any], corrected: Mapping[str, Any]) -> bool:
    """Whether a row that is known by what it says is corrected.

    A whole video holds more than the clip, so what it holds says less than in `is_slip`: as corrected, the
    clip is on disk; as coded, it is not, or the folder holds more than the one and less than the other.
    """
    there = _frames_on_disk(images, **corrected)
    return there > 0 and (there == len(images) or coded == corrected or not _frames_on_disk(images, **coded))


def folder_pattern(folder: str) -> str:
    """Match a subject's folder with any number of zeros, and spNO1 for spNO.1."""
    return re.escape(folder.partition("{")[0]).replace(r"\.", r"\.?") + r"0*(\d{1,3})"


def _frames_on_disk(images: Mapping[int, Any], onset: int | None, offset: int | None) -> int:
    """Frames from onset to offset if all of them are there, else 0."""
    if onset is None or offset is None or offset <= onset:
        return 0
    inside = sum(onset <= number <= offset for number in images)
    return inside if inside == offset - onset + 1 else 0
