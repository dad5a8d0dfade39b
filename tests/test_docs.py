"""What README and docs/ say to type: it is there, and it says what it needs."""

import argparse
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
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = sorted((ROOT / "docs").glob("*.py"))


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
            assert (path.parent / link.split("#")[0]).exists(), f"{path.name}: {link}"
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


def test_the_python_of_the_readme_runs(videos, tmp_path, monkeypatch):
    """As written, on a video and on a simulated data set under the names that it uses."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(videos.face, "clip.mp4")
    simulate("CASME2", subjects=3, clips=15, frames=(5, 8), size=(68, 56))
    blocks = re.findall(r"```python\n(.*?)```", TEXTS[0].read_text(), re.S)
    assert len(blocks) == 3
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fewer rows of W than features asked for
        for block in blocks:
            exec(block, names)
    assert names["u"].shape == (16384,)
    assert names["solution"].gap <= 1e-6
