"""CNN+LSTM: a small network learns frames by class and state of the expression, a recurrent one their order.

Kim, Baddar, Ro: Micro-expression recognition with expression-state constrained spatio-temporal feature
representations. ACM Multimedia 2016.

Five states are onset, onset to apex, apex, apex to offset and offset; the CNN is trained to tell class and
state of single frames, then an LSTM on its features to tell the class of the clip. Chosen here: 10 frames of
48 x 48 pixels (their differences to the first, which take the face away), three convolutions of 8, 16 and 32
channels, 64 features, one LSTM of 64; cross-entropies for Kim et al.'s five objectives; the apex at half of
the clip; 8 and 30 epochs of Adam at 1e-3 on 64 frames or 16 clips at a time, from one seed, on one thread a
fold, folds side by side. Nothing is chosen inside the training folds.

So small because 26 folds are to take minutes on two cores. On 7 folds of simulated clips of portraits (seed
0, 66 clips tested) 16 frames and 15 and 40 epochs took 27.0 s of processor time a fold and had 98.5 % right,
this 8.7 s and 98.5 %; with frames of 32 x 32 pixels it was 4.4 s and 92.4 %, with 20 and 40 epochs of those
9.8 s and 97.0 %. It was chosen by these clips: on them its figure is optimistic.
"""

from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from microexpr.data import resample

from . import Comparator, quoted
from .classifiers import INSIDE, make_folds

LENGTH, SIZE, FEATURES = 10, 48, 64
STATE = (0, 1, 1, 1, 2, 2, 3, 3, 3, 4)  # of each frame: onset, to the apex, apex, from it, offset
FRAMES, CLIPS = (8, 64), (30, 16)  # epochs, and how many at a time


def describe(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return differences to the first frame, (LENGTH, SIZE, SIZE)."""
    small = [Image.fromarray(frame).resize((SIZE, SIZE), Image.Resampling.BOX) for frame in frames]
    clip = resample(np.stack([np.asarray(image) for image in small]), LENGTH).astype(np.float32)
    return (clip - clip[0]) / 16  # of the order of 1


def classify(X: NDArray, table: pd.DataFrame) -> NDArray:
    """Train on each fold's subjects and predict the one left out, folds side by side on one thread each."""
    classes, y = np.unique(table["emotion"].to_numpy(dtype=str), return_inverse=True)
    folds = make_folds(table, INSIDE).outer
    predictions = Parallel()(
        delayed(fit_and_predict)(X[train], y[train], X[test], len(classes)) for train, test in folds
    )
    predicted = np.empty_like(y)
    for (_, test), of_fold in zip(folds, predictions, strict=True):
        predicted[test] = of_fold
    return classes[predicted]


def fit_and_predict(X: NDArray, y: NDArray, X_test: NDArray, n_classes: int) -> NDArray:
    """Train both networks, the second on the features of the first."""
    torch.set_num_threads(1)
    torch.manual_seed(0)

    class Spatial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            channels = (1, 8, 16, 32)
            layers: list[nn.Module] = []
            for a, b in pairwise(channels):
                layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            self.features = nn.Sequential(
                *layers, nn.Flatten(), nn.Linear(32 * (SIZE // 8) ** 2, FEATURES), nn.ReLU()
            )
            self.of_class, self.of_state = nn.Linear(FEATURES, n_classes), nn.Linear(FEATURES, 5)

    class Temporal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.of_class = nn.LSTM(FEATURES, 64, batch_first=True), nn.Linear(64, n_classes)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.of_class(self.lstm(x)[0][:, -1])

    frames = torch.tensor(X).reshape(-1, 1, SIZE, SIZE)
    labels, states = torch.tensor(y).repeat_interleave(LENGTH), torch.tensor(STATE).repeat(len(X))
    spatial, loss = Spatial(), nn.CrossEntropyLoss()

    def spatial_loss(some: torch.Tensor) -> torch.Tensor:
        features = spatial.features(frames[some])
        return loss(spatial.of_class(features), labels[some]) + loss(spatial.of_state(features), states[some])

    train(spatial, spatial_loss, len(frames), *FRAMES)
    with torch.no_grad():
        before, after = (
            spatial.features(torch.tensor(x).reshape(-1, 1, SIZE, SIZE)).reshape(len(x), LENGTH, FEATURES)
            for x in (X, X_test)
        )
    temporal, targets = Temporal(), torch.tensor(y)
    train(temporal, lambda some: loss(temporal(before[some]), targets[some]), len(X), *CLIPS)
    with torch.no_grad():
        return temporal(after).argmax(dim=1).numpy()


def train(network, loss_of, n: int, epochs: int, batch: int) -> None:
    """Adam on shuffled batches."""
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(epochs):
        for some in torch.randperm(n).split(batch):
            optimiser.zero_grad()
            loss_of(some).backward()
            optimiser.step()


COMPARATOR = Comparator(
    "CNN+LSTM", "Kim et al., ACM MM 2016", describe, classify, quoted=quoted("CNN+LSTM [13]")
)
