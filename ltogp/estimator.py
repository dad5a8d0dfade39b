"""LTOGP as a scikit-learn transformer."""

from collections.abc import Sequence
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from ltogp._checks import HOW_TO_READ, check_channel_axis, refuse_colour, refuse_masked
from ltogp._mapping import mapping_bins
from ltogp.descriptor import histogram_of


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
    channel_axis : int, optional
        Which axis of each image holds its channels, if they are in colour: -1 for images (H, W, 3), as in
        scikit-image. Each channel is described by itself. Without it images in colour are refused.
    image_shape : tuple of int, optional
        The shape, (H, W) or with channels, of images that come as rows of a table, (n, H*W). One number may
        be -1, as for numpy.reshape.

    Attributes
    ----------
    n_channels_ : int
        How many channels the images have, 1 without `channel_axis`.

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
        templates: str | ArrayLike | None = "ltogp",
        mapping: str = "default",
        overlap: float = 0.0,
        mask: ArrayLike | None = None,
        normalize: str | None = None,
        channel_axis: int | None = None,
        image_shape: tuple[int, ...] | None = None,
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
        self.channel_axis = channel_axis
        self.image_shape = image_shape
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters, and X.

        Parameters
        ----------
        X : array (n, H, W), list of n images (H, W), or with `image_shape` array (n, H*W)
            Images, with `channel_axis` of one more axis; those of a list may differ in size. dtypes as for
            :func:`ltogp.encode`.
        y : ignored

        Returns
        -------
        self
        """
        images = self._check_images(X, reset=True)
        self.n_channels_ = self._count_channels(images)
        self._histogram(images[:1])
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Compute the block histograms of each image.

        Parameters
        ----------
        X : as for `fit`

        Returns
        -------
        V : array of float32, of shape (n, n_channels*n_radii*by*bx*n_bins)
        """
        images = self._check_images(X, reset=False)
        n_channels = self._count_channels(images)
        if n_channels != getattr(self, "n_channels_", n_channels):
            raise ValueError(f"X has {n_channels} channels, but fit saw images of {self.n_channels_}")
        return self._histogram(images)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the name of each column: channel, radius, block row and column, code or bin.

        As "block{i}_{j}_code{c}" by default, "radius{r}_block{i}_{j}_code{c}" if `radius` is a tuple, and
        with the name of the `mapping`, as "block{i}_{j}_uniform{bin}", instead of "code" if there is one.
        With a `channel_axis` all begin with "channel{c}_", and `fit` must have seen how many there are.

        Parameters
        ----------
        input_features : ignored
            Pixels have no names.

        Returns
        -------
        names : array of str
        """
        by, bx = self.blocks
        if self.channel_axis is None:
            channels = [""]
        else:
            check_is_fitted(self, "n_channels_")
            channels = [f"channel{c}_" for c in range(self.n_channels_)]
        radii = [f"radius{r}_" for r in self.radius] if isinstance(self.radius, tuple | list) else [""]
        _, n_bins = mapping_bins(self.mapping)
        kind, digits = "code" if self.mapping == "default" else self.mapping, len(str(n_bins - 1))
        bins = [f"{kind}{b:0{digits}}" for b in range(n_bins)]
        places = [
            f"{c}{r}block{i}_{j}_" for c in channels for r in radii for i in range(by) for j in range(bx)
        ]
        return np.array([place + b for place in places for b in bins], dtype=object)

    def _histogram(self, images: NDArray[Any] | list[Any]) -> NDArray[np.float32]:
        options: dict[str, Any] = {
            "blocks": self.blocks,
            "radius": self.radius,
            "mode": self.mode,
            "templates": self.templates,
            "mapping": self.mapping,
            "overlap": self.overlap,
            "mask": self.mask,
            "normalize": self.normalize,
            "out": None,
            "n_jobs": self.n_jobs,
        }
        if isinstance(images, list):
            axis = self.channel_axis
            parts = [
                histogram_of(image, f"X[{i}]", channel_axis=axis, **options) for i, image in enumerate(images)
            ]
            return np.stack(parts)
        if self.channel_axis is None:
            # An axis of one channel says that these are not images in colour, however narrow.
            return histogram_of(images[..., None], "X", channel_axis=-1, **options)
        axis = self.channel_axis + 1 if self.channel_axis >= 0 else self.channel_axis
        return histogram_of(images, "X", channel_axis=axis, **options)

    def _count_channels(self, images: NDArray[Any] | list[Any]) -> int:
        if self.channel_axis is None:
            return 1
        shapes = [np.shape(image) for image in (images if isinstance(images, list) else images[:1])]
        counts = {shape[check_channel_axis(self.channel_axis, shape, "an image of X")] for shape in shapes}
        if len(counts) > 1:
            raise ValueError(f"X holds images of {' and of '.join(map(str, sorted(counts)))} channels")
        return counts.pop()

    def _check_images(self, X: Any, reset: bool) -> NDArray[Any] | list[Any]:
        """Return X as an array (n, H, W), with channels of one more axis, or as a list; one image or more."""
        grey = self.channel_axis is None
        n_axes = 2 if grey else 3
        wanted = "(H, W); in colour, set channel_axis=-1" if grey else "(H, W) and one axis of channels"
        if isinstance(X, list | tuple) or getattr(X, "ndim", 0) == 1:
            images = list(X)
            if images and (np.ndim(images[0]) >= 2 or isinstance(images[0], str | PathLike)):
                for i, image in enumerate(images):
                    if isinstance(image, str | PathLike):
                        raise TypeError(
                            f"X[{i}] is {str(image)!r}, the name of a file; read it first: {HOW_TO_READ}"
                        )
                    if np.ndim(image) != n_axes:
                        raise ValueError(f"X[{i}] has shape {np.shape(image)}; must be {wanted}")
                return images  # of which histogram_of refuses masked arrays
        refuse_masked(X, "X")
        if getattr(X, "ndim", 0) == n_axes + 1:
            if len(X) == 0:
                raise ValueError(f"X has shape {X.shape}: it holds no image")
            if grey:
                refuse_colour(X.shape, "X")
            return np.asarray(X)
        if self.image_shape is None:
            raise ValueError(
                f"X has shape {np.shape(X)}; must be (n, H, W) or a list of images {wanted}; "
                "for images as rows of a table set image_shape=(H, W)"
            )
        table = validate_data(self, X, reset=reset, dtype="numeric")
        try:
            images = table.reshape(len(table), *self.image_shape)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"X has {table.shape[1]} columns, and image_shape is {self.image_shape!r}: {error}"
            ) from None
        if images.ndim != n_axes + 1:
            raise ValueError(f"image_shape is {self.image_shape!r}; must be {wanted}")
        return images

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = self.image_shape is not None
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
