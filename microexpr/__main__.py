"""Run the command line as ``python -m microexpr``."""

from .cli import main

raise SystemExit(main())
