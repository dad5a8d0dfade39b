"""Figures. Every function draws on a matplotlib Axes and returns it.

`plot_description`, `plot_classification` and `plot_spotting` are of several Axes, and return the Figure.
"""

from .blocks import plot_blocks
from .clips import plot_codes, plot_description, plot_frames, plot_held_out_scores
from .evaluation import (
    plot_comparison,
    plot_confusion,
    plot_face_parts,
    plot_subjects,
    plot_sweep,
    save_evaluation,
)
from .recognition import plot_classification, plot_probabilities
from .spotting import plot_contrast, plot_spotting

__all__ = [
    "plot_blocks",
    "plot_classification",
    "plot_codes",
    "plot_comparison",
    "plot_confusion",
    "plot_contrast",
    "plot_description",
    "plot_face_parts",
    "plot_frames",
    "plot_held_out_scores",
    "plot_probabilities",
    "plot_spotting",
    "plot_subjects",
    "plot_sweep",
    "save_evaluation",
]
