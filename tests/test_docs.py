"""What README, CONTRIBUTING and docs/ say to type: it is there, it runs, and it says what it needs."""

import argparse
import doctest
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from microexpr import cli, simulate
from microexpr._examples import EXAMPLES

ROOT = Path(__file__).parents[1]
BUILT = ("_build", "auto_gallery", "generated")  # what Sphinx writes
PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if not {*path.parts} & {*BUILT}]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
SCRIPTS = [path for path in sorted((ROOT / "docs").glob("*.py")) if path.name != "conf.py"]


def commands():
    """Each `microexpr ...` of a shell block or in backticks, and where it stands."""
    for path in TEXTS:
        text = path.read_text()
        for block in re.findall(r"```sh\n(.*?)```", text, re.S):
            for line in block.replace("\\\n", " ").splitlines():
                yield from parts(path, re.sub(r"\s+[#>].*", "", line))
        for line in re.findall(r"`(microexpr [a-z]+[^`]*)`", text):
            yield from parts(path, " ".join(line.split()))


def parts(path, line):
    for command in line.split("&&"):
        if command.strip().startswith("microexpr "):
            yield path.name, command.strip()


COMMANDS = sorted(set(commands()))
HELP = [
    (f"--help of {name}", example.split(" > ")[0])
    for name, examples in EXAMPLES.items()
    for example, _ in examples
]


def test_the_texts_hold_commands():
    assert len(COMMANDS) > 10
    assert {command.split()[1] for _, command in COMMANDS} >= {
        "demo",
        "simulate",
        "describe",
        "extract",
        "evaluate",
    }


def test_the_help_of_every_command_has_an_example_of_it(capsys):
    commands = next(a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    assert set(EXAMPLES) == set(commands)
    for name, parser in commands.items():
        shown = parser.format_help()
        for example, _ in EXAMPLES[name]:
            assert example.startswith(f"microexpr {name}")
            assert f"\n  {example}\n" in shown
        assert "exit status: 0 done; " in shown


@pytest.mark.parametrize(("where", "command"), [*COMMANDS, *HELP])
def test_every_command_line_is_one(where, command, capsys):
    words = shlex.split(command)[1:]
    if "--help" in words or len(words) == 1:  # a command's name, or its help
        words = [words[0], "--help"]
        with pytest.raises(SystemExit) as stopped:
            cli.main(words)
        assert stopped.value.code == 0
        return
    try:
        cli._parser().parse_args(words)
    except SystemExit:
        pytest.fail(f"{where}: {command}: {capsys.readouterr().err}")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_has_help_and_does_nothing_else_then(script, tmp_path):
    done = subprocess.run(
        [sys.executable, script, "--help"], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_a_script_cannot_do_it_says_in_one_line(script, tmp_path):
    done = subprocess.run(
        [sys.executable, script, "--no-such-option"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_texts_name_only_files_that_are_here():
    for path in TEXTS:
        text = path.read_text()
        links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", text) + re.findall(
            r"(?m)^\[[^\]]+\]: (?!https?:)(\S+)$", text
        )
        for link in links:
            written = link.split("#")[0].replace("auto_gallery/index.rst", "gallery/GALLERY_HEADER.rst")
            written = re.sub(r"auto_gallery/(\w+)\.rst", r"gallery/\1.py", written)  # what it is made from
            assert (path.parent / written).exists(), f"{path.name}: {link}"
        for script in re.findall(r"\bdocs/\w+\.(?:py|md|svg|png)", text):
            assert (ROOT / script).exists(), f"{path.name}: {script}"


def test_nothing_reads_what_lies_beside_the_project():
    for folder in ("ltogp", "rankpool", "l21", "microexpr", "tests", "bench", "docs"):
        for path in (ROOT / folder).rglob("*.py"):
            if path == Path(__file__):
                continue
            text = path.read_text()
            assert '"shared"' not in text, path
            assert "../shared" not in text, path


def blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.S)


def test_the_python_of_the_readme_runs():
    """Each block by itself, as someone pastes it."""
    names = [{} for _ in blocks(ROOT / "README.md", "python")]
    for block, found in zip(blocks(ROOT / "README.md", "python"), names, strict=True):
        exec(block, found)
    textures, sequence, matrix = names
    assert textures["X"].shape == (120, 768)
    assert sequence["result"].gap <= 1e-6
    assert matrix["X"].shape == (569, 2030)


def test_the_python_of_the_guide_runs(videos, tmp_path, monkeypatch):
    """As written, on a video and on a simulated data set under the names that it uses."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(videos.face, "clip.mp4")
    simulate("CASME2", subjects=3, clips=15, frames=(5, 8), size=(68, 56))
    assert len(blocks(ROOT / "docs/python.md", "python")) == 3
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fewer rows of W than features asked for
        for block in blocks(ROOT / "docs/python.md", "python"):
            exec(block, names)
    assert names["u"].shape == (16384,)
    assert names["solution"].gap <= 1e-6


@pytest.mark.parametrize(
    "path", [path for path in TEXTS if blocks(path, "pycon")], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_examples_of_a_page_print_what_stands_there(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = "\n".join(blocks(path, "pycon"))
    test = doctest.DocTestParser().get_doctest(examples, {}, path.name, str(path), 0)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    said = []
    doctest.DocTestRunner(optionflags=flags, verbose=False).run(test, out=said.append)
    assert not said, "".join(said)
