"""Simulated clips with what makes real ones hard: see docs/simulation.md for where each number is from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .face_motion import EXPRESSIONS, UNITS, Landmarks, find_landmarks, gaze_field, lids, sides_of, unit_field
from .head_pose import Head, seen_from
from .light import FPS, Light, shading

__all__ = ["REAL", "Strengths", "code_clips", "draw_clip"]


class Strengths(NamedTuple):
    """How strong each thing is that makes clips hard; 0 leaves it out. Pixels are of a 128 x 128 frame."""

    report: float = 0.15  # share of clips labelled by what people said, whatever moved: units of any class
    placement: float = 0.08  # sd of where a face has a muscle: of half the eyes' distance, of eyes to mouth
    crop: float = 0.008  # sd of a day's shift of the crop, as a part of the frame; of its size, about twice
    pose: float = 0.7  # sd of a day's yaw and pitch, degrees; half of it in roll
    one_sided: float = 0.35  # share of expressions on one side of the face
    partial: float = 0.35  # share of further action units that stay away, and least strength of others
    blink: float = 0.1  # share of clips with a blink in them
    gaze: float = 0.7  # most that the irises move, pixels; in half of the clips
    mouth: float = (
        0.4  # most that the mouth moves besides, as a part of `motion`'s most; in half of the clips
    )
    turn: float = 0.05  # sd of yaw and pitch from onset to offset, degrees; half of it in roll
    light: float = 0.015  # most by which a frame's rim is brighter or darker than its middle, as a part
    flicker: float = 0.0003  # most amplitude, as a part of the brightness
    day: float = 0.01  # sd of a day's contrast, as a part
    habit: float = 0.2  # how unlike people's shares of the classes are: 1 / a Dirichlet parameter
    quality: int = 95  # of the JPEG files


REAL = Strengths()

_DAYS = 3  # at most, that a person comes on
_UNEVEN = 0.75  # sd of the logarithm of how many clips a person has
_BLINK = (0.15, 0.35)  # seconds
_MOUTH = ("10", "14", "17", "25")  # small movements of the mouth that belong to no class


def code_clips(
    proportions: dict[str, int],
    subjects: int,
    clips: int,
    frames: tuple[int, int],
    lead: int,
    seed: int,
    strengths: Strengths = REAL,
) -> list[dict[str, Any]]:
    """Draw rows of the spreadsheet, with CASME II's columns.

    The classes have `proportions`; a person has few clips or many, and more of some classes than of others.
    ``EP02_03`` is the third clip of a person, on its second day.
    """
    rng = np.random.default_rng([seed, 4])
    classes = list(proportions)
    left = largest_remainders(np.array(list(proportions.values()), dtype=float), clips)
    weights = np.exp(_UNEVEN * rng.standard_normal(subjects))
    counts = 1 + largest_remainders(weights, clips - subjects)
    habits = np.ones((subjects, len(classes)))
    if strengths.habit:
        habits = rng.dirichlet(habits[0] / strengths.habit, subjects)
    rows = []
    for subject in rng.permutation(np.repeat(np.arange(subjects), counts)):
        chance = left * habits[subject]
        drawn = int(rng.choice(len(classes), p=chance / chance.sum()))
        left[drawn] -= 1
        rows.append((int(subject) + 1, classes[drawn]))
    days = rng.integers(1, _DAYS + 1, subjects)
    table: list[dict[str, Any]] = []
    takes: Counter[int] = Counter()
    for subject, emotion in sorted(rows, key=lambda row: row[0]):
        takes[subject] += 1
        onset = int(rng.integers(lead + 1, 120))
        length = int(rng.integers(frames[0], frames[1] + 1))
        table.append(
            {
                "Subject": subject,
                "Filename": f"EP{rng.integers(days[subject - 1]) + 1:02d}_{takes[subject]:02d}",
                "OnsetFrame": onset,
                "ApexFrame": onset + round(rng.uniform(0.35, 0.65) * (length - 1)),
                "OffsetFrame": onset + length - 1,
                "Action Units": _action_units(rng, emotion, strengths),
                "Estimated Emotion": emotion,
            }
        )
    return sorted(table, key=lambda row: (row["Subject"], row["Filename"]))


def largest_remainders(weights: NDArray[np.float64], total: int) -> NDArray[np.int_]:
    """Share out so many in whole numbers, in proportion to weights."""
    share = weights * total / weights.sum()
    counts = np.floor(share).astype(int)
    counts[np.argsort(counts - share, kind="stable")[: total - counts.sum()]] += 1
    return counts


def _action_units(rng: np.random.Generator, emotion: str, strengths: Strengths) -> str:
    """Draw what the spreadsheet codes, such as L12 or 4+7."""
    often = EXPRESSIONS[emotion]
    if rng.uniform() < strengths.report:
        often = EXPRESSIONS[str(rng.choice(list(EXPRESSIONS)))]
    units = str(rng.choice(list(often), p=list(often.values()))).split("+")
    stay = rng.uniform(size=len(units)) >= strengths.partial
    stay[rng.integers(len(units))] = True  # one at least
    side = str(rng.choice(["L", "R"])) if rng.uniform() < strengths.one_sided else ""
    return "+".join(side + unit for unit, stays in zip(units, stay, strict=True) if stays)


class _Clip(NamedTuple):
    """What one clip is drawn from."""

    still: NDArray[np.float64]  # spline coefficients of the portrait
    pixels: NDArray[np.float64]  # of the frame, (down, across), where they lie in the day's crop
    grid: NDArray[np.float64]  # and in the frontal portrait
    head: Head
    marks: Landmarks
    places: tuple[NDArray[np.float64], NDArray[np.float64]]  # where pixels lie on the face, across and down
    moves: list[tuple[NDArray[np.float64], NDArray[np.float64]]]  # over time (T,), and where and whereto
    turns: NDArray[np.float64]  # of the head, (T, 3), radians
    shut: NDArray[np.float64]  # (T,), lids
    light: Light

    @property
    def size(self) -> tuple[int, int]:
        return self.still.shape[0], self.still.shape[1]


def draw_clip(
    row: dict[str, Any],
    numbers: NDArray[np.int_],
    portrait: NDArray[np.float64],
    noise: float,
    motion: tuple[float, float],
    drift: float,
    seed: tuple[int, int],
    strengths: Strengths = REAL,
) -> Iterator[NDArray[np.float64]]:
    """Draw the frames of one clip, grey levels that are not yet rounded.

    Parameters
    ----------
    row : dict
        A row of the spreadsheet, by `code_clips`.
    numbers : ndarray of int, shape (T,)
        Of the frames, of which `row` has the onset, apex and offset.
    portrait : ndarray of shape (height, width)
    noise, motion, drift
        As for `microexpr.simulate`.
    seed : (int, int)
        The data set's, and the clip's number in it. A person's and a day's draws depend on the first alone.
    """
    rng = np.random.default_rng([6, *seed])
    clip = _clip(rng, row, numbers, portrait, motion, seed, strengths)
    size = portrait.shape
    scale = np.array(size) / 128
    elapsed = np.linspace(0, 1, len(numbers))
    seconds = (numbers - row["OnsetFrame"]) / FPS
    contrast, offset = _day(row, seed, strengths).tone
    head = _wander(rng, elapsed, 2) * drift * scale
    near = np.nonzero((np.abs(np.abs(clip.places[0]) - 1) < 0.8) & (np.abs(clip.places[1]) < 0.35))
    for t in range(len(numbers)):
        seen_at = clip.pixels - head[t][:, None, None]
        source = seen_from(clip.head, clip.turns[t], seen_at, clip.grid)
        for strength, field in clip.moves:
            if strength[t]:
                source -= strength[t] * field
        frame = ndimage.map_coordinates(clip.still, source, order=3, mode="mirror", prefilter=False)
        if clip.shut[t]:
            _shut_eyes(frame, clip, source, near, clip.shut[t])
        frame = 128 + offset + contrast * (frame - 128)
        frame *= shading(clip.light, seconds[t], elapsed[t], size)
        yield frame + noise * rng.standard_normal(size, np.float32)


class _Day(NamedTuple):
    """What is alike in all clips of one person on one day."""

    shift: NDArray[np.float64]  # of the crop, as a part of the frame, down and across
    zoom: NDArray[np.float64]  # of the crop, down and across
    turn: NDArray[np.float64]  # yaw, pitch, roll, radians
    tone: tuple[float, float]  # contrast, and grey levels added
    slope: float  # of the light, and where it comes from
    angle: float


def _day(row: dict[str, Any], seed: tuple[int, int], strengths: Strengths) -> _Day:
    rng = np.random.default_rng([7, seed[0], row["Subject"], int(row["Filename"][2:4])])
    return _Day(
        strengths.crop * rng.standard_normal(2),
        np.exp(strengths.crop * (2 * rng.standard_normal() + rng.standard_normal(2))),
        np.radians(strengths.pose) * rng.standard_normal(3) * [1, 1, 0.5],
        (float(np.exp(strengths.day * rng.standard_normal())), 80 * strengths.day * rng.standard_normal()),
        strengths.light * rng.uniform(),
        rng.uniform(0, 2 * np.pi),
    )


def _clip(
    rng: np.random.Generator,
    row: dict[str, Any],
    numbers: NDArray[np.int_],
    portrait: NDArray[np.float64],
    motion: tuple[float, float],
    seed: tuple[int, int],
    strengths: Strengths,
) -> _Clip:
    size = (portrait.shape[0], portrait.shape[1])
    day = _day(row, seed, strengths)
    elapsed = np.linspace(0, 1, len(numbers))
    marks = find_landmarks(portrait)
    middle, M = marks.axes(size)
    head = Head(middle + 0.4 * M[:, 1], 2.3 * float(np.hypot(*M[:, 0])))

    pixels = np.mgrid[: size[0], : size[1]].astype(float)
    centre = ((np.array(size) - 1) / 2)[:, None, None]
    pixels = centre + day.zoom[:, None, None] * (pixels - centre) + (day.shift * size)[:, None, None]
    grid = seen_from(head, day.turn, pixels, seen_from(head, day.turn, pixels, pixels))
    places = marks.places(grid, size)

    moves = _moves(rng, row, numbers, places, motion, seed, strengths)
    scale = (np.array(size) / 128)[:, None, None]
    turn = np.radians(strengths.turn) * _wander(rng, elapsed, 3, normal=True) * [1, 1, 0.5]
    return _Clip(
        ndimage.spline_filter(portrait, order=3, mode="mirror"),
        pixels,
        grid,
        head,
        marks,
        places,
        [(strength, scale * field) for strength, field in moves],
        day.turn + turn,
        _blink(rng, (numbers - numbers[0]) / FPS, strengths.blink),
        Light(
            day.slope,
            day.angle,
            turn=0.5 * rng.standard_normal() * (strengths.light > 0),
            change=0.15 * strengths.light * rng.uniform(-1, 1),
            flicker=strengths.flicker * rng.uniform(),
            beat=rng.uniform(-1, 1),
            phase=rng.uniform(0, 2 * np.pi),
        ),
    )


def _moves(
    rng: np.random.Generator,
    row: dict[str, Any],
    numbers: NDArray[np.int_],
    places: tuple[NDArray[np.float64], NDArray[np.float64]],
    motion: tuple[float, float],
    seed: tuple[int, int],
    strengths: Strengths,
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Draw the expression, a shift of the gaze and a movement of the mouth: each over time, and where."""
    face = np.random.default_rng([5, seed[0], row["Subject"]])
    shift = dict(zip(UNITS, strengths.placement * face.standard_normal((len(UNITS), 2)), strict=True))
    elapsed = np.linspace(0, 1, len(numbers))

    weak, strong = (rng.uniform(0, 0.3), rng.uniform(0.7, 1)), rng.uniform(*motion)
    expression = np.zeros_like(np.stack(places))
    for k, (unit, side) in enumerate(sides_of(row["Action Units"])):
        sides = {"L": (weak[0], 1.0), "R": (1.0, weak[0])}.get(side, tuple(rng.permutation([1.0, weak[1]])))
        part = 1 if not k else rng.uniform(strengths.partial, 1)
        expression += part * unit_field(unit, sides, places, shift[unit])
    expression *= strong / np.hypot(*expression).max()
    coded = (row["OnsetFrame"], row["ApexFrame"], row["OffsetFrame"])
    over_time = envelope(numbers, *coded, rng.uniform(0.1, 0.7))

    looks = rng.integers(2) * strengths.gaze * rng.uniform(-1, 1)
    jump = 1 / (1 + np.exp(-(elapsed - rng.uniform()) / 0.03))  # a saccade takes some hundredths of a second

    unit = str(rng.choice(_MOUTH))
    besides = rng.integers(2) * strengths.mouth * motion[1] * rng.uniform()
    twitch = np.exp(-(((elapsed - rng.uniform()) / rng.uniform(0.1, 0.3)) ** 2))
    lips = unit_field(unit, tuple(rng.uniform(0.3, 1, 2)), places, shift[unit])
    return [(over_time, expression), (looks * jump, gaze_field(places)), (besides * twitch, lips)]


