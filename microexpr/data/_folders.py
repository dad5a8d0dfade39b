"""Trees of folders: where a data set keeps the frames of its clips."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._wording import option
from ._layouts import Layout, folder_pattern
from ._reading import Reading


def clip_folders(layout: Layout, reading: Reading, cropped: bool | None) -> dict[tuple[int, str], Path]:
    """Folders of frames by subject and by name in lower case: Windows, where many unpack, sees no case."""
    trees = _subject_trees(reading.root, layout.folder, 2)
    if trees:
        subjects = trees[_one_tree(trees, reading, cropped)]
        return {
            (subject, clip.name.lower()): (_child(clip, "color") or clip) if layout.long_videos else clip
            for subject, folder in subjects.items()
            for clip in subfolders(folder)
        }
    if layout.long_videos:  # cut out of the videos: spNO.1_a_355
        cut = _find(reading.root, folder_pattern(layout.folder) + r"_(.+_\d+)", 2)
        if cut:
            return {(int(found[1]), found[2].lower()): folder for found, folder in cut}
    raise FileNotFoundError(
        f"{reading.root} has no folders {layout.folder.format(1)}, {layout.folder.format(2)}, ... in it or "
        "at most two folders below"
    )


def smic_clip_folders(reading: Reading, camera: str, cropped: bool | None) -> dict[int, list[Path]]:
    """Folders of frames of one camera of SMIC, by subject."""
    everything = _subject_trees(reading.root, "s{}", 3)
    trees = {}
    for parent, subjects in everything.items():
        # Subjects without it blinked only, or are in non_micro: nothing to read.
        with_micro = {
            number: micro for number, folder in subjects.items() if (micro := _child(folder, "micro"))
        }
        if with_micro:
            trees[parent] = with_micro
    cameras = {parent: _camera(parent, reading.root) for parent in trees}
    if list(cameras.values()) == [None]:
        cameras = dict.fromkeys(cameras, camera)  # nothing says which camera: the caller does
    of_camera = {parent: trees[parent] for parent in trees if cameras[parent] == camera}
    if of_camera:
        subjects = of_camera[_one_tree(of_camera, reading, cropped)]
        return {
            number: [clip for emotion in subfolders(micro) for clip in subfolders(emotion)]
            for number, micro in subjects.items()
        }
    hint = "; there is " + ", ".join(sorted({found for found in cameras.values() if found})) if trees else ""
    if everything and not trees:
        hint = f"; {next(iter(everything))} has subjects, but no folder micro/ in them (SMIC-E's long videos "
        hint += "are not read)"
    raise FileNotFoundError(
        f"{reading.root} has no folders s1/micro, s2/micro, ... of camera {camera} in it or at most three "
        f"folders below{hint}"
    )


def subfolders(parent: Path) -> list[Path]:
    """Folders in a folder, in order, without hidden ones and those that an archive of macOS brings."""
    with os.scandir(parent) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith((".", "__")) and entry.is_dir()]
    return [parent / name for name in sorted(names)]


def _camera(folder: Path, root: Path) -> str | None:
    for part in reversed((*root.resolve().parts[-2:], *folder.relative_to(root).parts)):
        for word in re.split(r"[^A-Z]+", part.upper()):
            if word in ("HS", "VIS", "NIR"):
                return word
    return None


def _one_tree(trees: Mapping[Path, Any], reading: Reading, cropped: bool | None) -> Path:
    """Choose the tree of frames to read where the raw and the cropped ones may both be there."""
    kinds = {parent: _is_cropped(parent, reading.root) for parent in trees}
    if cropped is None:
        cropped = any(kinds.values())
        if cropped and not all(kinds.values()):
            reading.notes.append(
                f"{reading.root} holds raw and cropped frames: the cropped ones are read "
                f"({option('cropped', False)} reads the others)"
            )
    chosen = [parent for parent, kind in kinds.items() if kind == cropped]
    if not chosen:
        names = ["raw", "cropped"]
        raise FileNotFoundError(
            f"{reading.root} holds no {names[cropped]} frames; {', '.join(map(str, trees))} holds "
            f"{names[not cropped]} ones"
        )
    if len(chosen) > 1:
        raise ValueError(
            f"{reading.root} holds {len(chosen)} folders of subjects, and it must hold one: "
            f"{', '.join(map(str, chosen))}"
        )
    return chosen[0]


def _is_cropped(parent: Path, root: Path) -> bool:
    if any("crop" in part.lower() for part in (root.resolve().name, *parent.relative_to(root).parts)):
        return True
    for _, _, names in os.walk(parent):
        images = [name for name in names if re.search(r"^[^.].*\d\.\w+$", name)]
        if images:  # of the first folder that has some
            return any(name.lower().startswith("reg_") for name in images)
    return False


def _subject_trees(root: Path, folder: str, depth: int) -> dict[Path, dict[int, Path]]:
    """Folders at most `depth` down that hold folders of subjects, and those by number."""
    trees: dict[Path, dict[int, Path]] = {}
    for found, path in _find(root, folder_pattern(folder), depth):
        other = trees.setdefault(path.parent, {}).setdefault(int(found[1]), path)
        if other != path:
            raise ValueError(f"{other} and {path.name} are folders of the same subject")
    return trees


def _find(root: Path, pattern: str, depth: int) -> list[tuple[re.Match, Path]]:
    """Folders of that name in folders at most `depth` down; those found are not searched."""
    found, level = [], [root]
    for _ in range(depth + 1):
        below = []
        for folder in (folder for parent in level for folder in subfolders(parent)):
            match = re.fullmatch(pattern, folder.name, re.IGNORECASE)
            if match:
                found.append((match, folder))
            elif "depth" not in folder.name.lower():  # beside the frames of CAS(ME)3
                below.append(folder)
        level = below
    return found


def _child(parent: Path, name: str) -> Path | None:
    return next((path for path in subfolders(parent) if path.name.lower() == name), None)
