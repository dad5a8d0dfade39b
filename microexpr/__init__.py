"""Micro-expression recognition by temporal order (Niu et al., ICASSP 2019).

A face clip becomes a class in four steps: LTOGP on every frame (`ltogp`), rank pooling over the frames
(`rankpool`), joint l2,1 feature selection (`l21`), a linear SVM. `describe` does the first two,
`make_classifier` the last two, `loso` scores them; `train` gives a recogniser of new clips.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data import ClipError, read_casme2, read_clip, read_dataset, simulate
    from .experiment import Scores, loso
    from .extraction import Extraction, extract
    from .features import Features
    from .pipeline import describe, make_classifier
    from .recognition import Classification, Recogniser
    from .spotting import Event, Spotter, spot, spot_stream
    from .store import FeatureStore, StoreError
    from .training import train

__version__ = "0.1.0"

__all__ = [
    "Classification",
    "ClipError",
    "Event",
    "Extraction",
    "FeatureStore",
    "Features",
    "Recogniser",
    "Scores",
    "Spotter",
    "StoreError",
    "describe",
    "extract",
    "loso",
    "make_classifier",
    "read_casme2",
    "read_clip",
    "read_dataset",
    "simulate",
    "spot",
    "spot_stream",
    "train",
]

# Loaded when first used: scikit-learn alone takes longer to import than a clip to describe.
_MODULES = {
    "Classification": "recognition",
    "ClipError": "data",
    "Event": "spotting",
    "Extraction": "extraction",
    "FeatureStore": "store",
    "Features": "features",
    "Recogniser": "recognition",
    "Scores": "experiment",
    "Spotter": "spotting",
    "StoreError": "store",
    "describe": "pipeline",
    "extract": "extraction",
    "loso": "experiment",
    "make_classifier": "pipeline",
    "read_casme2": "data",
    "read_clip": "data",
    "read_dataset": "data",
    "simulate": "data",
    "spot": "spotting",
    "spot_stream": "spotting",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
