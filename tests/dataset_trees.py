"""Trees of files laid out as CASME, CASME II, SMIC, SAMM and CAS(ME)3 are, with what is odd in them.

None of the frames is of a real data set. `make_tree` is a fixture too (tests/conftest.py).
"""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

EMOTIONS = {
    "casme": ("disgust", "surprise", "repression", "tense", "happiness"),
    "casme2": ("happiness", "surprise", "disgust", "repression", "others"),
    "samm": ("Anger", "Happiness", "Contempt", "Surprise", "Other"),
    "casme3": ("happy", "disgust", "fear", "surprise", "others"),
    "smic-hs": ("negative", "positive", "surprise"),
    "smic-vis": ("negative", "positive", "surprise"),
    "smic-nir": ("negative", "positive", "surprise"),
    "manifest": ("calm", "pain"),
    "mmew": ("happiness", "disgust", "others", "sadness", "anger"),
    "casme3-c": ("negative", "surprise", "others", "positive"),
    "4dme": ("Positive", "Negative", "Surprise", "Repression", "Others"),
    "casme-sq": ("negative", "positive", "surprise", "others"),
    "samm-lv": ("Micro - 1/2",),
    "smic-e-hs": ("negative", "positive", "surprise"),
    "smic-e-vis": ("negative", "positive", "surprise"),
    "smic-e-nir": ("negative", "positive", "surprise"),
}

# Films that CAS(ME)2's subjects saw, and what the folders call them.
VIDEOS = {"anger1": "0401", "anger2": "0402", "disgust1": "0101", "disgust2": "0102", "happy1": "0502"}
VIDEOS |= {"happy2": "0503", "happy3": "0505", "happy4": "0507", "happy5": "0508"}

# Rows (from 0) of the real spreadsheets that are wrong, and what is right: issue 6, design section 6.
SLIPS = {
    "casme": {40: (100, 149), 42: (101, 119), 43: (57, 74), 54: (30, 40), 140: (130, 142)},
    "casme2": {60: (80, 91)},
    "samm": {56: (5730, 5739)},
}

# Quirk -> kind of the problem that leaves its clip out, or None if nothing is left out.
SHEET_QUIRKS = {
    "missing folder": "folder",
    "missing frames": "frames",
    "gap": "frames",
    "empty folder": "files",
    "same number twice": "files",
    "unknown emotion": "emotion",
    "no emotion": "emotion",
    "onset slash": "number",
    "offset text": "number",
    "fraction": "number",
    "subject text": "number",
    "offset before onset": "order",
    "one frame": "order",
    "coded twice": "duplicate",  # adds a row
    "apex slash": None,
    "apex outside": None,
    "spelling": None,
    "blank row": None,
    "stray files": None,
    "other sheets": None,
}
SMIC_QUIRKS = {
    "gap": "frames",
    "empty folder": "files",
    "same number twice": "files",
    "unknown emotion": "emotion",
    "one frame": "order",
    "spelling": None,
    "stray files": None,
}
SMIC = ("smic-hs", "smic-vis", "smic-nir")
QUIRKS = {name: SMIC_QUIRKS if name in SMIC else SHEET_QUIRKS for name in EMOTIONS}
QUIRKS["manifest"] = {
    quirk: kind
    for quirk, kind in SHEET_QUIRKS.items()
    if quirk not in ("unknown emotion", "subject text", "other sheets")  # any word is one there
}
WITHOUT_APEX = ("casme3-c", "smic-e-hs", "smic-e-vis", "smic-e-nir")
QUIRKS["samm-lv"] = {
    quirk: kind for quirk, kind in SHEET_QUIRKS.items() if quirk not in ("unknown emotion", "spelling")
}  # it codes no emotion, but a type
for name in WITHOUT_APEX:
    QUIRKS[name] = {quirk: kind for quirk, kind in QUIRKS[name].items() if not quirk.startswith("apex")}
