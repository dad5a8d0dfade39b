"""Manifests: any clips that a file lists."""

import json
import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from microexpr import extract
from microexpr.data import read_dataset, read_manifest
from microexpr.store import FeatureStore


def folders(root, *names, numbers=(8, 9, 10)):
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            (root / name / f"{number}.png").touch()


def write(path, cells, **options):
    """Write rows as a CSV file or a workbook, by the name."""
    table = pd.DataFrame(cells)
    if path.suffix == ".csv":
        table.to_csv(path, header=False, index=False, **options)
    else:
        table.to_excel(path, header=False, index=False)
    return path


def test_manifest_columns(tmp_path):
    for clip in ("a/1", "a/2", "b/1"):
        (tmp_path / clip).mkdir(parents=True)
        for n in range(1, 12):
            (tmp_path / clip / f"f{n}.png").touch()
    path = tmp_path / "mine.csv"
    path.write_bytes(
        "Subject;Folder;Emotion;onset;offset;apex;action units;clip;dataset;age\r\n"
        "Ane;a/1;Sad;2;10;/;1+2;first;Mine;30\r\n"
        "\r\n"
        '"Ane";a\\2;"in\r\npain";;;;;;;\r\n'
        "Bo;b/1;calm;3;;12\r\n".encode("utf-8-sig")
    )
    table = read_manifest(path)
    assert table["dataset"].to_list() == ["Mine", "mine", "mine"]
    assert table["clip"].to_list() == ["first", "2", "1"]
    assert table["emotion"].to_list() == ["sadness", "in pain", "calm"]
    assert table["onset"].to_list() == [2, 1, 3]
    assert table["offset"].to_list() == [10, 11, 11]
    assert table["apex"].isna().all()
    assert table["action_units"].to_list() == ["1+2", "", ""]
    assert table.attrs["notes"] == [
        "mine.csv, row 5: the apex, 12, lies outside the clip, 3 to 11: left empty",
        "2 clips taken in part of folders whose numbers begin at 0 or 1; if frames were renumbered and the "
        "folder is the clip, read with whole_folder=True; the first: mine.csv, row 2, 2 to 10 of 1 to 11",
    ]


def test_manifest_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_manifest(tmp_path)
    path = tmp_path / "m.csv"
    path.write_text("folder,subject\na,1\n")
    with pytest.raises(ValueError, match="has no column emotion; it has folder, subject"):
        read_manifest(path)
    path.write_text("")
    with pytest.raises(ValueError, match="has no column folder, subject, emotion; it has nothing"):
        read_manifest(path)
    path.write_text("folder,subject,emotion,subject\n")
    with pytest.raises(ValueError, match="has two columns subject"):
        read_manifest(path)
    path.write_text('folder,subject,emotion\na,"1,calm\n')
    with pytest.raises(ValueError, match=r"m\.csv cannot be read: it is not CSV: unexpected end of data"):
        read_manifest(path)
    path.write_bytes(b"PK\3\4 and no more")
    with pytest.raises(ValueError, match=r"m\.csv cannot be read: File is not a zip file"):
        read_manifest(path)
    path.write_text("folder,subject,emotion\nnowhere,1,calm\n")
    with pytest.raises(
        ValueError, match=r"no clip of .* could be read; the first: m.csv, row 2: there is no folder"
    ):
        read_manifest(path)


WORDS = ["NA", "None", "null", "nan", "NaN", "N/A", "n/a", "NULL", "<NA>", "#NA", "none", "True", "-"]


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
@pytest.mark.parametrize("column", ["folder", "subject", "emotion", "clip", "action_units", "dataset"])
def test_words_are_words(suffix, column, tmp_path):
    """A subject with the initials NA is one; pandas takes these words for nothing."""
    header = ["folder", "subject", "emotion", "clip", "action_units", "dataset"]
    rows = []
    for k, word in enumerate(WORDS):
        row = {"folder": f"f{k}", "subject": "s", "emotion": "calm", "clip": f"c{k}", "dataset": "d"}
        row |= {"action_units": "1", column: word}
        rows.append([row[name] for name in header])
        folders(tmp_path, row["folder"])
    table = read_manifest(write(tmp_path / f"m{suffix}", [header, *rows]), strict=True)
    if column == "folder":
        read = [frames[0].parent.relative_to(tmp_path).as_posix() for frames in table["frames"]]
    else:
        read = table[column].to_list()
    assert read == [word.lower() if column == "emotion" else word for word in WORDS]


def test_words_stay_words_in_a_store(tmp_path):
    header = ["folder", "subject", "emotion"]
    rows = [[word, word, word] for word in ("NA", "None", "null", "nan")]
    rng = np.random.default_rng(0)
    for word, *_ in rows:
        (tmp_path / word).mkdir()
        for number in (3, 4, 5):
            Image.fromarray(rng.integers(0, 256, (20, 20), dtype=np.uint8)).save(
                tmp_path / word / f"{number}.png"
            )
    table = read_manifest(write(tmp_path / "m.csv", [header, *rows]))
    extract(table, tmp_path / "x.zarr", blocks=(1, 1), size=(20, 20))
    kept = FeatureStore(tmp_path / "x.zarr").table
    assert kept["subject"].to_list() == kept["clip"].to_list() == ["NA", "None", "null", "nan"]
    assert kept["emotion"].to_list() == ["na", "none", "null", "nan"]


