"""Commands that are stopped leave no process and no temporary file, and say so by their status."""

import os
import signal
import subprocess
import sys
import time

import pytest

from microexpr import _temporary, cli
from microexpr._temporary import temporary_folder

LONG = 300  # seconds that nothing here should take


@pytest.fixture(scope="module")
def root(simulated):
    return simulated(subjects=4, clips=16, frames=(8, 12))


def start(folder, *arguments):
    """Start a command in a session of its own, whose temporary folder is folder/T."""
    (folder / "T").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "microexpr", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "T"), "JOBLIB_TEMP_FOLDER": str(folder / "T")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def evaluate(root):
    settings = ["--classes", "all", "--blocks", "4", "--n-features", "20", "--jobs", "2"]
    return ["evaluate", "casme2", root, *settings]


def wait_for(what):
    limit = time.monotonic() + LONG
    while not (found := what()):
        assert time.monotonic() < limit
        time.sleep(0.1)
    return found


def workers(process):
    """Processes of its session that joblib started, by ps, which cuts lines at 80 where there is no -ww."""
    done = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in done.stdout.splitlines()]
    return [int(pid) for pid, parent, words in rows if int(parent) == process.pid and "loky" in words]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_evaluate_leaves_no_workers_and_no_files(root, tmp_path, number):
    """The second time with another signal while it cleans up."""
    process = start(tmp_path, *evaluate(root))
    try:
        pids = wait_for(lambda: workers(process))
        process.send_signal(number)
        if number == signal.SIGINT:
            time.sleep(0.03)
            process.send_signal(signal.SIGHUP)
        _, err = process.communicate(timeout=LONG)
        assert process.returncode == 128 + number
        assert err.splitlines()[-1] == "microexpr evaluate: stopped"
        assert "terminate called" not in err
        wait_for(lambda: not any(map(is_running, pids)))
        assert list((tmp_path / "T").iterdir()) == []
    finally:
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None


@pytest.mark.parametrize("command", ["extract", "demo", "simulate"])
def test_stopped_at_work_in_threads(root, tmp_path, command):
    arguments = {
        "extract": ["casme2", root, "--store", "x.zarr"],
        "demo": ["--subjects", "4", "--clips", "200"],
        "simulate": ["out", "--subjects", "4", "--clips", "400"],
    }
    process = start(tmp_path, command, *arguments[command])
    signs = {"extract": "x.zarr/**/*.json", "demo": "T/**/*.jpg", "simulate": "out/**/*.jpg"}
    wait_for(lambda: next(tmp_path.glob(signs[command]), None))
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LONG)
    assert (process.returncode, err) == (143, f"microexpr {command}: stopped\n")
    assert list((tmp_path / "T").iterdir()) == []


def test_what_a_killed_run_left_is_removed_by_the_next_and_nothing_else(root, tmp_path, monkeypatch):
    process = start(tmp_path, *evaluate(root))
    (left,) = wait_for(lambda: [f for f in (tmp_path / "T").glob("microexpr-*") if (f / "lock").exists()])
    monkeypatch.setattr(_temporary.tempfile, "gettempdir", lambda: str(tmp_path / "T"))
    (tmp_path / "T" / "microexpr-notes").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "lock").touch()
    (tmp_path / "T" / "microexpr-link").symlink_to(tmp_path / "elsewhere")
    with temporary_folder() as first:
        assert left.exists()  # its process lives
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        with temporary_folder() as second:
            assert not left.exists()
            assert first.exists()
            assert second != first
        assert not second.exists()
    names = {path.name for path in (tmp_path / "T").glob("microexpr-*")}
    assert names == {"microexpr-notes", "microexpr-link"}
    assert (tmp_path / "elsewhere" / "lock").exists()


def test_handlers_are_as_they_were_after_a_command(monkeypatch, capsys):
    before = [signal.getsignal(number) for number in cli._STOP]

    def interrupted(options):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LONG)

    monkeypatch.setattr(cli, "simulate", interrupted)
    assert cli.main(["simulate", "x"]) == 143
    assert capsys.readouterr().err == "microexpr simulate: stopped\n"
    assert [signal.getsignal(number) for number in cli._STOP] == before


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    """As under nohup."""
    program = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from microexpr import cli\n"
    program += "cli.simulate = lambda options: (signal.raise_signal(signal.SIGHUP), print('done'))[0]\n"
    program += "import sys; sys.argv[1:] = ['simulate', 'x']; cli.run()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LONG)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_nobody_reads_the_output(root, tmp_path):
    process = start(tmp_path, "extract", "casme2", root, "--blocks", "2", "2")
    process.stdout.close()
    _, err = process.communicate(timeout=LONG)
    assert (process.returncode, err) == (141, "")
