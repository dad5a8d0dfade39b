"""Manifests: any clips that a file lists."""

import pytest

from microexpr.data import read_manifest


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
        "mine.csv, row 5: the apex, 12, lies outside the clip, 3 to 11: left empty"
    ]


def test_manifest_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_manifest(tmp_path)
    path = tmp_path / "m.csv"
    path.write_text("folder,subject\na,1\n")
    with pytest.raises(ValueError, match="has no column emotion; it has folder, subject"):
        read_manifest(path)
    path.write_text("")
    with pytest.raises(ValueError, match="is not a CSV file in UTF-8: No columns"):
        read_manifest(path)
    path.write_bytes("folder,subject,emotion\n".encode("utf-16"))
    with pytest.raises(ValueError, match="is not a CSV file in UTF-8"):
        read_manifest(path)
    path.write_text("folder,subject,emotion\nnowhere,1,calm\n")
    with pytest.raises(
        ValueError, match=r"no clip of .* could be read; the first: m.csv, row 2: there is no folder"
    ):
        read_manifest(path)
