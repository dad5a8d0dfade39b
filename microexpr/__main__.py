"""Run the command line as ``python -m microexpr``."""

from .cli import run

run()
