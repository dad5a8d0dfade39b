"""Classes of a table of clips, tables of several data sets in one, and what a report says of them."""

import copy
import pickle
import re

import pandas as pd
import pytest

from microexpr.data import PUBLISHED, Problem, combine, read_casme2, read_dataset, report, select_classes

# Classes


def coded(dataset, counts, subjects=4):
    emotions = [emotion for emotion, count in counts.items() for _ in range(count)]
    table = pd.DataFrame(
        {
            "dataset": dataset,
            "subject": [f"{i % subjects + 1:02d}" for i in range(len(emotions))],
            "clip": [f"c{i}" for i in range(len(emotions))],
            "emotion": emotions,
        }
    )
    table.attrs = {"problems": [], "corrections": [], "notes": [], "selection": None}
    table.attrs["sources"] = [[dataset.lower(), dataset]]
    return table


def test_the_papers_subsets():
    casme = select_classes(coded("CASME", PUBLISHED["paper"]["CASME"] | {"happiness": 9, "fear": 2}), "paper")
    assert len(casme) == 171
    assert casme["emotion"].value_counts().to_dict() == {
        "tense": 69,
        "disgust": 44,
        "repression": 38,
        "surprise": 20,
    }
    assert casme.attrs["selection"] == "paper"
    assert casme.attrs["notes"] == ["11 clips of other emotions or left out by name: fear 2, happiness 9"]
    casme2 = select_classes(coded("CASME II", PUBLISHED["paper"]["CASME II"], 26), "paper")
    assert len(casme2) == 247
    assert casme2.attrs["notes"] == []
    assert "(published: 64)" in report(casme2)
    with pytest.raises(ValueError, match="no subset of SAMM, only of CASME, CASME II"):
        select_classes(coded("SAMM", {"anger": 2}), "paper")


def test_counts_that_differ_from_the_published_are_noted():
    counts = PUBLISHED["paper"]["CASME II"] | {"disgust": 63}
    (note,) = select_classes(coded("CASME II", counts, 25), "paper").attrs["notes"]
    assert note == (
        "CASME II: counts differ from the published ones, in brackets: disgust 63 (64), subjects 25 (26)"
    )


def test_the_composite_has_the_challenges_counts():
    counts = {"happiness": 32, "surprise": 25, "disgust": 63, "repression": 27}
    casme2 = coded("CASME II", counts | {"others": 99, "sadness": 7, "fear": 2}, 24)
    # the two clips that the challenge leaves out are negative
    casme2.loc[57, ["subject", "clip"]] = ["04", "EP12_01f"]
    casme2.loc[120, ["subject", "clip"]] = ["05", "EP09_05f"]
    counts = {"anger": 57, "happiness": 26, "contempt": 12, "surprise": 15, "disgust": 9, "fear": 8}
    samm = coded("SAMM", counts | {"sadness": 6, "others": 26}, 28)
    smic = coded("SMIC-HS", {"negative": 70, "positive": 51, "surprise": 43}, 16)
    composite = combine([select_classes(table, "composite") for table in (smic, casme2, samm)])
    assert composite["emotion"].value_counts().to_dict() == {"negative": 250, "positive": 109, "surprise": 83}
    assert composite["subject"].nunique() == 68
    assert not any("differ" in note for note in composite.attrs["notes"])
    assert sum("not in the challenge's list" in note for note in composite.attrs["notes"]) == 2
    after = select_classes(combine([smic, casme2, samm]), "composite")  # in the other order
    assert after.equals(composite)


def test_the_composite_of_another_data_set_is_said_to_be_none_of_the_challenge():
    table = select_classes(coded("CASME", {"tense": 3, "disgust": 2, "happiness": 1}), "composite")
    assert table["emotion"].to_list() == ["negative", "negative", "positive"]
    assert any("not in the challenge" in note for note in table.attrs["notes"])


