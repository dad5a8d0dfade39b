"""Clips and data sets: frames of videos and images, data sets read into one table, simulated clips."""

from ._reading import Problem, report
from ._videos import VideoFrames
from .classes import PUBLISHED, combine, select_classes
from .clips import (
    ClipError,
    drift,
    find_face,
    image_paths,
    read_clip,
    read_frames,
    read_image,
    resample,
    resize,
    stabilise,
)
from .manifests import read_manifest
from .readers import (
    DATASETS,
    read_casme,
    read_casme2,
    read_casme3,
    read_dataset,
    read_samm,
    read_smic,
)
from .simulation import CLASSES, PROPORTIONS, draw_face, motion_field, simulate

__all__ = [
    "CLASSES",
    "DATASETS",
    "PROPORTIONS",
    "PUBLISHED",
    "ClipError",
    "Problem",
    "VideoFrames",
    "combine",
    "draw_face",
    "drift",
    "find_face",
    "image_paths",
    "motion_field",
    "read_casme",
    "read_casme2",
    "read_casme3",
    "read_clip",
    "read_dataset",
    "read_frames",
    "read_image",
    "read_manifest",
    "read_samm",
    "read_smic",
    "report",
    "resample",
    "resize",
    "select_classes",
    "simulate",
    "stabilise",
]
