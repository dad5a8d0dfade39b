"""Nothing that is read is executed: no pickle, no evaluation of text, no shell, no entities in XML.

A use that is harmless stands in ALLOWED with its reason.
"""

import ast
from pathlib import Path

import numpy as np
import pytest

from microexpr.cli import main

ROOT = Path(__file__).parents[1]
PACKAGES = ("ltogp", "rankpool", "l21", "microexpr")

# Modules that make code of data, start programs, or (XML, YAML) do more than they are told.
MODULES = {
    *(
        "pickle",
        "_pickle",
        "pickletools",
        "cPickle",
        "cloudpickle",
        "dill",
        "jsonpickle",
        "marshal",
        "shelve",
    ),
    *("joblib.numpy_pickle", "joblib.externals", "sklearn.externals", "skops", "yaml", "ruamel", "code"),
    *("codeop", "runpy", "imp", "subprocess", "multiprocessing", "pty", "pdb", "ctypes", "cffi"),
    *(
        "logging.config",
        "xml",
        "lxml",
        "bs4",
        "html5lib",
        "xmltodict",
        "xmlrpc",
        "socketserver",
        "http.server",
    ),
}
FUNCTIONS = {
    *("eval", "exec", "compile", "__import__", "execfile", "input", "breakpoint"),
    *("os.system", "os.popen", "os.startfile", "os.posix_spawn", "os.posix_spawnp", "os.fork"),
    *("joblib.load", "joblib.dump", "pandas.eval", "pandas.read_pickle", "pandas.to_pickle"),
    *("pandas.read_xml", "pandas.read_html", "pandas.read_hdf", "numpy.DataSource", "ast.literal_eval"),
    *("sympy.sympify", "numexpr.evaluate", "importlib.import_module", "importlib.__import__"),
    *("importlib.util.spec_from_file_location", "types.FunctionType", "types.CodeType"),
}
BEGINNINGS = ("os.exec", "os.spawn", "builtins.", "numpy.lib.format.")
METHODS = {"eval", "query", "to_pickle", "read_pickle", "literal_eval", "loads_pickle", "run_line_magic"}
NUMPY = {"numpy.load", "numpy.save", "numpy.savez", "numpy.savez_compressed"}

ALLOWED = {
    ("l21/__init__.py", "importlib.import_module"): "of a name in its own table",
    ("ltogp/__init__.py", "importlib.import_module"): "of a name in its own table",
    ("microexpr/__init__.py", "importlib.import_module"): "of a name in its own table",
    ("rankpool/__init__.py", "importlib.import_module"): "of a name in its own table",
    (
        "microexpr/_clip_commands.py",
        "numpy.savez_compressed",
    ): "of numbers: the test below loads it without pickle",
    ("microexpr/cli.py", "multiprocessing"): "only to end the processes that joblib started",
    ("microexpr/data/_workbooks.py", "xml.etree"): "of parts whose prolog was checked: no document type",
    ("microexpr/data/_workbooks.py", "xml.parsers"): "that checks the prolog, and stops at the first element",
}


def found_in(path):
    """Each (line, name) of a file that is none of what a package that executes no data has."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names, found = {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
                found += [(node.lineno, name) for name in module_in(alias.name)]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names[alias.asname or alias.name] = full
                found += [(node.lineno, name) for name in module_in(full)]
                if full in FUNCTIONS or full.startswith(BEGINNINGS):
                    found.append((node.lineno, full))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):  # given on to `map` as well as called
            name = full_name(node, names)
            if name in FUNCTIONS or (name or "").startswith(BEGINNINGS):
                found.append((node.lineno, name))
        if isinstance(node, ast.Call):
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            name = full_name(node.func, names)
            if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                found.append((node.lineno, f".{node.func.attr}"))
            if name in NUMPY and not is_false(keywords.get("allow_pickle")):
                found.append((node.lineno, name))
            for keyword in ("shell", "allow_pickle", "resolve_entities", "trusted"):
                if keyword in keywords and not is_false(keywords[keyword]):
                    found.append((node.lineno, f"{keyword}="))
        elif isinstance(node, ast.Attribute | ast.Name) and full_name(node, names) in NUMPY:
            calls = [other.func for other in ast.walk(tree) if isinstance(other, ast.Call)]
            if node not in calls:
                found.append((node.lineno, full_name(node, names)))
    return sorted(set(found))


def module_in(name):
    parts = name.split(".")
    beginnings = {".".join(parts[: k + 1]) for k in range(len(parts))}
    return [".".join(parts[:2])] if beginnings & MODULES else []


def full_name(node, names):
    """What a name with points is called by the modules it is from; None if it is not of such."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        inner = full_name(node.value, names)
        return inner and f"{inner}.{node.attr}"
    return None


