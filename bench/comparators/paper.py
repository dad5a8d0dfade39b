"""The paper's recipe: LTOGP, rank pooling, l2,1 selection, linear SVM.

Niu, Tao, Li, Huang, Lian: Discriminative video representation with temporal order for micro-expression
recognition. ICASSP 2019.

As `microexpr evaluate` has it, N and C chosen inside the training folds.
"""

import microexpr

from . import Comparator, quoted
from .classifiers import selected_svm

COMPARATOR = Comparator(
    "LTOGP, rank pooling, l2,1",
    "Niu et al., ICASSP 2019",
    lambda frames: microexpr.describe(frames, n_jobs=1),
    selected_svm,
    quoted=quoted("paper, with selection"),
)
