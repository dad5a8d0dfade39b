"""Clips of one's own: any folders of frames that a file lists."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ._reading import Fault, Reading, StrPath
from ._sheets import read_emotion, read_number, read_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_manifest"]


def read_manifest(path: StrPath, *, strict: bool = False, allow_gaps: bool = False) -> pd.DataFrame:
    r"""Read any folders of frames that a CSV file lists.

    Parameters
    ----------
    path : path
        CSV file (comma, semicolon or tab, UTF-8) whose first line names its columns: ``folder`` (of the
        clip's frames, relative to the CSV file), ``subject`` and ``emotion``; and, if they are there,
        ``clip`` (default: the folder's name), ``onset`` and ``offset`` (frame numbers; default: the
        folder's first and last), ``apex``, ``action_units`` and ``dataset`` (default: the CSV file's
        name). Further columns are ignored. Any word is an emotion here.
    strict, allow_gaps
        As for `read_casme`, as are the result and the errors.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from microexpr.data import read_manifest
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in (8, 9, 10):
    ...         image = Path(folder, "anna", "smile", f"{number}.png")
    ...         image.parent.mkdir(parents=True, exist_ok=True)
    ...         image.touch()
    ...     manifest = Path(folder, "mine.csv")
    ...     _ = manifest.write_text("folder,subject,emotion\nanna/smile,Anna,Happy\n")
    ...     table = read_manifest(manifest)
    >>> table[["dataset", "subject", "clip", "emotion", "onset", "offset"]]
      dataset subject   clip    emotion  onset  offset
    0    mine    Anna  smile  happiness      8      10
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a manifest is a CSV file")
    reading = Reading("manifest", path.parent, strict, allow_gaps)
    reading.source = reading.sheet = path
    for number, row in _csv_rows(path):
        where = f"{path.name}, row {number}"
        try:
            subject, emotion = read_text(row, "subject"), read_emotion(row["emotion"], "emotion")
            folder = path.parent / read_text(row, "folder").replace("\\", "/")
            if not folder.is_dir():
                raise Fault("folder", f"there is no folder {row['folder']}")
            images = reading.images(folder)
            onset = read_number(row["onset"], "onset") if row.get("onset") else min(images)
            offset = read_number(row["offset"], "offset") if row.get("offset") else max(images)
            apex = read_number(row["apex"], "apex") if row.get("apex", "") not in ("", "/") else None
            clip = row.get("clip") or folder.name
            frames = reading.select(images, onset, offset, f"clip {subject}/{clip}", where)
        except Fault as fault:
            reading.leave_out(where, [fault])
            continue
        reading.add(
            where,
            dataset=row.get("dataset") or path.stem,
            subject=subject,
            clip=clip,
            emotion=emotion,
            onset=onset,
            apex=apex,
            offset=offset,
            action_units=row.get("action_units", ""),
            frames=frames,
        )
    return reading.table()


def _csv_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows of a manifest, numbered as a spreadsheet program does."""
    import pandas as pd

    try:
        text = path.read_text(encoding="utf-8-sig")
        separator = max(",;\t", key=text.partition("\n")[0].count)
        cells = pd.read_csv(
            io.StringIO(text), sep=separator, dtype=str, index_col=False, skip_blank_lines=False
        )
    except ValueError as error:  # not UTF-8, nothing in it, or more cells than columns
        raise ValueError(f"{path} is not a CSV file in UTF-8: {error}") from error
    cells = cells.fillna("").apply(lambda column: column.str.strip())
    cells.columns = cells.columns.str.strip().str.lower().str.replace(" ", "_")
    absent = [name for name in ("folder", "subject", "emotion") if name not in cells]
    if absent:
        raise ValueError(f"{path} has no column {', '.join(absent)}; it has {', '.join(cells)}")
    return [
        (number, row) for number, row in enumerate(cells.to_dict("records"), start=2) if any(row.values())
    ]