def is_false(node):
    return isinstance(node, ast.Constant) and node.value is False


def test_no_package_executes_data():
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(files) > 50
    seen = {(path.relative_to(ROOT).as_posix(), name) for path in files for _, name in found_in(path)}
    assert seen - set(ALLOWED) == set()
    assert set(ALLOWED) - seen == set(), "no longer there: take it off the list"


def test_what_describe_writes_is_read_without_pickle(videos, tmp_path, monkeypatch):
    monkeypatch.setattr("microexpr._clip_commands.matplotlib_is_there", lambda: False)
    assert main(["describe", str(videos.texture), "--no-face", "--out", str(tmp_path / "x")]) == 0
    with np.load(tmp_path / "x.npz", allow_pickle=False) as written:
        assert {array.dtype.kind for array in (written[name] for name in written)} <= set("fiU")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import pickle", "pickle"),
        ("import a, pickle as p", "pickle"),
        ("from pickle import loads", "pickle.loads"),
        ("def f():\n    from cloudpickle import loads", "cloudpickle.loads"),
        ("import dill", "dill"),
        ("import marshal, shelve", "marshal"),
        ("import joblib\njoblib.load(path)", "joblib.load"),
        ("from joblib import dump as write", "joblib.dump"),
        ("from joblib.numpy_pickle import load", "joblib.numpy_pickle"),
        ("eval(text)", "eval"),
        ("list(map(eval, texts))", "eval"),
        ("exec(text, {})", "exec"),
        ("compile(text, '', 'exec')", "compile"),
        ("__import__(name)", "__import__"),
        ("import builtins\nbuiltins.eval(text)", "builtins.eval"),
        ("from builtins import exec as run", "builtins.exec"),
        ("import importlib\nimportlib.import_module(name)", "importlib.import_module"),
        ("from importlib import import_module", "importlib.import_module"),
        ("import yaml\nyaml.load(file)", "yaml"),
        ("import numpy as np\nnp.load(path)", "numpy.load"),
        ("import numpy as np\nnp.load(path, allow_pickle=True)", "numpy.load"),
        ("import numpy as np\nnp.load(path, allow_pickle=trusted)", "allow_pickle="),
        ("from numpy import load\nload(path)", "numpy.load"),
        ("import numpy as np\nlist(map(np.load, paths))", "numpy.load"),
        ("import numpy\nnumpy.savez(path, x=x)", "numpy.savez"),
        ("import pandas as pd\npd.read_pickle(path)", "pandas.read_pickle"),
        ("import pandas as pd\npd.eval(text)", "pandas.eval"),
        ("table.query(text)", ".query"),
        ("table.eval(text)", ".eval"),
        ("table.to_pickle(path)", ".to_pickle"),
        ("import os\nos.system(command)", "os.system"),
        ("from os import popen", "os.popen"),
        ("import os\nos.execv(path, [])", "os.execv"),
        ("import subprocess", "subprocess"),
        ("run(command, shell=True)", "shell="),
        ("from xml.etree import ElementTree", "xml.etree"),
        ("import xml.dom.minidom", "xml.dom"),
        ("from lxml import etree", "lxml.etree"),
        ("import bs4", "bs4"),
        ("import ast\nast.literal_eval(text)", "ast.literal_eval"),
    ],
)
def test_each_is_found(source, name, tmp_path):
    (tmp_path / "a.py").write_text(source)
    assert name in [found for _, found in found_in(tmp_path / "a.py")]


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile(pattern)",
        "import numpy as np\nnp.load(path, allow_pickle=False)",
        "import json\njson.load(file)",
        "from html.parser import HTMLParser",
        "from . import pickle",
        '"""We neither eval(text) nor import pickle."""  # exec()',
        "import os\nos.path.exists(path)",
        "from importlib.util import find_spec",
    ],
)
def test_what_is_harmless(source, tmp_path):
    (tmp_path / "a.py").write_text(source)
    assert found_in(tmp_path / "a.py") == []
