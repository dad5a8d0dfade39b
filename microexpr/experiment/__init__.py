"""The paper's experiment: protocols, scores, its tables and Fig. 4, printed, saved and repeated."""

from .results import QUOTED, Comparison, Evaluation, Row, Settings
from .run import evaluate, extract_and_evaluate, read, repeat
from .scores import PROTOCOLS, McNemar, Scores, bootstrap, interval, loso, mcnemar, pooled, splits

__all__ = [
    "PROTOCOLS",
    "QUOTED",
    "Comparison",
    "Evaluation",
    "McNemar",
    "Row",
    "Scores",
    "Settings",
    "bootstrap",
    "evaluate",
    "extract_and_evaluate",
    "interval",
    "loso",
    "mcnemar",
    "pooled",
    "read",
    "repeat",
    "splits",
]
