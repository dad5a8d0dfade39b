"""LTOGP as a scikit-learn transformer."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import validate_data

from ltogp._mapping import mapping_bins
from ltogp.descriptor import histogram


class LTOGP(TransformerMixin, BaseEstimator):
    """Describe each image by its LTOGP codes, counted block by block.

    Parameters
    ----------
    blocks : (int, int), default=(8, 8)
        Rows and columns of blocks.
    radius, mode, templates, mapping, overlap, normalize, n_jobs
        As for :func:`ltogp.histogram`.
    mask : array of bool, of shape (H, W), optional
        Count only pixels where it is True, in every image.
    image_shape : (int, int), optional
        The (H, W) of images that come as rows of a table, (n, H*W). One of the two may be -1, as for
        numpy.reshape.

    See Also
    --------
    ltogp.histogram : The same as a function; says how blocks and bins are laid out.

    Notes
    -----
    Nothing is learned: `fit` only checks parameters and images.

    References
    ----------
    .. [1] Niu, Tao, Li, Huang, Lian, "Discriminative video representation with temporal order for
       micro-expression recognition", ICASSP 2019, section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> from ltogp import LTOGP
    >>> images = np.random.default_rng(0).integers(0, 256, (5, 64, 48), dtype=np.uint8)
    >>> descriptor = LTOGP(blocks=(4, 3))
    >>> descriptor.fit_transform(images).shape
    (5, 3072)
    >>> descriptor.get_feature_names_out()[-1]
    'block3_2_code255'
    """

    def __init__(
        self,
        blocks: tuple[int, int] = (8, 8),
        *,
        radius: int | Sequence[int] = 1,
        mode: str = "nearest",
        templates: ArrayLike | None = None,
        mapping: str = "default",
        overlap: float = 0.0,
        mask: ArrayLike | None = None,
        normalize: str | None = None,
        image_shape: tuple[int, int] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.blocks = blocks
        self.radius = radius
        self.mode = mode
        self.templates = templates
        self.mapping = mapping
        self.overlap = overlap
        self.mask = mask
        self.normalize = normalize
        self.image_shape = image_shape
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters, and X.

        Parameters
        ----------
        X : array (n, H, W), list of n images (H, W), or with `image_shape` array (n, H*W)
            Images; those of a list may differ in size. dtypes as for :func:`ltogp.encode`; other numbers in a
            table are converted to float64.
        y : ignored

        Returns
        -------
        self
        """
        images = self._check_images(X, reset=True)
        self._histogram(images[0])
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Compute the block histograms of each image.

        Parameters
        ----------
        X : as for `fit`

        Returns
        -------
        V : array of float32, of shape (n, n_radii*by*bx*n_bins)
        """
        images = self._check_images(X, reset=False)
        if isinstance(images, np.ndarray):
            return self._histogram(images)
        return np.stack([self._histogram(image) for image in images])

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the name of each column: radius, if there are several; block row and column; code or bin.

        As "block{i}_{j}_code{c}" by default, "radius{r}_block{i}_{j}_code{c}" if `radius` is a tuple, and
        with the name of the `mapping`, as "block{i}_{j}_uniform{bin}", instead of "code" if there is one.

        Parameters
        ----------
        input_features : ignored
            Pixels have no names.

        Returns
        -------
        names : array of str
        """
        by, bx = self.blocks
        radii = [f"radius{r}_" for r in self.radius] if isinstance(self.radius, tuple | list) else [""]
        _, n_bins = mapping_bins(self.mapping)
        what, digits = "code" if self.mapping == "default" else self.mapping, len(str(n_bins - 1))
        bins = [f"{what}{b:0{digits}}" for b in range(n_bins)]
        names = [f"{r}block{i}_{j}_{b}" for r in radii for i in range(by) for j in range(bx) for b in bins]
        return np.array(names, dtype=object)

    def _histogram(self, images: Any) -> NDArray[np.float32]:
        return histogram(
            images,
            self.blocks,
            radius=self.radius,
            mode=self.mode,
            templates=self.templates,
            mapping=self.mapping,
            overlap=self.overlap,
            mask=self.mask,
            normalize=self.normalize,
            n_jobs=self.n_jobs,
        )

    def _check_images(self, X: Any, reset: bool) -> NDArray[Any] | list[Any]:
        """Return X as an array (n, H, W) or a list of images, at least one."""
        if isinstance(X, list | tuple) or getattr(X, "ndim", 0) == 1:
            images = list(X)
            if images and np.ndim(images[0]) == 2:
                return images
        elif getattr(X, "ndim", 0) == 3:
            if len(X) == 0:
                raise ValueError(f"X has shape {X.shape}: it holds no image")
            return np.asanyarray(X)  # histogram refuses masked arrays
        if self.image_shape is None:
            raise ValueError(
                f"X has shape {np.shape(X)}; must be (n, H, W) or a list of images (H, W); "
                "for images as rows of a table set image_shape=(H, W)"
            )
        table = validate_data(
            self, X, reset=reset, dtype=[np.float64, np.float32, np.uint8, np.uint16, np.bool_]
        )
        try:
            return table.reshape(len(table), *self.image_shape)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"X has {table.shape[1]} columns, and image_shape is {self.image_shape!r}: {error}"
            ) from None

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = self.image_shape is not None
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
