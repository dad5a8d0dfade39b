"""`evaluate --from` on an evaluation.json that somebody changed: one line with file and field, nothing done.

The data that the file names are gone, so that even a file that is right ends in one line.
"""

import copy
import inspect
import json
import os
import random
import re

import pytest

import microexpr
from microexpr import experiment
from microexpr.cli import main
from microexpr.data import DATASETS
from microexpr.experiment import Settings, save_evaluation
from microexpr.experiment.pins_file import LARGEST_FILE, read_pins

MARK = "what stands here"
LATER_SETTINGS = ("poolings", "classifier", "class_weight")
HOSTILE = [
    *("null", "true", '"x"', '""', '"\\u0000"', '"\\ud800"', "-1", "0.5", "1e308", "1" + "0" * 400),
    *("NaN", "-Infinity", "1e999", "1" * 5000, "[]", "{}", '[["x"]]', '{"x":1,"x":2}', '{"store": "x"}'),
    "[" * 100_000 + "]" * 100_000,
]
NUMBERS = {"-1", "0.5", "1e308"}
TEXTS = {'"x"', '""'}
# What may stand there all the same: of fields by their names, without the places in lists.
LARGE = {"1" + "0" * 400}
# What may stand there all the same: of fields by their names, without the places in lists.
RIGHT = [
    (r"versions\.[^.]*|results\.(rows|sweep)\.predictions", TEXTS),
    (r"results\.(labels|notes)|results\.rows\.(name|basis)|data\.sources\.1", TEXTS),
    (r"results\.rows\.(recall\.\w+|C)|results\.largest_gap", NUMBERS | {"null"}),
    (r"results\.rows\.(accuracy|uf1|uar|intervals\.\w+|by_dataset\..*)", NUMBERS),
    (r"results\.sweep\.(accuracy|uf1|uar)|results\.weights", NUMBERS),
    (r"results\.comparisons\.(difference|interval|mcnemar\.p)", NUMBERS),
    (r"results\.(rows|sweep)\.(n_features|confusion)|results\.nonzero_rows", LARGE),
    (r"results\.rows\.by_subject\.\w+|results\.comparisons\.(rows|mcnemar\.only_\w+)", LARGE),
    (r"results\.sweep\.blocks|settings\.(n_splits|inner_splits|seed)", LARGE),
    (r"settings\.(gamma|C)", NUMBERS - {"-1"}),
    (r"settings\.C_grid", NUMBERS - {"-1"}),
    (r"data\.parameters\.tol", NUMBERS - {"-1"}),
    (r"data\.parameters\.(C|blur)", {"0.5"}),
    (r"data\.sources\.2\.encoding", TEXTS | {"null"}),
    (r"settings\.(sweep|nested)|simulated|data\.sources\.2\.follow_outside", {"true"}),
    (r"settings\.(n_features|class_weight)|data\.classes|results\.weights", {"null"}),
    (r"data\.parameters\.(stabilise|n_frames|templates|blur)", {"null"}),
    (r"versions|results\.rows\.(recall|by_subject|by_dataset)|data\.(sources\.2|poolings)", {"{}"}),
    (r"versions", {'{"store": "x"}'}),
    (
        r"data\.sources|settings\.poolings|results\.\w+|results\.(rows|sweep)\.(n_features|C|confusion|predictions)",
        {"[]"},
    ),
]


