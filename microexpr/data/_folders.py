"""Trees of folders: where a data set keeps the frames of its clips."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .._wording import option
from ._layouts import Layout, folder_pattern
from ._reading import Reading

Found = tuple[int, Path, str]  # a clip's subject, its folder, and what the folder is called

_ALIGNED = "_aligned"  # OpenFace writes the faces of EP02_01f into EP02_01f_aligned
CAMERAS = ("HS", "VIS", "NIR")  # of SMIC


def clip_folders(
    layout: Layout, reading: Reading, cropped: bool | None, tree: str | None = None
) -> dict[tuple[int, str], Path]:
    """Folders of frames by subject and by name in lower case: Windows, where many unpack, sees no case.

    A folder NAME_aligned of OpenFace stands in for the folder NAME.
    """
    trees = {
        parent: [
            clip
            for subject, folder in subjects.items()
            for clip in _clips_of(reading, subject, folder, layout.long_videos)
        ]
        for parent, subjects in subject_trees(reading, layout.folder, 2).items()
    }
    if trees:
        return without_suffix(trees[one_tree(trees, reading, cropped, tree)], reading, cropped)
    if layout.long_videos:  # cut out of the videos: spNO.1_a_355
        pattern = folder_pattern(layout.folder) + rf"_(.+_\d+(?:{_ALIGNED})?)"
        cut = find_folders(reading, pattern, 2)
        if cut:
            return without_suffix(
                [(int(match[1]), folder, match[2]) for match, folder in cut], reading, cropped
            )
    raise FileNotFoundError(
        f"{reading.root} has no folders {layout.folder.format(1)}, {layout.folder.format(2)}, ... in it or "
        f"at most two folders below{reading.not_looked_into}"
    )


def smic_clip_folders(
    reading: Reading, camera: str, cropped: bool | None, tree: str | None = None
) -> dict[int, list[Path]]:
    """Folders of frames of one camera of SMIC, by subject."""
    everything = subject_trees(reading, "s{}", 3)
    trees = {}
    for parent, subjects in everything.items():
        # Subjects without it blinked only, or are in non_micro: nothing to read.
        with_micro = {
            number: micro
            for number, folder in subjects.items()
            if (micro := _child(reading, folder, "micro"))
        }
        if with_micro:
            trees[parent] = [
                (number, clip, f"{clip.parent.name}/{clip.name}")
                for number, micro in with_micro.items()
                for emotion in reading.subfolders(micro)
                for clip in reading.subfolders(emotion)
            ]
    cameras = {parent: camera_of(parent, reading.root) for parent in trees}
    if list(cameras.values()) == [None]:
        cameras = dict.fromkeys(cameras, camera)  # nothing says which camera: the caller does
    of_camera = {parent: trees[parent] for parent in trees if cameras[parent] == camera}
    if of_camera:
        found = of_camera[one_tree(of_camera, reading, cropped, tree)]
        chosen: dict[int, list[Path]] = {}
        for (number, _), clip in without_suffix(found, reading, cropped).items():
            chosen.setdefault(number, []).append(clip)
        return chosen
    hint = "; there is " + ", ".join(sorted({found for found in cameras.values() if found})) if trees else ""
    if everything and not trees:
        hint = f"; {next(iter(everything))} has subjects, but no folder micro/ in them (SMIC-E's long videos "
        hint += f"are read as smic-e-{camera.lower()})"
    raise FileNotFoundError(
        f"{reading.root} has no folders s1/micro, s2/micro, ... of camera {camera} in it or at most three "
        f"folders below{hint}{reading.not_looked_into}"
    )


def named_folders(
    reading: Reading, subjects: Mapping[str, int], cropped: bool | None, tree: str | None = None
) -> dict[tuple[int, str], Path]:
    """Folders of frames at most five down, by their names in lower case, which say the subject.

    Where names are there twice, they are two trees of frames. Macro-expressions, which may be called the
    same, are passed over.
    """
    found: list[Found] = []
    level = [reading.root]
    for _ in range(5):
        below = []
        for folder in (folder for parent in level for folder in reading.subfolders(parent)):
            subject = subjects.get(clip_name(folder).lower())
            if subject is not None:
                found.append((subject, folder, folder.name))
            elif "macro" not in folder.name.lower():
                below.append(folder)
        level = below
    if not found:
        first = next(iter(subjects), "of clips")
        raise FileNotFoundError(
            f"{reading.root} has no folders called as the clips are ({first}, ...) in it or at most four "
            f"folders below{reading.not_looked_into}"
        )
    trees = _trees_of(found, reading.root)
    return without_suffix(trees[one_tree(trees, reading, cropped, tree)], reading, cropped)


def is_aligned(folder: Path) -> bool:
    """Whether OpenFace wrote the folder."""
    return folder.name.lower().endswith(_ALIGNED)


def clip_name(folder: Path) -> str:
    """Return the name of a clip's folder, without OpenFace's suffix."""
    return folder.name[: -len(_ALIGNED)] if is_aligned(folder) else folder.name


def aligned_images(
    images: Mapping[int, list[Path]], onset: int | None, offset: int | None
) -> dict[int, list[Path]]:
    """Frames of a folder of OpenFace, by their numbers in the folder that it was given.

    OpenFace counts from 1 whatever its frames were called: a folder as long as the clip is the clip. Of
    several faces in a frame the first is taken.
    """
    first = {
        number: [path for path in paths if not re.match(r"frame_det_(?!00_)\d+_", path.name)]
        for number, paths in images.items()
    }
    first = {number: paths for number, paths in first.items() if paths} or dict(images)
    if onset is None or offset is None or min(first) < 1 or max(first) != offset - onset + 1:
        return first
    return {number + onset - 1: paths for number, paths in first.items()}


def without_suffix(
    found: Iterable[Found], reading: Reading, cropped: bool | None
) -> dict[tuple[int, str], Path]:
    """Folders by subject and name; where OpenFace's stand beside those that it read, one kind of them."""
    plain: dict[tuple[int, str], Path] = {}
    aligned: dict[tuple[int, str], Path] = {}
    for subject, folder, called in found:
        name = called.lower()
        kind = aligned if name.endswith(_ALIGNED) else plain
        first = kind.setdefault((subject, name.removesuffix(_ALIGNED)), folder)
        if first != folder:
            reading.notes.append(f"{first} and {folder.name} are folders of the same clip: the first is read")
    if not aligned or (plain and cropped is False):
        return plain
    if plain and cropped is None:
        reading.notes.append(
            f"{reading.root} holds OpenFace's folders (*{_ALIGNED}) beside others: OpenFace's are read "
            f"({option('cropped', False)} reads the others)"
        )
    return aligned


