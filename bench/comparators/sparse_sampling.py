"""Sparse sampling: sparsity-promoting dynamic mode decomposition keeps a share of the frames for LBP-TOP.

Le Ngo, See, Phan: Sparsity in dynamics of spontaneous subtle emotions: analysis and application. IEEE
Transactions on Affective Computing 8(3), 2017. The paper's Table 2 quotes 49.00 % on CASME II, whose source
could not be traced.

PyDMD's SpDMD (Jovanović, Schmid, Nichols 2014) at 64 x 64 pixels; the clip is written anew from the modes
whose amplitude is left, at 45 % as many times, evenly spread. Chosen here: the weight of the sparsity such
that some modes go (gamma = 10), the 45 % of an abstract on its precursor, LBP-TOP's own parameters.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydmd import SpDMD

import ltogp

from . import Comparator, quoted

SIZE, SHARE, GAMMA = 64, 0.45, 10.0


def describe(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return LBP-TOP of the sampled clip."""
    small = [Image.fromarray(frame).resize((SIZE, SIZE), Image.Resampling.BOX) for frame in frames]
    snapshots = np.stack([np.asarray(image, dtype=np.float64).ravel() for image in small], axis=1)
    dmd = SpDMD(svd_rank=0.999, gamma=GAMMA, verbose=False).fit(snapshots)
    times = np.linspace(0, len(frames) - 1, max(3, round(SHARE * len(frames))))
    dynamics = dmd.amplitudes[:, None] * dmd.eigs[:, None] ** times
    sampled = (dmd.modes @ dynamics).real.T.reshape(-1, SIZE, SIZE)
    kept = np.clip(np.round(sampled), 0, 255).astype(np.uint8)
    return ltogp.histogram_top(kept, (5, 5), templates="lbp", mapping="nri_uniform", normalize="l1", n_jobs=1)


COMPARATOR = Comparator(
    "sparse sampling, LBP-TOP",
    "Le Ngo et al., TAFFC 2017",
    describe,
    quoted=quoted("Sparse sampling [20]", ", not traced"),
)