def test_a_workbook_says_the_same_as_a_csv_file(tmp_path):
    folders(tmp_path, "a", "1")
    rows = [
        ["Folder", "subject", "emotion", "onset", "offset", "Action Units"],
        ["a", 1, "calm", 8, 9.0, "1+2"],
        [None] * 6,
        [1, 2, 3, None, None, 4],
    ]
    csv = read_manifest(write(tmp_path / "m.csv", rows), strict=True)
    assert csv["subject"].to_list() == ["1", "2"]
    assert csv["emotion"].to_list() == ["calm", "3"]
    for name in ("m.xlsx", "m.xlsm"):
        book = tmp_path / name
        with pd.ExcelWriter(tmp_path / "m.xlsx") as writer:
            pd.DataFrame([["read me first"]]).to_excel(writer, sheet_name="notes", header=False, index=False)
            pd.DataFrame(rows).to_excel(writer, sheet_name="clips", header=False, index=False)
        (tmp_path / "m.xlsx").rename(book)
        table = read_manifest(book, strict=True)
        assert table.equals(csv)
        assert table.attrs["sheet"] == str(book)
    rows[1][4] = "/"
    (problem,) = read_manifest(write(tmp_path / "m.xlsx", rows)).attrs["problems"]
    assert str(problem) == "m.xlsx, row 2: offset is '/'; it must be a whole number"


@pytest.mark.parametrize(
    ("encoding", "names", "note"),
    [
        ("utf-8", ["Zoë", "张伟"], ""),
        ("utf-8-sig", ["Zoë", "张伟"], ""),
        ("utf-16", ["Zoë", "张伟"], ""),
        ("utf-16-le", ["Zoë", "张伟"], ""),
        ("utf-16-be", ["Zoë", "张伟"], ""),
        ("gbk", ["张伟", "王芳"], "read as gbk"),
        ("cp1252", ["Zoë", "Müller"], "read as cp1252"),
    ],
)
def test_encodings_that_are_found(encoding, names, note, tmp_path):
    folders(tmp_path, *names)
    path = tmp_path / "m.csv"
    path.write_bytes(
        "\r\n".join(["folder,subject,emotion", *(f"{n},{n},calm" for n in names)]).encode(encoding)
    )
    table = read_manifest(path, strict=True)
    assert table["subject"].to_list() == names
    assert [note in line for line in table.attrs["notes"]] == [True] * bool(note)
    assert table.attrs["sources"] == [["manifest", str(path)]]


def test_an_encoding_that_has_to_be_said(tmp_path):
    folders(tmp_path, "Größe", "Müller")
    path = tmp_path / "m.csv"
    path.write_bytes("folder,subject,emotion\nGröße,1,calm\nMüller,2,calm\n".encode("cp1252"))
    with pytest.raises(ValueError, match="say which with encoding='gbk' or encoding='cp1252', or save it as"):
        read_manifest(path)
    table = read_manifest(path, strict=True, encoding="cp1252")
    assert table["clip"].to_list() == ["Größe", "Müller"]
    assert table.attrs["sources"] == [["manifest", str(path), {"encoding": "cp1252"}]]
    for wrong in ("utf-8", "latin-nine"):
        with pytest.raises(ValueError, match=f"cannot be read: it is not a text of {wrong}"):
            read_manifest(path, encoding=wrong)


@pytest.mark.parametrize("line", ["sep=;\r\n", "SEP=;\n", '"sep=;"\r\n'])
def test_a_line_for_a_spreadsheet_program(line, tmp_path):
    folders(tmp_path, "a")
    path = tmp_path / "m.csv"
    path.write_text(f"{line}folder;subject;emotion\na;1,5;calm\nb;2;calm\n", newline="")
    table = read_manifest(path)
    assert table["subject"].to_list() == ["1,5"]
    assert str(table.attrs["problems"][0]).startswith("m.csv, row 3: there is no folder b")


def test_subjects_that_are_probably_one_person(tmp_path):
    folders(tmp_path, *"abcdef")
    rows = [
        [name, subject, "calm"]
        for name, subject in zip("abcdef", ["1", "01", "10", "S2", "s02", "S3"], strict=True)
    ]
    path = write(tmp_path / "m.csv", [["folder", "subject", "emotion"], *rows])
    assert read_manifest(path).attrs["notes"] == [
        "subjects 1 and 01 are probably one person, and count as 2: write them alike",
        "subjects S2 and s02 are probably one person, and count as 2: write them alike",
    ]


