"""What is done with one clip: its frames read, described and pooled."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._checks import physical_memory
from ._store_format import ClipFeatures, Kind
from .data import VideoFrames
from .data._errors import message_of
from .data.clips import read_frames, read_frames_and_digest
from .data.cropping import read_cropped
from .data.stabilisation import PER_GREY_LEVEL, Grey
from .features import Features, as_blocks
from .pipeline import describe


class Recipe(NamedTuple):
    """What is to be done with each clip."""

    functions: dict[Kind, Features | None]  # None: LTOGP
    reading: dict[str, Any]
    options: dict[str, Any]
    for_command_line: bool  # whether messages name options as it does

    @property
    def depends_on(self) -> dict[Kind, Mapping[str, Any]]:
        """What each kind of features depends on, for a store."""
        return {kind: getattr(function, "parameters", {}) for kind, function in self.functions.items()}

    def describe(
        self, frames: Sequence[Path] | VideoFrames, kinds: Iterable[Kind], for_store: bool
    ) -> ClipFeatures | str:
        """Describe one clip, with what a store keeps of it if asked, or say what is wrong with it."""
        try:
            if self.reading["crop"]:
                stack, content = read_cropped(frames, **self.reading)
            elif for_store:
                stack, content = read_frames_and_digest(frames, **_uncropped(self.reading))
            else:
                stack, content = read_frames(frames, **_uncropped(self.reading), progress=False), b""
            rows: dict[Kind, NDArray[np.float64]] = {}
            for kind in kinds:
                function = self.functions[kind]
                if function is None:
                    needed = 4 * 256 * math.prod(as_blocks(kind)) * len(stack)
                    if 2 * needed > physical_memory():  # the system would end the process
                        raise MemoryError(f"{len(stack)} frames take {needed >> 20} MB of features")
                    memory = _memory(len(stack), kind)
                    rows[kind] = describe(stack, blocks=kind, n_jobs=1, histograms=memory, **self.options)
                else:
                    rows[kind] = describe(stack, features=function, **self.options)
        except Exception as error:
            return message_of(error)
        mean = mean_frame(stack) if for_store else np.empty(0, np.uint8)
        return ClipFeatures(rows, content, len(stack), mean)


def other_length(clip: ClipFeatures, lengths: dict[Kind, int]) -> str:
    """Say which features are longer or shorter than those of the clips before, if any are."""
    for kind, u in clip.features.items():
        if lengths.setdefault(kind, len(u)) != len(u):
            return f"{kind} has length {len(u)}, and {lengths[kind]} of the clips before"
    return ""


def absolute(frames: Any) -> Any:
    """Return a clip's files as another process finds them, which may run in another folder."""
    if isinstance(frames, VideoFrames):
        return dataclasses.replace(frames, path=Path(os.path.abspath(frames.path)))
    return [os.path.abspath(path) for path in frames]


def versions(algorithm: int) -> dict[str, str]:
    """Return what the bits of features may depend on, for a store."""
    import numba
    import PIL
    import scipy
    from PIL import features

    from . import __version__

    return {
        "microexpr": __version__,
        "algorithm": str(algorithm),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "numba": numba.__version__,
        "pillow": PIL.__version__,
        "jpeg": str(features.version_feature("libjpeg_turbo") or features.version_codec("jpg")),
    }


def mean_frame(frames: Grey) -> NDArray[np.uint8]:
    """Mean frame in grey levels of 8 bits."""
    unit = PER_GREY_LEVEL if frames.dtype == np.uint16 else 1
    if frames.dtype == np.uint8:  # sums of 257 frames fit into 16 bits: a quarter of the time
        total = np.zeros(frames.shape[1:], np.uint64)
        for start in range(0, len(frames), 257):
            total += frames[start : start + 257].sum(axis=0, dtype=np.uint16)
    else:
        total = frames.sum(axis=0, dtype=np.uint64)
    mean = np.rint(total / (unit * len(frames)))
    return np.minimum(mean, 255).astype(np.uint8)


def _uncropped(reading: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in reading.items() if name != "crop"}


def _memory(n_frames: int, blocks: Any) -> NDArray[np.float32]:
    """Memory for a clip's histograms, which this thread keeps from clip to clip.

    New memory for each clip comes from the system page by page: 0.047 ms a frame against 0.019.
    """
    shape = (n_frames, blocks[0] * blocks[1] * 256)
    needed = math.prod(shape)
    if not hasattr(_thread, "memory") or _thread.memory.size < needed:
        _thread.memory = np.empty(needed * 5 // 4, np.float32)
    return _thread.memory[:needed].reshape(shape)


_thread = threading.local()