def test_classes_of_ones_own():
    table = coded("SAMM", {"anger": 2, "disgust": 1, "others": 3})
    merged = select_classes(table, {"anger": "high", "disgust": "low"})
    assert merged["emotion"].to_list() == ["high", "high", "low"]
    assert merged.attrs["selection"] == "custom"
    assert select_classes(table, ["others"])["emotion"].to_list() == ["others"] * 3
    assert table["emotion"].to_list()[0] == "anger"  # not changed in place
    with pytest.raises(ValueError, match="classes names angre; the emotions in the table are anger, disgust"):
        select_classes(table, ["angre"])
    with pytest.raises(ValueError, match="classes is 'papers'; it must be 'paper' or 'composite'"):
        select_classes(table, "papers")
    with pytest.raises(ValueError, match="no clip is of the classes"):
        select_classes(coded("SAMM", {"others": 2}), "composite")


def test_rows_that_share_an_index_are_different_clips():
    both = pd.concat([coded("SAMM", {"anger": 2}), coded("MMEW", {"disgust": 2})])
    classes = {"anger": "high", "disgust": "low"}
    assert select_classes(both, classes)["emotion"].to_list() == ["high", "high", "low", "low"]
    assert select_classes(both, "composite")["emotion"].to_list() == ["negative"] * 4


def test_combining(make_tree):
    tables = [read_dataset(name, make_tree(name, quirks=["gap"])) for name in ("casme2", "samm", "smic")]
    both = combine(tables)
    assert len(both) == sum(map(len, tables))
    assert both["subject"].iloc[0] == "CASME II/01"
    assert both["apex"].dtype == "Int64"
    assert len(both.attrs["problems"]) == 3
    assert [problem.kind for problem in both.attrs["problems"]] == ["frames"] * 3
    assert set(both.attrs) == set(tables[0].attrs)
    assert [name for name, _ in both.attrs["sources"]] == ["casme2", "samm", "smic-hs"]
    for (name, root), table in zip(both.attrs["sources"], tables, strict=True):
        assert read_dataset(name, root).equals(table)
    assert combine([both]).equals(both)
    with pytest.raises(ValueError, match="SAMM is in more than one table"):
        combine([both, tables[1]])
    with pytest.raises(ValueError, match="different selections"):
        combine([tables[0], select_classes(tables[1], "composite")])
    with pytest.raises(ValueError, match="no table"):
        combine([])


# Reports


def test_a_report_one_can_act_on(make_tree):
    text = report(read_casme2(make_tree("casme2", quirks="all", slips=True)))
    lines = text.splitlines()
    assert lines[0] == "CASME II: 65 clips of 1 subject" or re.match(
        r"CASME II: \d+ clips of \d subjects", lines[0]
    )
    for words in (
        "  Cells that should hold a whole number (4); correct them in the file named:",
        "  Frames that are not there (2); unpack them again, or read with allow_gaps=True:",
        "  Clips coded twice (1); delete the row that is wrong:",
        "Known slips corrected (1):",
    ):
        assert words in lines


def test_problems_keep_their_kind(make_tree):
    table = read_casme2(make_tree("casme2", quirks=["gap"]))
    for other in (table[table["onset"] > 0], copy.deepcopy(table), pickle.loads(pickle.dumps(table))):
        assert [problem.kind for problem in other.attrs["problems"]] == ["frames"]
        assert set(other.attrs["problems"]) == set(table.attrs["problems"])
    table.attrs["problems"].append("clip sub01/x: damaged")  # a plain line
    assert "Other problems (1); see each line:\n    clip sub01/x: damaged" in report(table)


def test_clips_that_extract_leaves_out_have_a_heading():
    table = coded("SAMM", {"anger": 1})
    table.attrs["problems"] = [
        Problem("clip", "clip 006/x", "img1.jpg is not a readable image"),
        Problem("a kind of one's own", "", "something else"),
    ]
    assert report(table).splitlines()[3:] == [
        "Left out: 2 clips",
        "  Clips that could not be described (1); mend the files and extract again:",
        "    clip 006/x: img1.jpg is not a readable image",
        "  Other problems (1); see each line:",
        "    something else",
    ]