def test_columns_of_no_account_may_have_the_same_name(tmp_path):
    folders(tmp_path, "a")
    path = tmp_path / "m.csv"
    path.write_text("folder,subject,emotion,age,age,,\na,1,calm,3,4,5,6\n")
    assert len(read_manifest(path, strict=True)) == 1


def test_a_cell_with_a_comma_in_it(tmp_path):
    folders(tmp_path, "a", "b")
    path = tmp_path / "m.csv"
    path.write_text("folder,subject,emotion,onset,offset\na,1,calm, happy,8,10\nb,2,calm,8,10,,\n")
    table = read_manifest(path)
    assert table["subject"].to_list() == ["2"]
    assert (
        str(table.attrs["problems"][0])
        == "m.csv, row 2: it has cells beside the columns (10): put quotes around commas"
    )


# Paths


@pytest.mark.parametrize(
    "path",
    [
        "../out",
        "in/../../out",
        "{top}/out",
        "C:\\out",
        "c:out",
        "\\\\server\\share",
        "C:/out",
        "//server/share",
    ],
)
def test_paths_that_lead_outside(path, tmp_path):
    folders(tmp_path, "out", "m/in")
    path = path.format(top=tmp_path)
    rows = [["folder", "subject", "emotion"], ["in", 1, "calm"], [path, 2, "calm"]]
    manifest = write(tmp_path / "m" / "m.csv", rows)
    table = read_manifest(manifest)
    assert len(table) == 1
    (problem,) = table.attrs["problems"]
    assert problem.kind == "folder"
    assert problem.what.endswith("lies outside of the manifest's folder; follow_outside=True reads it")
    if os.path.exists(os.path.join(tmp_path / "m", path)):
        table = read_manifest(manifest, strict=True, follow_outside=True)
        assert [frames[0].parent for frames in table["frames"]] == [tmp_path / "m" / "in", tmp_path / "out"]
        assert table.attrs["sources"][0][2] == {"follow_outside": True}
    else:
        (problem,) = read_manifest(manifest, follow_outside=True).attrs["problems"]
        assert "there is no folder" in problem.what


def test_paths_that_stay_inside(tmp_path):
    folders(tmp_path, "m/a/b", "m/c", "out/clip")
    (tmp_path / "m" / "link").symlink_to(tmp_path / "out")
    inside = ["a/b", "./c/../a/b/.", str(tmp_path / "m" / "c"), "link/clip", "link/../c", "a\\b"]
    rows = [[path, 1, "calm"] for path in inside]
    table = read_manifest(write(tmp_path / "m" / "m.csv", [["folder", "subject", "emotion"], *rows]))
    read = [frames[0].parent.relative_to(tmp_path).as_posix() for frames in table["frames"]]
    assert read == ["m/a/b", "m/c", "m/link/clip"]  # the others are the same clips
    assert {problem.kind for problem in table.attrs["problems"]} == {"duplicate"}


# Folders that are the clip


def test_whole_folders(tmp_path):
    folders(tmp_path, "a", "b", "c", numbers=range(1, 11))
    header = ["folder", "subject", "emotion", "onset", "apex", "offset", "whole_folder"]
    rows = [
        ["a", 1, "calm", 3, 5, 9, None],
        ["b", 1, "calm", 46, 50, 55, "yes"],
        ["c", 1, "calm", "?", 50, 60, "X"],
    ]
    path = write(tmp_path / "m.csv", [header, *rows])
    table = read_manifest(path, strict=True)
    assert [len(frames) for frames in table["frames"]] == [7, 10, 10]
    assert table["apex"].fillna(-1).to_list() == [5, 5, -1]
    assert [note.partition(";")[0] for note in table.attrs["notes"]] == [
        "1 clip taken in part of folders whose numbers begin at 0 or 1",
        "1 apex left empty: the folder has not as many frames as the row",
    ]
    assert "whole_folder=True; the first: m.csv, row 2, 3 to 9 of 1 to 10" in table.attrs["notes"][0]
    table = read_manifest(path, strict=True, whole_folder=True)
    assert [len(frames) for frames in table["frames"]] == [10, 10, 10]
    assert table.attrs["sources"] == [["manifest", str(path), {"whole_folder": True}]]
    assert json.loads(json.dumps(table.attrs["sources"])) == table.attrs["sources"]
    ((name, root, options),) = table.attrs["sources"]
    assert read_dataset(name, root, **options).equals(table)
    rows[0][-1] = "maybe"
    (problem,) = read_manifest(write(path, [header, *rows])).attrs["problems"]
    assert str(problem) == "m.csv, row 2: whole_folder is 'maybe'; it must be yes or no"


def test_several_clips_of_one_folder_are_no_renumbered_ones(tmp_path):
    folders(tmp_path, "a", numbers=range(1, 31))
    rows = [
        ["folder", "subject", "emotion", "onset", "offset"],
        ["a", 1, "calm", 3, 9],
        ["a", 1, "calm", 12, 19],
    ]
    notes = read_manifest(write(tmp_path / "m.csv", rows), strict=True).attrs["notes"]
    assert not any("renumbered" in note for note in notes)
