"""MPCA: multilinear principal components of whole clips, then the nearest neighbour or a linear SVM.

Lu, Plataniotis, Venetsanopoulos: MPCA: multilinear principal component analysis of tensor objects. IEEE
Transactions on Neural Networks 19(1), 2008. Of micro-expressions: Wang et al.; the paper's Table 1 quotes
41.01 % on CASME, whose source could not be traced.

Clips are resampled to 16 frames of 32 x 32 pixels; the projections of time, rows and columns are those of a
partial Tucker decomposition of the training clips less their mean, by TensorLy. Chosen inside the training
folds: how many components of each, and the nearest neighbour or the SVM and its C.
"""

from tempfile import TemporaryDirectory

import numpy as np
from joblib import Memory
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tensorly.decomposition import partial_tucker

from microexpr.data import resample

from . import Comparator, quoted
from .classifiers import chosen_inside

LENGTH, SIZE = 16, 32


def describe(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the clip as one tensor (LENGTH, SIZE, SIZE)."""
    small = [Image.fromarray(frame).resize((SIZE, SIZE), Image.Resampling.BOX) for frame in frames]
    return resample(np.stack([np.asarray(image) for image in small]), LENGTH).astype(np.float32)


class MPCA(TransformerMixin, BaseEstimator):
    """Projections of the modes of tensors, fitted on the training clips."""

    def __init__(self, rank: tuple[int, int, int] = (4, 8, 8)) -> None:
        self.rank = rank

    def fit(self, X: NDArray, y: object = None) -> "MPCA":
        """Alternate over the modes, three times: the projections change little after that."""
        self.mean_ = X.mean(axis=0)
        (_, self.factors_), _ = partial_tucker(
            np.float64(X - self.mean_), rank=list(self.rank), modes=[1, 2, 3], n_iter_max=3
        )
        return self

    def transform(self, X: NDArray) -> NDArray:
        """Return the components of each clip as one row."""
        core = np.float64(X - self.mean_)
        for factor in self.factors_:  # each takes axis 1 and puts its components last
            core = np.tensordot(core, factor, axes=(1, 0))
        return core.reshape(len(core), -1)


def classify(X: NDArray, table: object) -> NDArray:
    """Choose ranks and classifier inside the training folds."""
    with TemporaryDirectory() as folder:  # the projections serve every classifier
        steps = [("mpca", MPCA()), ("scale", StandardScaler()), ("classifier", SVC())]
        estimator = Pipeline(steps, memory=Memory(folder, verbose=0))
        grid = {
            "mpca__rank": [(2, 6, 6), (4, 12, 12)],
            "classifier": [KNeighborsClassifier(1), *(SVC(C=C, kernel="linear") for C in (1e-3, 1e-2, 0.1))],
        }
        return chosen_inside(estimator, grid)(X, table)


COMPARATOR = Comparator(
    "MPCA", "Lu et al. 2008", describe, classify, quoted=quoted("MPCA [17]", ", not traced")
)