WHOLE_FOLDERS = ("mmew", *SMIC)  # a folder holds the clip and no more
FIRST_ROW = {
    "samm": 15,
    "samm-lv": 11,
    "casme-sq": 1,
}  # of a spreadsheet, as a spreadsheet program counts; else 2


def make_tree(
    root,
    name,
    *,
    subjects=3,
    clips=None,
    frames=(5, 8),
    images="empty",
    size=(16, 16),
    quirks=(),
    slips=False,
    cropped=True,
    layout=None,
    seed=0,
):
    """Write a data set in the layout of `name` (as in microexpr.data.DATASETS) into the folder `root`.

    images: "empty" files (not to be decoded) or "tiny" ones (real, `size`). quirks: names from
    ``QUIRKS[name]``, or "all"; each has a clip of its own. slips: with the known slips, in as many rows as
    they need. layout: "cut" gives CAS(ME)3's clips cut out of their videos, in part C "video" the videos.
    Returns the path to read.
    """
    rng = np.random.default_rng(seed)
    name = "smic-hs" if name == "smic" else name
    quirks = list(QUIRKS[name]) if quirks == "all" else list(quirks)
    wrong = SLIPS.get(name, {}) if slips else {}
    last = max(wrong, default=-1)  # quirks come after: some add a row
    clips = max(clips or 2 * len(EMOTIONS[name]), last + len(quirks) + 4)
    table = [clip_of(name, i, clips, subjects, frames, rng) for i in range(clips)]
    for row, (onset, offset) in wrong.items():
        slip(table[row], onset, offset)
    for clip, quirk in zip(table[last + 1 :], quirks, strict=False):
        spoil(clip, quirk, name)
    root = Path(root)
    for clip in table:
        write_clip(root, name, clip, images, size, cropped, layout)
    if name in SMIC:
        return root
    return write_sheet(root, name, table)


def sheet_of(root):
    """The spreadsheet of a tree."""
    (sheet,) = [path for path in root.rglob("*.xlsx") if path.name[0] not in "~O"]
    return sheet


def edit_sheet(root, change):
    """Change the cells of a tree's spreadsheet, header included, as read without one."""
    sheet = sheet_of(root)
    cells = pd.read_excel(sheet, header=None, dtype=object)
    cells = change(cells)
    cells.to_excel(sheet, header=False, index=False)
    return sheet


def number_of(path):
    """The number of a frame."""
    return int(re.search(r"(\d+)$", path.stem)[1])


