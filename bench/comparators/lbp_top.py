"""LBP-TOP: histograms of uniform LBP codes on three orthogonal planes, in blocks, linear SVM.

Zhao, Pietikäinen: Dynamic texture recognition using local binary patterns with an application to facial
expressions. IEEE TPAMI 29(6), 2007. On micro-expressions: Yan et al., CASME II, PLoS ONE 9(1), 2014.

Chosen here: 5 x 5 blocks, radius 1 in space and time (Yan et al. have 5 x 5 blocks and radii of 1 to 4),
the square neighbourhood of `ltogp` instead of the interpolated circle, 59 uniform bins, each histogram's
sum 1.
"""

import ltogp

from . import Comparator

COMPARATOR = Comparator(
    "LBP-TOP",
    "Zhao, Pietikäinen 2007; Yan et al. 2014",
    lambda frames: ltogp.histogram_top(
        frames, (5, 5), templates="lbp", mapping="nri_uniform", normalize="l1", n_jobs=1
    ),
)