def read_camera(camera: str) -> str:
    """Return the name of one of SMIC's cameras, or raise a ValueError if it is none."""
    if str(camera).upper() not in CAMERAS:
        raise ValueError(f"camera is {camera!r}; it must be 'HS', 'VIS' or 'NIR'")
    return str(camera).upper()


def camera_of(folder: Path, root: Path) -> str | None:
    for part in reversed((*root.resolve().parts[-2:], *folder.relative_to(root).parts)):
        for word in re.split(r"[^A-Z]+", part.upper()):
            if word in CAMERAS:
                return word
    return None


def one_tree(
    trees: Mapping[Path, Sequence[Found]], reading: Reading, cropped: bool | None, tree: str | None = None
) -> Path:
    """Choose the tree of frames to read where the raw and the cropped ones, or several, may be there."""
    if tree is not None:
        return _tree_called(tree, trees, reading)
    both = [
        parent for parent, found in trees.items() if len({is_aligned(Path(name)) for *_, name in found}) == 2
    ]
    if len(trees) == 1 and both:
        return both[0]  # `without_suffix` chooses
    kinds = {parent: parent not in both and _is_cropped(parent, reading.root) for parent in trees}
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
        names = _names_of(chosen, reading)
        raise ValueError(
            f"{reading.root} holds {len(chosen)} folders of subjects, and it must hold one: "
            f"{', '.join(map(str, chosen))}; say which one with {option('tree')}, as "
            f"{option('tree', names[0])}"
        )
    return chosen[0]