@pytest.fixture(scope="module")
def pins(tmp_path_factory):
    """An evaluation.json, read, that names everything that one can."""
    folder = tmp_path_factory.mktemp("pins")
    root = microexpr.simulate(folder / "data", subjects=3, clips=12, frames=(3, 4), size=(20, 20))
    table = experiment.read([("casme2", root)], "all")
    settings = Settings(
        blocks=1,
        n_features=9,
        sweep_blocks=[1, 2],
        sweep_n_features=[5, 9],
        C_grid=[1e-2, 1],
        poolings=["energy"],
        class_weight="balanced",
    )
    done = experiment.extract_and_evaluate(table, settings, parameters={"blur": 0.5}, n_jobs=1)
    save_evaluation(done, folder)
    content = json.loads((folder / "evaluation.json").read_text())
    manifest = ["manifest", "gone.csv", {"encoding": "gbk", "follow_outside": True}]
    content["data"]["sources"] = [["casme2", "gone"], manifest]
    return content


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Write a file and evaluate from it; return the one line that says why not, without the file's name."""
    monkeypatch.chdir(tmp_path)

    def refused(text):
        (tmp_path / "e.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        status = main(["evaluate", "--from", "e.json", "--jobs", "1"])
        printed = capsys.readouterr()
        assert status == 2
        assert printed.out == ""
        assert printed.err.startswith("microexpr evaluate: "), printed.err
        assert printed.err.count("\n") == 1, printed.err
        assert len(printed.err) < 1000
        assert [path.name for path in tmp_path.iterdir()] == ["e.json"]
        return printed.err.removeprefix("microexpr evaluate: ").strip()

    return refused


def places(value, path=()):
    """Everything in JSON, as the keys that lead there; of a list its last."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    for key, item in inside:
        if isinstance(value, dict) or key == len(value) - 1 or path == ("data", "sources"):
            yield from places(item, (*path, key))


def with_place(content, path):
    """The file with a mark at a place."""
    content = copy.deepcopy(content)
    inside = content
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = MARK
    return json.dumps(content)


def named(path):
    """The name that the settings of RIGHT are known by."""
    inner = path[:2] + path[3:] if path[:2] == ("data", "sources") else path
    kept = [str(key) for key in inner if isinstance(key, str) or path[:2] == ("data", "sources")]
    return ".".join(kept)


def test_as_it_is_its_data_are_looked_for(pins, refused):
    assert refused(json.dumps(pins)).startswith("gone: no such folder; CASME II")


def test_every_value_is_looked_at(pins, refused):
    count, unclear = 0, []
    for path in filter(None, places(pins)):
        text = with_place(pins, path)
        right = {raw for pattern, raws in RIGHT if re.fullmatch(pattern, named(path)) for raw in raws}
        for raw in HOSTILE[:: 2 if path[0] == "results" else 1]:  # results are only compared
            error = refused(text.replace(json.dumps(MARK), raw))
            name = [key for key in path if isinstance(key, str)][-1]
            deep = "nested too deeply" in error and raw.startswith("[[[")
            if raw not in right and not (error.startswith("e.json") and (name in error or deep)):
                unclear.append((named(path), raw[:20], error))
            count += raw not in right
    assert unclear == []
    assert count > 1000


def test_every_name_is_needed_and_known(pins, refused):
    """But those of versions, labels and subjects, which may be any, and what later versions added."""
    free = r"versions|data\.poolings|results\.rows\.(recall|by_subject|by_dataset)|data\.sources\.2"
    for path in list(places(pins)):
        content = copy.deepcopy(pins)
        inside = content
        for key in path:
            inside = inside[key]
        if not isinstance(inside, dict) or re.fullmatch(free, named(path)):
            continue
        for name in list(inside):
            kept = dict(inside)
            del inside[name]
            error = refused(json.dumps(content))
            inside.update(kept)
            later = ("blur", "classifier", "blocks", "pooling", "poolings", "class_weight")
            if name not in later or (*path, name) == ("settings", "blocks"):
                assert error.startswith("e.json"), (path, name, error)
                assert name in error or path == ("data", "features")
            else:
                assert error.startswith("gone")
        inside["n_jobs"] = inside["x"] = 1
        error = refused(json.dumps(content))
        assert error.startswith("e.json"), (path, error)
        assert '"n_jobs"' in error or path == ("data", "features")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"digest": None}, "e.json: data.digest is null; it must be a text of 64 hexadecimal digits"),
        ({"digest": "A" * 64}, "data.digest is"),
        ({"sources": [["casme2"]]}, "data.sources[0] is a list; it must be a list: a data set's name"),
        ({"sources": [["casme9", "/"]]}, "data.sources[0]: 'casme9' is not a data set"),
        ({"sources": [["casme2", "/dev/zero"]]}, "/dev/zero: no such folder"),
        ({"sources": [["casme2", "a\0b"]]}, 'data.sources[0][1] is "a\\u0000b"; it must be a text'),
        ({"sources": [["casme2", "../../../../../../../../nowhere"]]}, "nowhere: no such folder"),
        ({"sources": [["manifest", "/dev/zero"]]}, "/dev/zero: no such file"),
        ({"sources": [["casme2", "gone", {"camera": "HS"}]]}, "data.sources[0]: casme2 has no --camera"),
        ({"sources": [["casme2", "gone"], ["smic", "x", {"camera": 3}]]}, "data.sources[1][2].camera is 3"),
        ({"sources": [["casme2", "gone", {"root": "/"}]]}, "data.sources[0]: casme2 has no --root"),
        ({"sources": [["casme2", "gone", {"strict": "x"}]]}, 'data.sources[0][2].strict is "x"'),
        ({"sources": [["casme2", "gone", {"n_jobs": 5}]]}, "data.sources[0]: casme2 has no --jobs"),
        ({"sources": []}, "e.json does not say where the data sets are; give them"),
        ({"features": {}}, "data.features has 0 names"),
        ({"features": {"1 x 1": "0" * 64}}, "data.features are of 1 x 1"),
        ({"features": {"1 x 1": None, "2 x 2": "0" * 64}}, "data.features.1 x 1 is null"),
    ],
)
def test_what_is_said(pins, refused, change, words):
    assert words in refused(json.dumps({**pins, "data": {**pins["data"], **change}}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": "x"}, 'data.parameters.size is "x"; it must be a list of 2'),
        ({"size": [0, 9]}, "data.parameters.size is [0, 9]; it must be (height, width)"),
        ({"store": "/tmp/x"}, 'data.parameters has "store", which is none of size, '),
        ({"radius": 5000}, "data.parameters.radius: radius is 5000; must be at least 1"),
        ({"mode": ["wrap"]}, "data.parameters.mode: "),
        ({"templates": [[[1, 2], [3]]]}, "data.parameters.templates: "),
        ({"blur": 1e9}, "data.parameters.blur is 1000000000.0; it must be 0 to 100 pixels"),
        ({"stabilise": "integer"}, 'data.parameters.stabilise="integer" is no more'),
    ],
)
def test_what_is_said_of_parameters(pins, refused, change, words):
    parameters = {**pins["data"]["parameters"], **change}
    assert words in refused(json.dumps({**pins, "data": {**pins["data"], "parameters": parameters}}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"blocks": 50, "sweep": False},
            "settings.blocks or settings.sweep_blocks has 50 x 50; frames are 128",
        ),
        ({"n_features": 300}, "settings.n_features or settings.sweep_n_features: N = 300, but 1 x 1 blocks"),
        ({"protocol": {}}, "settings.protocol is {}; it must be one of loso"),
        ({"gamma": 10**400}, "settings.gamma is 1000"),
        ({"poolings": ["rank", "rank"]}, "settings.poolings is ('rank', 'rank'); it must be of rank, mean"),
        ({"classifier": "lda", "C": 2.0}, "settings.C is 2.0, the penalty of the SVM"),
        ({"classifier": "tree"}, "settings.classifier is 'tree'"),
    ],
)
def test_what_is_said_of_settings(pins, refused, change, words):
    parameters = {**pins["data"]["parameters"], "size": [128, 40]}
    data = {**pins["data"], "parameters": parameters}
    assert words in refused(json.dumps({**pins, "data": data, "settings": {**pins["settings"], **change}}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "e.json is not an evaluation.json of `microexpr evaluate`: Expecting value"),
        ("\ufeff{}", "Unexpected UTF-8 BOM"),
        (b"\xff\xfe{\0}\0", "can't decode byte 0xff"),
        (b'{"format": "\xe9"}', "can't decode byte 0xe9"),
        ("null", "it is null"),
        ("[1]", "it is a list"),
        ("{}", "it has no format"),
        ('{"format": 2}', "e.json has format 2; this version reads 1"),
        ('{"format": true}', "e.json has format true"),
        ('{"format": 1, "format": 1}', 'it is an object with two "format"'),
        ("[" * 10**6, "nested too deeply"),
        ('{"a":' * 10**6, "nested too deeply"),
        ("1" * 10**6, "it is a number of 1000000 digits"),
        ('{"format": 1}', "e.json: it has no simulated"),
    ],
)
def test_what_is_no_evaluation(refused, text, words):
    assert words in refused(text)


def test_what_is_no_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    os.symlink("/dev/zero", "zero")
    os.symlink("loop", "loop")
    with open("large", "wb") as file:
        file.truncate(LARGEST_FILE + 1)
    os.mkdir("folder")
    for name, words in [
        ("fifo", "it is not a regular file"),
        ("zero", "it is not a regular file"),
        ("large", f"it has {LARGEST_FILE + 1} bytes; up to {LARGEST_FILE} are read"),
        ("folder", "no such file"),
        ("loop", ""),
        ("a" * 5000, ""),
    ]:
        assert main(["evaluate", "--from", name]) == 2
        error = capsys.readouterr().err
        assert error.startswith("microexpr evaluate: ")
        assert name in error
        assert words in error
        assert error.count("\n") == 1


def test_bytes_changed_at_random(pins, refused):
    """Cut, doubled, moved, overwritten: whatever is left, one line."""
    rng = random.Random(0)
    whole = json.dumps(pins).encode()
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 5))):
            at, to = sorted(rng.randrange(len(data) + 1) for _ in range(2))
            to = min(to, at + rng.choice((0, 1, 1, 3, 50)))
            data[at:to] = rng.choice(
                (
                    b"",
                    data[at:to] * 2,
                    rng.randbytes(3),
                    rng.choice((b"{", b"]", b"null", b"0", b'"', b"\\u")),
                )
            )
        refused(bytes(data))


def test_what_earlier_versions_left_out(pins, tmp_path):
    """The first one: no options of sources, no blur, no pooling, classes null where they are all."""
    first = {name: value for name, value in pins["settings"].items() if name not in LATER_SETTINGS}
    pins = {**pins, "settings": first}
    data = copy.deepcopy(pins["data"])
    del data["poolings"]
    del data["parameters"]["blur"]
    data["sources"], data["classes"] = [["casme2", "gone"]], None
    (tmp_path / "e.json").write_text(json.dumps({**pins, "data": data}))
    content, settings = read_pins(tmp_path / "e.json")
    assert content["data"] == data
    assert settings.blocks == (1, 1)
    assert (settings.poolings, settings.classifier, settings.class_weight) == (("rank",), "svm", None)
    data["sources"] = [["casme2", "gone", {"whole_folder": True}]]
    data["parameters"]["pooling"] = ["mean", {"axis": [0, {"a": None}]}]
    data["features"] = {"colours": "0" * 64}
    changed = {**pins, "data": data, "classifier": "SVC()"}
    changed["settings"] = {**pins["settings"], "blocks": [2, 1], "n_features": None}
    (tmp_path / "e.json").write_text(json.dumps(changed))
    content, settings = read_pins(tmp_path / "e.json")
    assert settings.blocks == (2, 1)


def test_every_option_of_a_reader_may_be_in_a_file(pins, tmp_path):
    values = dict.fromkeys(("sheet", "tree", "encoding"), "x") | {"camera": "NIR", "expressions": "all"}
    for name, reader in DATASETS.items():
        options = set(inspect.signature(reader).parameters) - {"root", "path"}
        options -= {"camera"} if name.endswith(("-hs", "-vis", "-nir")) else set()
        sources = [[name.upper(), "gone", {option: values.get(option, True) for option in options}]]
        (tmp_path / "e.json").write_text(json.dumps({**pins, "data": {**pins["data"], "sources": sources}}))
        read_pins(tmp_path / "e.json")
