"""Clips and data sets: frames of videos and images, data sets read into one table, simulated clips."""

from ._errors import ClipError
from ._reading import Problem, report
from ._video_parts import VideoFrames
from .classes import PUBLISHED, combine, select_classes
from .clips import image_paths, read_clip, read_frames, read_image
from .cropping import Cropping, Placement, crop_clips, crop_frames
from .datasets import DATASETS, read_dataset
from .faces import find_face
from .later_readers import read_4dme, read_casme3_c, read_mmew
from .long_simulation import simulate_long
from .long_videos import read_casme_sq, read_samm_lv, read_smic_e
from .manifests import read_manifest
from .readers import read_casme, read_casme2, read_casme3, read_samm, read_smic
from .resizing import resize
from .simulation import CLASSES, PROPORTIONS, draw_face, motion_field, simulate
from .stabilisation import drift, resample, stabilise
from .streaming import FrameStream, stream_clip

__all__ = [
    "CLASSES",
    "DATASETS",
    "PROPORTIONS",
    "PUBLISHED",
    "ClipError",
    "Cropping",
    "FrameStream",
    "Placement",
    "Problem",
    "VideoFrames",
    "combine",
    "crop_clips",
    "crop_frames",
    "draw_face",
    "drift",
    "find_face",
    "image_paths",
    "motion_field",
    "read_4dme",
    "read_casme",
    "read_casme2",
    "read_casme3",
    "read_casme3_c",
    "read_casme_sq",
    "read_clip",
    "read_dataset",
    "read_frames",
    "read_image",
    "read_manifest",
    "read_mmew",
    "read_samm",
    "read_samm_lv",
    "read_smic",
    "read_smic_e",
    "report",
    "resample",
    "resize",
    "select_classes",
    "simulate",
    "simulate_long",
    "stabilise",
    "stream_clip",
]