def clip_of(name, i, clips, subjects, frames, rng):
    subject = i * subjects // clips + 1  # sorted by subject, as the spreadsheets are
    length = int(rng.integers(frames[0], frames[1] + 1))
    onset = {"samm": 5560, "casme3": 350}.get(name, 1) + int(rng.integers(0, 90)) + 20 * (i % 3)
    onset = max(onset, 3)  # folders whose numbers begin at 0 or 1 may be renumbered: a note says so
    onset = 1 if name == "mmew" else onset + 1000 * i if name == "casme3-c" else onset
    emotion = EMOTIONS[name][i % len(EMOTIONS[name])]
    video = "abcdefghijklm"[i % 13]
    onset += 1000 * (i // 13) if name == "casme3" else 0  # several clips in one video, apart
    clip = {
        "casme": f"EP{subject:02d}_{i}",
        "casme2": f"EP{subject:02d}_{i:02d}f",
        "samm": f"{subject + 5:03d}_{i}_1",
        "casme3": video,
        "manifest": f"take{i}",
        "mmew": f"S{subject:02d}-{i % 5 + 1:02d}-{i + 1:03d}",
        "casme3-c": str(i + 1),
        "4dme": f"S{subject:02d}_1st_{i:03d}_01_1",
        "casme-sq": f"{list(VIDEOS)[i % 9]}_{i // 9 + 1}",
        "samm-lv": f"{subject + 5:03d}_{i + 1}_1",
    }.get(name, f"s{subject}_{emotion[:2]}_{i:02d}")
    subject += {"samm": 5, "samm-lv": 5, "casme-sq": 14}.get(name, 0)
    return {
        "subject": subject,
        "clip": clip,
        "emotion": emotion,
        "onset": onset,
        "apex": onset + length // 2,
        "offset": onset + length - 1,
        # what is on disk: frames before and after the clip too, except where the folder is the clip
        "truth": emotion,
        "start": onset,
        "person": subject,
        "numbers": list(
            range(onset - (name not in WHOLE_FOLDERS), onset + length + (name not in WHOLE_FOLDERS))
        ),
        "quirk": None,
    }


def slip(clip, onset, offset):
    """Code the clip wrongly, with the frames on disk as they should be."""
    clip["numbers"] = list(range(onset, offset + 1))
    clip["apex"] = "/"
    clip["onset"] = onset if onset in (30, 130, 80, 5730) else onset - 50  # these onsets are right
    clip["offset"] = offset + 60


def spoil(clip, quirk, name):
    clip["quirk"] = quirk
    match quirk:
        case "missing folder":
            clip["numbers"] = None
        case "missing frames":
            clip["numbers"] = clip["numbers"][:-3]
        case "gap":
            del clip["numbers"][2]
        case "empty folder":
            clip["numbers"] = []
        case "unknown emotion":
            clip["emotion"] = clip["truth"] = "confusoin"
        case "no emotion":
            clip["emotion"] = None
        case "onset slash":
            clip["onset"] = "/"
        case "offset text":
            clip["offset"] = "n.a."
        case "fraction":
            clip["onset"] += 0.5
        case "subject text":
            clip["subject"] = "sub?"
        case "offset before onset":
            clip["onset"], clip["offset"] = clip["offset"], clip["onset"]
        case "one frame":
            clip["offset"] = clip["onset"]
            if name in SMIC:
                clip["numbers"] = clip["numbers"][:1]
        case "apex slash":
            clip["apex"] = "/"
        case "apex outside":
            clip["apex"] = clip["offset"] + 7
        case "spelling":
            clip["emotion"] = f" {clip['emotion'].upper()} "
            clip["truth"] = clip["truth"].upper()


def folder_of(root, name, clip, cropped, layout):
    person = clip["person"]
    if name.startswith("smic-e"):
        camera = name.removeprefix("smic-e-").upper()
        return root / f"{camera}_long" / f"SMIC-{camera}-E" / f"s{person:02d}" / clip["clip"]
    if name in SMIC:
        camera = name.removeprefix("smic-").upper()
        return root / camera / f"s{person}" / "micro" / clip["truth"] / clip["clip"]
    return {
        "casme": root / f"sub{person:02d}" / clip["clip"],
        "casme2": root / ("Cropped" if cropped else "CASME2_RAW") / f"sub{person:02d}" / clip["clip"],
        "samm": root / f"{person:03d}" / clip["clip"],
        "casme3": root / "frame" / f"spNo.{person}_{clip['clip']}_{clip['start']}"
        if layout == "cut"
        else root / "part_A" / f"spNO.{person}" / clip["clip"] / "color",
        "manifest": root / "films" / f"person{person}" / clip["clip"],
        "mmew": root / "MMEW_Final" / "Micro_Expression" / clip["truth"] / clip["clip"],
        "casme3-c": root
        / "part_C"
        / f"{person:02d}"
        / ("a" if layout == "video" else clip["clip"])
        / "color",
        "casme-sq": root
        / ("rawpic_crop" if cropped else "rawpic")
        / f"s{person}"
        / f"{person}_{VIDEOS.get(clip['clip'].partition('_')[0])}film",
        "samm-lv": root / "SAMM_longvideos" / clip["clip"].rpartition("_")[0],
        "4dme": root / ("gray_micro_crop" if cropped else "gray_micro") / f"S{person:02d}" / clip["clip"],
    }[name]


def write_clip(root, name, clip, images, size, cropped, layout):
    if clip["numbers"] is None:
        return
    folder = folder_of(root, name, clip, cropped, layout)
    folder.mkdir(parents=True, exist_ok=True)
    pattern = {
        "casme": "reg_{:03d}.jpg" if cropped else "{:03d}.jpg",
        "casme2": "reg_img{}.jpg" if cropped else "img{}.jpg",
        "samm": f"{clip['clip']}_{{:05d}}.jpg",
        "casme3": "{}.jpg",
        "manifest": "{:03d}.png",
        "mmew": "{}.jpg",
        "casme3-c": "{}.jpg",
        "4dme": "Frame_{:09d}.jpg",
        "casme-sq": "img{:03d}.jpg",
        "samm-lv": f"{clip['clip'].rpartition('_')[0]}_{{:04d}}.jpg",
        **dict.fromkeys(("smic-e-hs", "smic-e-vis", "smic-e-nir"), "image{:06d}.jpg"),
    }.get(name, "image{:06d}.bmp")
    for number in clip["numbers"]:
        write_image(folder / pattern.format(number), clip, number, images, size)
    if clip["quirk"] == "same number twice":
        write_image(folder / f"copy{clip['numbers'][2]}.jpg", clip, clip["numbers"][2], images, size)
    if clip["quirk"] == "stray files":
        for stray in (
            "Thumbs.db",
            ".DS_Store",
            "._" + pattern.format(clip["numbers"][2]),
            "readme.txt",
            "face.jpg",
        ):
            (folder / stray).write_bytes(b"\0\5\26\7")
        (root / "__MACOSX" / "sub01").mkdir(parents=True, exist_ok=True)
        (root / "~$coding.xlsx").write_bytes(b"locked")


def write_image(path, clip, number, images, size):
    if images == "empty":
        path.touch()
        return
    y, x = np.mgrid[: size[0], : size[1]] / size[0]
    face = np.random.default_rng(clip["person"]).uniform(0, 90, size) + 60 * x
    drift = (number % 1000) / 10 * (1 + len(clip["truth"]))  # something that changes in order
    Image.fromarray(np.uint8(np.clip(face + 40 * np.sin(9 * y + drift), 0, 255))).save(path)


COLUMNS = {
    "casme": ("Subject", "Filename", "", "OnsetF", "ApexF1", "OffsetF", "AUs", "", "Emotion"),
    "casme2": (
        "Subject",
        "Filename",
        "",
        "OnsetFrame",
        "ApexFrame",
        "OffsetFrame",
        "",
        "Action Units",
        "Estimated Emotion",
    ),
    "samm": (
        "Subject",
        "Filename",
        "Inducement Code",
        "Onset Frame",
        "Apex Frame",
        "Offset Frame",
        "Duration",
        "Micro",
        "Action Units",
        "Estimated Emotion",
        "Objective Classes",
        "Notes",
    ),
    "casme3": ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"),
    "manifest": ("folder", "subject", "clip", "emotion", "onset", "apex", "offset", "action_units"),
    "mmew": (
        "Subject",
        "Filename",
        "OnsetFrame",
        "ApexFrame",
        "OffsetFrame",
        "Action Units",
        "Estimated Emotion",
        "remarks",
    ),
    "casme3-c": ("sub", "count", "onset", "offset", "au", "emotion"),
    "casme-sq": ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Emotion", "Type", "selfReport"),
    "samm-lv": (
        *("Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration"),
        *("Type", "Action Units", "Notes"),
    ),
    **{
        f"smic-e-{camera}": (
            *("Subject", "Filename", "TotalMF", f"OnsetF{end}", f"OffsetF{end}", "Onset2F", "Offset2F"),
            *("FirstF", "LastF", "Emotion"),
        )
        for camera, end in (("hs", ""), ("vis", ""), ("nir", " NIR"))
    },
    "4dme": ("sub_ID", "fold_name", "Onset", "Apex", "Offset", "AUs", "Emotion", "Positive", "Negative"),
}
FIELDS = {
    "onset": ("onset", "onsetf", "onsetframe", "onsetfnir"),
    "apex": ("apex", "apexf1", "apexframe"),
    "offset": ("offset", "offsetf", "offsetframe", "offsetfnir"),
    "emotion": ("emotion", "estimatedemotion"),
    "clip": ("filename", "clip", "count", "fold_name"),
    "subject": ("subject", "sub", "sub_id"),
}
SHEETS = {
    **{f"smic-e-{c.lower()}": f"{c}_long/SMIC-{c}-E_annotation.xlsx" for c in ("HS", "VIS", "NIR")},
    "casme-sq": "CAS(ME)^2code_final.xlsx",
    "samm-lv": "SAMM_LongVideos_V3_Release.xlsx",
    "casme": "CASME-coding.xlsx",
    "casme2": "CASME2-coding.xlsx",
    "samm": "SAMM_Micro_FACS_Codes.xlsx",
    "casme3": "annotation/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx",
    "mmew": "MMEW_Final/MMEW_Micro_Exp.xlsx",
    "casme3-c": "annotation/CAS(ME)3_part_C_ME.xlsx",
    "4dme": "4DME_Labelling_Micro_release v1.xlsx",
}


def cells_of(name, clip):
    cells = []
    for column in COLUMNS[name]:
        plain = column.lower().replace(" ", "")
        field = next((field for field, names in FIELDS.items() if plain in names), None)
        if field is not None:
            cell = clip[field]
            if field == "subject" and not isinstance(cell, str):
                cell = {"casme3": f"spNO.{cell}", "manifest": f"person{cell}"}.get(name, cell)
                cell = cell - 14 if name == "casme-sq" else cell
            cells.append(cell)
        elif plain == "type":
            cells.append(clip["emotion"] if name == "samm-lv" else "micro-expression")
        elif plain in ("positive", "negative", "remarks"):
            cells.append(int(plain == clip["truth"].lower()))
        elif plain in ("au", "aus", "actionunits", "action_units"):
            cells.append("4+L10")
        elif plain == "folder":
            cells.append(f"films/person{clip['person']}/{clip['clip']}")
        else:
            cells.append(None)
    return cells


def write_sheet(root, name, table):
    rows = []
    for clip in table:
        rows.append(cells_of(name, clip))
        if clip["quirk"] == "coded twice":
            rows.append(cells_of(name, clip))
        if clip["quirk"] == "blank row":
            rows.append([None] * len(rows[-1]))
    rows.insert(0, list(COLUMNS[name]))
    if name == "manifest":
        with (root / "films.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(["" if cell is None else cell for cell in row] for row in rows)
        return root / "films.csv"
    if name == "casme-sq":
        del rows[0]
    if name.startswith("smic-e"):  # a remark below
        rows.append(["the first frame is 1", *[None] * 9])
    if name == "samm-lv":
        rows[:0] = [[f"note {i}" if i % 3 else None, *[None] * 9] for i in range(9)]
    if name == "samm":  # what is above its header
        rows[:0] = [[f"note {i}" if i % 3 else None, *[None] * 11] for i in range(13)]
    path = root / SHEETS[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    with pd.ExcelWriter(path) as writer:
        if any(clip["quirk"] == "other sheets" for clip in table):
            pd.DataFrame([["about this file"]]).to_excel(
                writer, sheet_name="About", header=False, index=False
            )
            pd.DataFrame([["Subject", "Filename"], [1, "x"]]).to_excel(
                path.with_name("ObjectiveClasses.xlsx"), header=False, index=False
            )
        pd.DataFrame(rows).to_excel(writer, sheet_name="Sheet1", header=False, index=False)
        if name == "casme-sq":
            people = [[14 + i, f"s{14 + i}", i] for i in range(1, 23)]
            for sheet, cells in (
                ("naming rule1", people),
                ("naming rule2", [(code, film) for film, code in VIDEOS.items()]),
            ):
                pd.DataFrame(cells).to_excel(writer, sheet_name=sheet, header=False, index=False)
    return root
