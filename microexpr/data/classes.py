"""Which clips of a table of clips are evaluated, in which classes, and tables of several data sets in one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PUBLISHED", "combine", "select_classes"]

#: Clips of each class, selection -> data set -> class -> clips: the paper's subsets (Niu et al. 2019,
#: section 4.1), and the composite of MEGC 2019 (See et al. 2019) as lists of its clips have it. Sources, and
#: where they differ, are in docs/datasets.md.
PUBLISHED = {
    "paper": {
        "CASME": {"disgust": 44, "surprise": 20, "repression": 38, "tense": 69},
        "CASME II": {"happiness": 32, "surprise": 25, "disgust": 64, "repression": 27, "others": 99},
    },
    "composite": {
        "SMIC-HS": {"negative": 70, "positive": 51, "surprise": 43},
        "CASME II": {"negative": 88, "positive": 32, "surprise": 25},
        "SAMM": {"negative": 92, "positive": 26, "surprise": 15},
    },
}
_SUBJECTS = {
    ("paper", "CASME II"): 26,
    ("composite", "SMIC-HS"): 16,
    ("composite", "CASME II"): 24,
    ("composite", "SAMM"): 28,
}
_NEGATIVE = ("anger", "contempt", "disgust", "fear", "repression", "sadness", "negative")
_COMPOSITE = dict.fromkeys(_NEGATIVE, "negative") | {
    "happiness": "positive",
    "positive": "positive",
    "surprise": "surprise",
}
# What the composite has no place for in CASME II: emotions, and two clips by subject and name.
_WITHOUT_EMOTIONS = {"CASME II": ("fear", "sadness")}
_WITHOUT_CLIPS = {("CASME II", "04", "EP12_01f"), ("CASME II", "05", "EP09_05f")}


def select_classes(table: pd.DataFrame, classes: str | Mapping[str, str] | Sequence[str]) -> pd.DataFrame:
    """Keep the clips of some classes, and merge classes.

    Parameters
    ----------
    table : pandas.DataFrame
        As a reader of `microexpr.data` or `combine` returns it.
    classes : "paper", "composite", mapping or sequence of str
        "paper": the classes of Niu et al. (2019, section 4.1) for CASME (disgust, surprise, repression,
        tense) and CASME II (happiness, surprise, disgust, repression, others). "composite": the three
        classes of the second Micro-Expression Grand Challenge (See et al. 2019), negative (anger,
        contempt, disgust, fear, repression, sadness), positive (happiness) and surprise; CASME II there
        goes without fear, sadness and two clips. A mapping: emotion -> class. A sequence: emotions to
        keep as they are.

    Returns
    -------
    pandas.DataFrame
        The rows kept, ``emotion`` being the class. ``attrs["notes"]`` says how many of which emotion
        were left out, and where the counts differ from those published (`PUBLISHED`).

    Raises
    ------
    ValueError
        If the selection is not known or not defined for a data set in the table, or no clip is left.

    Examples
    --------
    >>> import pandas as pd
    >>> from microexpr.data import select_classes
    >>> table = pd.DataFrame({"dataset": "SAMM", "subject": ["006", "007", "009"], "clip": ["a", "b", "c"],
    ...                       "emotion": ["anger", "others", "happiness"]})
    >>> select_classes(table, "composite")["emotion"].to_list()
    ['negative', 'positive']
    """
    there = ", ".join(sorted(table["emotion"].unique()))
    if not isinstance(classes, str):
        selection = "custom"
        mapping = dict(classes) if isinstance(classes, Mapping) else {word: word for word in classes}
        unknown = sorted(set(mapping) - set(table["emotion"]))
        if unknown:
            raise ValueError(f"classes names {', '.join(unknown)}; the emotions in the table are {there}")
    elif classes in PUBLISHED:
        selection, mapping = classes, _COMPOSITE
    else:
        names = " or ".join(map(repr, PUBLISHED))
        raise ValueError(f"classes is {classes!r}; it must be {names}, a mapping or a sequence of emotions")

    notes = []
    attrs, table = table.attrs, table.reset_index(drop=True)  # whose index pandas.concat may repeat
    kept = table.copy()
    for dataset, rows in table.groupby("dataset", sort=False):
        of_dataset = _paper(str(dataset)) if selection == "paper" else mapping
        new = rows["emotion"].map(of_dataset)
        if selection == "composite":
            new = new.mask(rows["emotion"].isin(_WITHOUT_EMOTIONS.get(str(dataset), ())))
            for at, row in rows.iterrows():
                subject = str(row["subject"]).rpartition("/")[2]  # "CASME II/04" after `combine`
                if (dataset, subject, row["clip"]) in _WITHOUT_CLIPS:
                    new[at] = None
                    notes.append(f"{dataset} {subject}/{row['clip']}: not in the challenge's list, left out")
        kept.loc[rows.index, "emotion"] = new
    chosen = kept["emotion"].notna()
    if not chosen.any():
        raise ValueError(f"no clip is of the classes selected; the emotions in the table are {there}")
    others = table.loc[~chosen, "emotion"].value_counts().sort_index()
    if len(others):
        words = ", ".join(f"{word} {count}" for word, count in others.items())
        notes.append(f"{others.sum()} clips of other emotions or left out by name: {words}")
    kept = kept[chosen].reset_index(drop=True)
    notes += _differences(kept, selection)
    kept.attrs = {**attrs, "selection": selection, "notes": [*attrs.get("notes", []), *notes]}
    return kept


def combine(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Put data sets together, with their subjects kept apart.

    Subject "01" of CASME II becomes "CASME II/01". The same camera or data set given twice is refused,
    because its clips would be in training and test folds at once.

    Parameters
    ----------
    tables : iterable of pandas.DataFrame
        As the readers or `select_classes` return them.

    Returns
    -------
    pandas.DataFrame
        Their rows, in order; ``attrs`` hold the problems, corrections, notes and sources of all.

    Raises
    ------
    ValueError
        If there is none, a data set comes twice, or they hold different selections of classes.

    Examples
    --------
    >>> import pandas as pd
    >>> from microexpr.data import combine
    >>> samm = pd.DataFrame({"dataset": "SAMM", "subject": ["006"], "clip": ["a"], "emotion": ["anger"]})
    >>> smic = pd.DataFrame({"dataset": "SMIC-HS", "subject": ["06"], "clip": ["b"], "emotion": ["negative"]})
    >>> combine([samm, smic])["subject"].to_list()
    ['SAMM/006', 'SMIC-HS/06']
    """
    import pandas as pd

    tables = list(tables)
    if not tables:
        raise ValueError("there is no table to combine")
    names = pd.Series([name for table in tables for name in table["dataset"].unique()])
    if names.duplicated().any():
        raise ValueError(f"{', '.join(names[names.duplicated()])} is in more than one table")
    attrs = [table.attrs for table in tables]
    selections = {a.get("selection") for a in attrs}
    if len(selections) > 1:
        raise ValueError(
            f"the tables hold different selections of classes ({', '.join(map(str, selections))}); select "
            "the classes after combining, or the same ones before"
        )
    plain = [table.copy() for table in tables]
    for table in plain:
        table.attrs = {}  # what differs is put together below; pandas would drop it
    combined = pd.concat(plain, ignore_index=True)
    combined["subject"] = [  # a combined table may be combined again
        subject if subject.startswith(f"{dataset}/") else f"{dataset}/{subject}"
        for dataset, subject in zip(combined["dataset"], combined["subject"], strict=True)
    ]
    for key in ("problems", "corrections", "notes", "sources"):
        combined.attrs[key] = [entry for a in attrs for entry in a.get(key, [])]
    combined.attrs["sheet"] = ", ".join(a["sheet"] for a in attrs if a.get("sheet"))
    combined.attrs["simulated"] = any(a.get("simulated", False) for a in attrs)
    combined.attrs["selection"] = selections.pop()
    return combined


def _paper(dataset: str) -> dict[str, str]:
    if dataset not in PUBLISHED["paper"]:
        raise ValueError(
            f"the paper has no subset of {dataset}, only of {', '.join(PUBLISHED['paper'])}; select the "
            "composite or give the classes"
        )
    return {word: word for word in PUBLISHED["paper"][dataset]}


def _differences(table: pd.DataFrame, selection: str) -> list[str]:
    """Where the counts are not the published ones."""
    notes = []
    for dataset, rows in table.groupby("dataset", sort=False):
        published = PUBLISHED.get(selection, {}).get(str(dataset), {})
        if selection == "composite" and not published:
            notes.append(f"{dataset} is not in the challenge; its classes are merged by the same rule")
        counts = {word: int((rows["emotion"] == word).sum()) for word in published}
        expected = dict(published)
        if (selection, dataset) in _SUBJECTS:
            counts["subjects"] = rows["subject"].nunique()
            expected["subjects"] = _SUBJECTS[selection, str(dataset)]
        differ = [f"{word} {counts[word]} ({n})" for word, n in expected.items() if counts[word] != n]
        if differ:
            notes.append(
                f"{dataset}: counts differ from the published ones, in brackets: {', '.join(differ)}"
            )
    return notes
