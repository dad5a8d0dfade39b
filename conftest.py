"""What pytest can read without an optional package."""

from importlib.util import find_spec

# aeon asks for an older Numba than others do, so that it is in no extra that the tests install: nox -s aeon.
collect_ignore = [] if find_spec("aeon") else ["rankpool/aeon.py", "tests/test_rankpool_aeon.py"]
