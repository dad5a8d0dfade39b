"""What tests/test_dask.py has run on workers, which import it."""

import os
import time
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from threadpoolctl import ThreadpoolController, threadpool_limits


def blas_threads():
    """Most threads that a BLAS of this process would take."""
    return max(library["num_threads"] for library in ThreadpoolController().select(user_api="blas").info())


def let_blas_have(n):
    threadpool_limits(n, user_api="blas")


class Nearest(ClassifierMixin, BaseEstimator):
    """The class whose mean is nearest; takes its time, and notes in a folder who was at work."""

    def __init__(self, seconds=0.0, folder=None):
        self.seconds = seconds
        self.folder = folder

    def fit(self, X, y):
        if self.folder:
            path = Path(self.folder, f"{os.getpid()}-{time.monotonic_ns()}")
            path.touch()
        time.sleep(self.seconds)
        self.classes_ = np.unique(y)
        self.means_ = np.stack([X[y == c].mean(axis=0) for c in self.classes_])
        return self

    def predict(self, X):
        return self.classes_[((X[:, None] - self.means_) ** 2).sum(axis=-1).argmin(axis=1)]


class BlasThreads(Nearest):
    """Predicts how many BLAS threads it had, at most, while it took its time."""

    def fit(self, X, y):
        self.threads_ = 0
        end = time.monotonic() + self.seconds
        while not self.threads_ or time.monotonic() < end:
            self.threads_ = max(self.threads_, blas_threads())
            X @ X.T
        return self

    def predict(self, X):
        return np.full(len(X), self.threads_)


class Clip(np.ndarray):
    """Counts how often its kind is pickled."""

    pickled = 0

    def __reduce_ex__(self, protocol):
        Clip.pickled += 1
        return super().__reduce_ex__(protocol)
