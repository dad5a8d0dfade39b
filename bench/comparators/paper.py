"""The paper's recipe: LTOGP, rank pooling, l2,1 selection, linear SVM."""

import microexpr

from . import Comparator
from .classifiers import selected_svm

COMPARATOR = Comparator(
    "LTOGP, rank pooling, l2,1",
    "Niu et al., ICASSP 2019",
    lambda frames: microexpr.describe(frames, n_jobs=1),
    selected_svm,
)
