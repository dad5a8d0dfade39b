"""Half a minute of `fuzz.py`, in a process of its own: a hang or a crash there is a failure here."""

import subprocess
import sys
from pathlib import Path


def test_every_public_function_answers_or_says_why_not():
    script = Path(__file__).with_name("fuzz.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
