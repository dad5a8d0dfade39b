"""The paper's experiment: protocols, scores, its tables and Fig. 4, printed, saved and repeated."""

from .cross_validation import loso, pooled
from .repetition import repeat
from .report import save_evaluation
from .results import QUOTED, Comparison, Evaluation, Row
from .run import evaluate, extract_and_evaluate, read
from .scores import PROTOCOLS, McNemar, Scores, bootstrap, interval, mcnemar, splits
from .settings import PAPER_N, Settings

__all__ = [
    "PAPER_N",
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
    "save_evaluation",
    "splits",
]
