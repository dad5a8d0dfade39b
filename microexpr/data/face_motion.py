"""What moves in a face, placed by its eyes and mouth: action units, lids, irises."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "EXPRESSIONS",
    "UNITS",
    "Landmarks",
    "find_landmarks",
    "gaze_field",
    "lids",
    "sides_of",
    "unit_field",
]

#: Action units (FACS) of each class and how often they are drawn. Which belong to a class are the criteria
#: that CASME II was labelled by (Yan et al. 2014): happiness, 6 or 12; disgust, 9, 10 or 4+7; surprise, 1+2,
#: 2 or 25; repression, 15 or 17; others, whatever is left. How often each is drawn is chosen here.
EXPRESSIONS = {
    "happiness": {"12": 0.5, "6+12": 0.3, "6": 0.1, "12+14": 0.1},
    "surprise": {"1+2": 0.6, "2": 0.15, "1+2+25": 0.15, "25": 0.1},
    "disgust": {"4+7": 0.4, "4+9": 0.15, "9": 0.15, "10": 0.2, "4+7+10": 0.1},
    "repression": {"17": 0.4, "15": 0.2, "15+17": 0.2, "12+17": 0.2},
    "others": {"4": 0.4, "14": 0.15, "1": 0.1, "7": 0.1, "1+4": 0.1, "4+14": 0.1, "5": 0.05},
}

# Where each unit acts on the right of the picture, and whereto: (across, down, direction across, direction
# down, extent across, extent down). Across, 1 is from between the eyes to an eye; down, 1 is from the eyes
# to the mouth. The left is its mirror image.
UNITS = {
    "1": (0.45, -0.28, -0.1, -1.0, 0.35, 0.16),  # inner brow up
    "2": (1.35, -0.28, 0.1, -1.0, 0.40, 0.16),  # outer brow up
    "4": (0.50, -0.22, -0.7, 0.7, 0.45, 0.20),  # brows down and together
    "5": (1.00, -0.08, 0.0, -1.0, 0.40, 0.06),  # upper lid up
    "6": (1.15, 0.30, -0.1, -1.0, 0.50, 0.15),  # cheek up
    "7": (1.00, 0.08, 0.0, -1.0, 0.45, 0.07),  # lower lid up
    "9": (0.30, 0.42, 0.0, -1.0, 0.32, 0.20),  # nose up
    "10": (0.40, 0.78, 0.1, -1.0, 0.42, 0.14),  # upper lip up
    "12": (0.85, 0.97, 0.65, -0.75, 0.42, 0.18),  # lip corner out and up
    "14": (0.90, 1.00, 1.0, 0.0, 0.38, 0.15),  # lip corner out
    "15": (0.80, 1.05, 0.1, 1.0, 0.40, 0.17),  # lip corner down
    "17": (0.20, 1.32, 0.0, -1.0, 0.50, 0.17),  # chin up
    "25": (0.25, 1.08, 0.0, 1.0, 0.45, 0.08),  # lips part
}

_EYE = (0.46, 0.115)  # of the opening of the eye, half of its width and height, in the units above
_CREASE = -0.15  # the skin between eye and brow, that a lid shows


class Landmarks(NamedTuple):
    """Where a face has its eyes and mouth: (across, down), in fractions of the frame."""

    left_eye: tuple[float, float]  # the one on the left of the picture
    right_eye: tuple[float, float]
    mouth: tuple[float, float]

    def axes(self, size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the point between the eyes (down, across), and M: pixels = point + M (across, down)."""
        scale = np.array([size[1], size[0]])
        left, right, mouth = (np.array(point) * scale - 0.5 for point in self)
        middle = (left + right) / 2
        return middle[::-1], np.stack([right - middle, mouth - middle], axis=1)[::-1]

    def places(
        self, pixels: NDArray[np.float64], size: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Tell where pixels (2, ...) lie on the face: across and down."""
        middle, M = self.axes(size)
        off = pixels - middle.reshape(2, *[1] * (pixels.ndim - 1))
        across, down = np.tensordot(np.linalg.inv(M), off, 1)
        return across, down


def find_landmarks(portrait: NDArray[np.float64]) -> Landmarks:
    """Guess where a portrait has its eyes and mouth: dark spots side by side, a dark line below them.

    Good to some hundredths of the frame in portraits that show little but the face: enough to place muscles
    and lids by, not to measure anything with. Needs nothing that is trained or installed.

    Examples
    --------
    >>> from microexpr.data import draw_face
    >>> left, right, mouth = find_landmarks(draw_face((112, 92), seed=1))
    >>> all([left[0] < 0.45 < 0.55 < right[0], 0.3 < left[1] < 0.5, 0.65 < mouth[1] < 0.85])
    True
    """
    height, width = portrait.shape
    image = ndimage.zoom(portrait, (64 / height, 64 / width), order=1, grid_mode=True, mode="nearest")
    dark = ndimage.gaussian_filter(image, 5) - ndimage.gaussian_filter(image, 1.2)
    dark /= max(dark.std(), 1e-6)  # of a picture that is all alike: the usual places
    y, x = (np.mgrid[:64, :64] + 0.5) / 64
    best, found = -np.inf, (0.32, 0.68, 0.43)
    for half in np.arange(8, 15):
        pair = np.minimum(np.roll(dark, half, 1), np.roll(dark, -half, 1))
        score = pair - ((x - 0.5) / 0.08) ** 2 - ((y - 0.44) / 0.06) ** 2 - ((half - 11) / 3) ** 2
        row, column = np.unravel_index(score.argmax(), score.shape)
        if score[row, column] > best:
            best = score[row, column]
            found = ((column + 0.5 - half) / 64, (column + 0.5 + half) / 64, (row + 0.5) / 64)
    left, right, eyes = found
    middle, apart = (left + right) / 2, right - left
    line = ndimage.uniform_filter1d(dark, 13, axis=1)[:, round(64 * middle - 0.5)]
    mouth = y[:, 0][np.argmax(line - ((y[:, 0] - eyes - 0.92 * apart) / 0.07) ** 2)]
    return Landmarks((left, eyes), (right, eyes), (middle, float(mouth)))


def sides_of(coded: str) -> list[tuple[str, str]]:
    """Take apart what the spreadsheet codes: units, and L, R or nothing for both sides of the face.

    Examples
    --------
    >>> sides_of("L12+17")
    [('12', 'L'), ('17', '')]
    """
    return [(unit, side) for side, unit in re.findall(r"([LR]?)(\d+)", coded)]


def unit_field(
    unit: str,
    strengths: tuple[float, float],
    at: tuple[NDArray[np.float64], NDArray[np.float64]],
    shift: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Displacement (down, across) by an action unit, of length 1 where it is strongest at strength 1.

    Parameters
    ----------
    unit : str
    strengths : (float, float)
        On the left and the right of the picture.
    at : (ndarray, ndarray)
        Where each pixel lies on the face, across and down: `Landmarks.places`.
    shift : ndarray of shape (2,)
        How far from its usual place this face has the muscle, across (outwards) and down.

    Returns
    -------
    ndarray of shape (2, height, width)
    """
    cx, cy, dx, dy, rx, ry = UNITS[unit]
    across, down = at
    direction = np.array([dy, dx]) / np.hypot(dx, dy)
    field = np.zeros((2, *across.shape))
    for side, strength in zip((-1, 1), strengths, strict=True):
        far = ((side * across - cx - shift[0]) / rx) ** 2 + ((down - cy - shift[1]) / ry) ** 2
        field += (strength * direction * [1, side])[:, None, None] * np.exp(-0.5 * far)
    return field


def gaze_field(at: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Displacement (down, across) of both irises to the right of the picture, largest length 1."""
    across, down = at
    far = ((np.abs(across) - 1) / (0.6 * _EYE[0])) ** 2 + (down / (0.6 * _EYE[1])) ** 2
    return np.stack([np.zeros_like(far), np.exp(-0.5 * far)])


def lids(
    at: tuple[NDArray[np.float64], NDArray[np.float64]], shut: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Tell how far each place is covered by a lid (0 to 1), how dark lashes make it, and whose skin it shows.

    Returns
    -------
    cover, lashes : ndarray
    crease : ndarray
        Down coordinate of the skin that is shown there; across it is the same.
    """
    across, down = at
    out = (np.abs(across) - 1) / _EYE[0]
    arch = _EYE[1] * np.sqrt(np.clip(1 - out**2, 0, 1))  # half the height of the opening, here
    edge = -arch + 2 * arch * shut
    soft = 0.02
    inside = np.clip((1 - np.abs(out)) / 0.15, 0, 1) * np.clip((arch - np.abs(down)) / soft + 1, 0, 1)
    cover = inside * np.clip((edge - down) / soft + 0.5, 0, 1)
    lashes = inside * np.exp(-0.5 * ((down - edge) / 0.02) ** 2)
    return cover, lashes, _CREASE + 0.15 * (down + arch)