def _wander(
    rng: np.random.Generator, elapsed: NDArray[np.float64], n: int, *, normal: bool = False
) -> NDArray[np.float64]:
    """Drift to somewhere within -1 and 1, or to a normal number, and sway by 0.3 of that; (T, n)."""
    there = rng.standard_normal(n) if normal else rng.uniform(-1, 1, n)
    sway, phase = rng.uniform(0, 0.3, n), rng.uniform(0, 2 * np.pi, n)
    return there * elapsed[:, None] + sway * np.sin(2 * np.pi * elapsed[:, None] + phase)


def _blink(rng: np.random.Generator, seconds: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """How far the lids are shut over time; lids close faster than they open."""
    blinks, length = rng.uniform() < share, rng.uniform(*_BLINK)
    begin = rng.uniform(-length / 2, seconds[-1] - length / 2)
    ramp = np.interp(seconds, [begin, begin + 0.4 * length, begin + length], [0.0, 1.0, 2.0])
    return blinks * (0.5 - 0.5 * np.cos(np.pi * ramp))


def _shut_eyes(
    frame: NDArray[np.float64],
    clip: _Clip,
    source: NDArray[np.float64],
    near: tuple[Any, ...],
    shut: float,
) -> None:
    """Draw the lids over the eyes: skin from above them, and lashes at its edge."""
    here = source[(slice(None), *near)]
    across, down = clip.marks.places(here, clip.size)
    cover, lashes, crease = lids((across, down), shut)
    middle, M = clip.marks.axes(clip.size)
    skin = middle[:, None] + M @ np.stack([across, crease])
    above = ndimage.map_coordinates(clip.still, skin, order=3, mode="mirror", prefilter=False)
    drawn = frame[near] + cover * (above - frame[near])
    frame[near] = drawn * (1 - 0.4 * min(1.0, 4 * shut) * lashes)


def envelope(
    numbers: NDArray[np.int_], onset: int, apex: int, offset: int, rest: float
) -> NDArray[np.float64]:
    """Strength of the expression: 0 at the onset, 1 at the apex, `rest` from the offset on."""
    ramp = np.interp(numbers, [onset, apex, offset], [0.0, 1.0, 2.0])
    rise = 0.5 - 0.5 * np.cos(np.pi * ramp)
    return np.where(ramp <= 1, rise, rest + (1 - rest) * rise)
