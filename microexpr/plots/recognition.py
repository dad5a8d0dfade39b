"""What a recogniser says of a clip."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from ._colours import BLUE, GREY, axes
from .blocks import plot_blocks
from .clips import plot_frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..recognition import Classification, Recogniser

__all__ = ["plot_classification", "plot_probabilities"]


def plot_classification(
    recogniser: Recogniser, answer: Classification, *, title: str | None = None
) -> Figure:
    """Show a clip's frames, where on the face its selected features speak for its class, and how sure it is.

    Parameters
    ----------
    recogniser : Recogniser
    answer : Classification
        What it said of the clip.
    title : str, optional
        What the clip is.

    Returns
    -------
    matplotlib.figure.Figure
        The circles are `Recogniser.weights_by_block`, over the mean of the frames.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    drawn = figure.subplot_mosaic(
        [["frames", "frames"], ["face", "probabilities"]], height_ratios=[1, 1.6], width_ratios=[1, 1.2]
    )
    plot_frames(answer.frames, drawn["frames"])
    weights = recogniser.weights_by_block(answer)
    plot_blocks(
        weights,
        answer.frames.mean(axis=0),
        drawn["face"],
        signs=(f"for {answer.label}", "against it"),
    )
    drawn["face"].set_xlabel(f"selected features, {weights.shape[0]} × {weights.shape[1]} blocks")
    plot_probabilities(answer, drawn["probabilities"])
    said = f"{answer.label}, probability {answer.probability:.2f}"
    about = recogniser.about
    source = (
        f"trained on {about['clips']} {'simulated ' if about['simulated'] else ''}clips, "
        f"{100 * about['scores']['accuracy'][0]:.0f} % right on people left out"
    )
    lines = [f"{title}: {said}" if title else said, source]
    if answer.unlike:
        lines.append(textwrap.fill(f"unlike anything trained on: {answer.unlike}", 110))
    figure.suptitle("\n".join(lines), fontsize="medium")
    return figure


def plot_probabilities(answer: Classification, ax: Axes | None = None) -> Axes:
    """Draw the probability of each class as a bar; that of the class said is blue."""
    ax = axes(ax)
    labels = list(answer.probabilities)
    values = [answer.probabilities[label] for label in labels]
    ax.barh(labels, values, color=[BLUE if label == answer.label else GREY for label in labels])
    for at, value in enumerate(values):
        ax.text(value + 0.01, at, f"{value:.2f}", va="center")
    ax.set_xlim(0, 1.1)
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.invert_yaxis()
    ax.set_xlabel("probability")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
