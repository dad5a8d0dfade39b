"""A quarter of a minute of `fuzz.py`, in a process of its own: a hang or a crash there is a failure here."""

import subprocess
import sys
from pathlib import Path


def test_every_public_function_answers_or_says_why_not(tmp_path):
    script, last = Path(__file__).with_name("fuzz.py"), tmp_path / "last"
    done = subprocess.run(
        [sys.executable, script, "--minutes", "0.25", "--last", last],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nlast: {last.read_text()}"
