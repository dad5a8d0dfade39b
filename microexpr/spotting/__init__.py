"""Micro-expressions in long videos: where they are, and how well they were spotted."""

from .datasets import FPS, LongVideo, SpottedDataset, long_videos, spot_dataset
from .events import Event
from .options import SpottingOptions
from .scores import Counts, SpottingScores, match, overlap, spotting_scores
from .spotter import Spotter, Spotting, spot, spot_stream
from .video import VideoSpotting, spot_video

__all__ = [
    "FPS",
    "Counts",
    "Event",
    "LongVideo",
    "SpottedDataset",
    "Spotter",
    "Spotting",
    "SpottingOptions",
    "SpottingScores",
    "VideoSpotting",
    "long_videos",
    "match",
    "overlap",
    "spot",
    "spot_dataset",
    "spot_stream",
    "spot_video",
    "spotting_scores",
]
