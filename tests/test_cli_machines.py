"""`--json` of the commands that print a result; `warmup`, `doctor` and `completion`."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from microexpr import _machine_commands
from microexpr._extras import PURPOSES
from microexpr.cli import main

ROOT = Path(__file__).parents[1]
SMALL = ["--subjects", "3", "--clips", "12", "--frames", "4", "5", "--size", "34", "28"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def said(capsys):
    """What a command prints with --json: nothing else on standard output."""

    def said(*arguments, status=0):
        capsys.readouterr()
        assert main([*map(str, arguments), "--json"]) == status
        return json.loads(capsys.readouterr().out)

    return said


@pytest.fixture(scope="module")
def data(simulated):
    return simulated(subjects=3, clips=12, frames=(4, 5))


def test_simulations_as_json(said, tmp_path):
    assert said("simulate", "new", *SMALL) == {
        "simulated": True,
        "folder": "new",
        "clips": 12,
        "subjects": 3,
        "difficulty": "easy",
        "seed": 0,
    }
    long = "--long --videos 1 --seconds 3 --expressions 1 --fps 50 --size 34 28"
    told = said("simulate", "long", *shlex.split(long))
    assert Path(told["manifest"]).is_file()
    assert (told["simulated"], told["fps"]) == (True, 50.0)


def test_demo_as_json(said):
    told = said("demo", *SMALL, "--n-features", "40")
    assert told["simulated"] is True
    assert (told["clips"], told["subjects"], told["files"]) == (12, 3, ["microexpr-demo.png"])
    assert set(told["scores"]) == {"all features", "40 selected"}
    assert all(0 <= scores["uf1"] <= 1 for scores in told["scores"].values())


def test_describe_as_json(said, tmp_path):
    (tmp_path / "grey").mkdir()
    for number in range(5):
        Image.new("L", (64, 64), 90).save(f"grey/{number}.png")
    told = said("describe", "grey", "--blocks", "2", "2")
    assert (told["frames"], told["features"], told["files"]) == (5, 1024, ["grey.npz", "grey.png"])
    assert told["tau"] is None  # NaN is no JSON


def test_extract_crop_and_evaluate_as_json(said, data, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(data, broken)
    clip = next((broken / "Cropped").glob("*/*"))
    for image in clip.iterdir():
        image.write_bytes(b"no JPEG")
    told = said("extract", "casme2", broken, "--store", "s.zarr", "--blocks", "2", "2", status=1)
    assert (told["clips"], told["computed"], told["blocks"], told["simulated"]) == (11, 11, [[2, 2]], True)
    (problem,) = told["problems"]
    assert clip.name in problem
    told = said("crop", "casme2", broken, "faces", "--no-eyes", status=1)
    assert told["clips"] + len(told["problems"]) == 12
    assert Path(told["manifest"]).is_file()
    Path("short.toml").write_text(
        "blocks = 2\nn-features = 40\nn-resamples = 10\nsweep = false\nnested = false\nseed = 1\n"
    )
    told = said("evaluate", "casme2", data, "--config", "short.toml", "--seed", "2")
    settings = {name: told["settings"][name] for name in ("blocks", "n_features", "sweep", "seed")}
    assert settings == {"blocks": 2, "n_features": 40, "sweep": False, "seed": 2}
    assert told == json.loads(Path("microexpr-evaluation/evaluation.json").read_text())
    told = said("train", "casme2", data, "--model", "m.npz", "--blocks", "2", "2", "--n-features", "40")
    assert told["file"] == "m.npz"
    assert told["simulated"] is True
    assert set(told["scores"]) >= {"accuracy", "uf1", "uar"}


def test_warmup_says_what_was_compiled_and_what_was_there(said, capsys, monkeypatch, tmp_path):
    runs = {name: lambda: None for name in ("ltogp", "rankpool", "l21")}
    runs["l21"] = lambda: (tmp_path / "cache" / "descend.1.nbc").touch()
    monkeypatch.setattr(_machine_commands, "_RUNS", runs)
    monkeypatch.setattr(_machine_commands, "_cache_of", lambda name: str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    assert main(["warmup"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["ltogp", "rankpool", "l21"]
    assert ["cached" in line for line in lines] == [True, True, False]
    assert "compiled 1 kernel " in lines[2]
    told = said("warmup")["packages"]
    assert [row["compiled"] for row in told] == [0, 0, 0]
    assert all(row["cache"] == str(tmp_path / "cache") for row in told)


def test_warmup_and_doctor_where_no_kernels_can_be_kept(tmp_path):
    """A clone where __pycache__ is a file, and no home."""
    for name in ("ltogp", "rankpool", "l21", "microexpr"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        (tmp_path / name / "__pycache__").touch()
    code = (
        "import sys\nfrom microexpr import _machine_commands as machine, cli\n"
        "machine._WITH_KERNELS = ('l21',)\nmachine._RUNS['l21'] = lambda: None\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    nowhere = str(tmp_path / "l21" / "__pycache__")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_CACHE", "XDG_"))}
    environment = {**kept, "HOME": nowhere, "XDG_CACHE_HOME": nowhere, "PYTHONPATH": str(tmp_path)}
    for command, words in [
        ("warmup", "compiled, for this process only"),
        ("doctor", "l21       no folder can be written to"),
    ]:
        done = subprocess.run(
            [sys.executable, "-c", code, command],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tmp_path,
            env=environment,
        )
        assert done.returncode == 1, done.stderr
        assert words in done.stdout
        assert "NUMBA_CACHE_DIR" in done.stdout


def test_doctor(said, capsys, monkeypatch):
    told = said("doctor")
    assert set(told["extras"]) == set(PURPOSES)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    developers = {"all", "bench", "compare", "docs", "lint", "test"}
    assert set(PURPOSES) == set(project["optional-dependencies"]) - developers
    assert {"numpy", "numba", "scipy", "scikit-learn", "pillow", "joblib"} <= set(told["packages"])
    assert all(told["packages"].values())
    assert told["processor"]["compiled_for"]
    assert told["threads"]["cpus_of_this_process"] >= 1
    assert told["blas"]
    assert set(told["caches"]) == {"ltogp", "rankpool", "l21"}
    monkeypatch.setattr(_machine_commands, "is_installed", lambda extra: extra != "video")
    versions = _machine_commands._version
    monkeypatch.setattr(
        _machine_commands, "_version", lambda name: None if name == "tqdm" else versions(name)
    )
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "video               missing, for videos: pip install 'microexpr[video]'" in lines
    assert "tqdm                MISSING: microexpr needs it" in lines
    assert sum("issing" in line.lower() for line in lines) == 2


def test_doctor_where_something_that_is_needed_cannot_be_imported(said, monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    told = said("doctor", status=1)
    assert "threadpoolctl" in told["problem"]
    assert told["packages"]["numpy"]


@pytest.mark.parametrize("name", ["haswell", "generic"])
def test_doctor_says_which_kernels_another_processor_gets(name):
    done = subprocess.run(
        [sys.executable, "-m", "microexpr", "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": "+avx2" * (name == "haswell")},
    )
    processor = json.loads(done.stdout)["processor"]
    assert processor["compiled_for"] == name
    assert processor["instructions"] == ["avx2"] * (name == "haswell")
    assert processor["ltogp_counts"] == "bytes"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("microexpr", "evaluate", "sweep-blocks", "composite"):
        assert word in script
    program = shutil.which(shell)
    if program is not None:
        done = subprocess.run([program, "-n"], input=script, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_bash_completes(tmp_path):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    script = subprocess.run(
        [sys.executable, "-m", "microexpr", "completion", "bash"], capture_output=True, text=True, timeout=60
    ).stdout
    ask = 'COMP_WORDS=(microexpr {}); COMP_CWORD={}; _shtab_microexpr; echo "${{COMPREPLY[@]}}"'
    for words, wanted in [("ev", "evaluate"), ("evaluate --pro", "--protocol")]:
        line = ask.format(words, len(words.split()))
        done = subprocess.run([bash, "-c", f"{script}\n{line}"], capture_output=True, text=True, timeout=60)
        assert done.stdout.split() == [wanted], done.stderr