def _tree_called(tree: str, trees: Mapping[Path, Any], reading: Reading) -> Path:
    """Find the folder of subjects by its path below the root, or by the end of it."""
    wanted = tuple(part.lower() for part in Path(tree.replace("\\", "/")).parts)
    called = [
        parent
        for parent, name in zip(trees, _names_of(trees, reading), strict=True)
        if Path(name.lower()).parts[-len(wanted) :] == wanted
    ]
    if len(called) != 1:
        there = ", ".join(map(repr, _names_of(trees, reading)))
        raise ValueError(f"tree is {tree!r}; the folders of subjects in {reading.root} are {there}")
    return called[0]


def _names_of(trees: Iterable[Path], reading: Reading) -> list[str]:
    return [parent.relative_to(reading.root).as_posix() for parent in trees]


def _trees_of(found: Sequence[Found], root: Path) -> dict[Path, list[Found]]:
    """Tell trees of frames apart by a clip that is in each: they are what differs in its paths."""
    called: dict[str, list[Path]] = {}
    for _, folder, name in found:
        called.setdefault(name.lower(), []).append(folder)
    same = max(called.values(), key=len)
    tail = 1
    while len({folder.parents[tail - 1].name for folder in same}) == 1 and len(same) > 1:
        tail += 1
    heads = [folder.parents[tail - 1] for folder in same] if len(same) > 1 else [root]
    trees: dict[Path, list[Found]] = {head: [] for head in heads}
    for clip in found:
        inside = [head for head in heads if clip[1].is_relative_to(head)]
        if inside:
            trees[max(inside, key=lambda head: len(head.parts))].append(clip)
    return trees


def _clips_of(reading: Reading, subject: int, folder: Path, long_videos: bool) -> list[Found]:
    """Folders of frames in a subject's folder; those of CAS(ME)3 are one further down, in color."""
    found = []
    for clip in reading.subfolders(folder):
        color = _child(reading, clip, "color") if long_videos else None
        faces = _child(reading, clip, "color" + _ALIGNED) if long_videos else None
        if faces:
            found.append((subject, faces, clip.name + _ALIGNED))
        if color or not faces:
            found.append((subject, color or clip, clip.name))
    return found


def _is_cropped(parent: Path, root: Path) -> bool:
    if any("crop" in part.lower() for part in (root.resolve().name, *parent.relative_to(root).parts)):
        return True
    for _, _, names in os.walk(parent):
        images = [name for name in names if re.search(r"^[^.].*\d\.\w+$", name)]
        if images:  # of the first folder that has some
            return any(name.lower().startswith(("reg_", "frame_det_")) for name in images)
    return False


def subject_trees(reading: Reading, folder: str, depth: int) -> dict[Path, dict[int, Path]]:
    """Folders at most `depth` down that hold folders of subjects, and those by number."""
    trees: dict[Path, dict[int, Path]] = {}
    for found, path in find_folders(reading, folder_pattern(folder), depth):
        other = trees.setdefault(path.parent, {}).setdefault(int(found[1]), path)
        if other != path:
            raise ValueError(f"{other} and {path.name} are folders of the same subject")
    return trees


def find_folders(reading: Reading, pattern: str, depth: int) -> list[tuple[re.Match[str], Path]]:
    """Folders of that name in folders at most `depth` down; those found are not searched."""
    found, level = [], [reading.root]
    for _ in range(depth + 1):
        below = []
        for folder in (folder for parent in level for folder in reading.subfolders(parent)):
            match = re.fullmatch(pattern, folder.name, re.IGNORECASE)
            if match:
                found.append((match, folder))
            elif "depth" not in folder.name.lower():  # beside the frames of CAS(ME)3
                below.append(folder)
        level = below
    return found


def _child(reading: Reading, parent: Path, name: str) -> Path | None:
    return next((path for path in reading.subfolders(parent) if path.name.lower() == name), None)
