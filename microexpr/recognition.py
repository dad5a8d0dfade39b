"""A trained recogniser: kept in a file without code, asked about new clips."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray

import ltogp

from ._checks import grey
from ._linear_model import LinearModel, decision_values, log_probabilities
from ._model_file import read_model, write_model
from ._progress import progress_bar
from ._recipe import mean_frame
from .data import VideoFrames
from .data.clips import Damaged, read_clip, read_frames
from .data.cropping import crop_as, read_cropped
from .data.resizing import resize
from .data.stabilisation import Grey, settle
from .pipeline import describe

__all__ = ["Classification", "Recogniser"]

# A clip as frames, as a path, or as the readers of `microexpr.data` have it in their column "frames".
Clip = ArrayLike | str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | VideoFrames


@dataclass(frozen=True, eq=False, repr=False)
class Classification:
    """What a `Recogniser` says of one clip.

    Attributes
    ----------
    label : str
        The class.
    probabilities : dict
        Of each class; calibrated on people who were left out of the training. They add up to 1.
    decision : dict
        Decision value of each class, as ``SVC(decision_function_shape="ovr")`` has it; the label's is the
        largest.
    distance : dict
        From the clips trained on: "face", of the mean frame, and "motion", of the features (`Recogniser`).
    unlike : str
        Why the clip is unlike anything trained on, so that its class means little; "" if it is not.
    frames : ndarray of shape (T, height, width)
        What was classified: cropped, resized and resampled as the clips trained on.
    u : ndarray of shape (m,)
        Its features.
    """

    label: str
    probabilities: dict[str, float]
    decision: dict[str, float]
    distance: dict[str, float]
    unlike: str
    frames: Grey
    u: NDArray[np.float64]

    @property
    def probability(self) -> float:
        """Probability of the label."""
        return self.probabilities[self.label]

    def to_json(self) -> dict[str, Any]:
        """Return what is said of the clip, in JSON's types."""
        return {
            "class": self.label,
            "probabilities": self.probabilities,
            "decision": self.decision,
            "distance": self.distance,
            "unlike": self.unlike or None,
            "frames": len(self.frames),
        }

    def __repr__(self) -> str:
        """Say the class and how sure it is, not the arrays."""
        unlike = ", unlike anything trained on" if self.unlike else ""
        return f"Classification({self.label!r}, probability {self.probability:.2f}{unlike})"


@dataclass(frozen=True, eq=False, repr=False)
class Recogniser:
    r"""What `microexpr.train` returns: a model, and all that is needed to ask it about a new clip.

    The class is that of the largest decision value, as in `microexpr.experiment`; of classes that win
    as many pairs, that with the larger margins, as with ``SVC(break_ties=True)``. The linear SVM's functions
    f_kj, which tell class k from class j, give the probabilities

    .. math:: p_k \propto \prod_{j \ne k} \frac{1}{1 + \exp(-f_{kj} / \tau)},

    and with one function a class p_k is proportional to exp(f_k / tau). The temperature :math:`\tau`
    minimises the log loss on clips of people left out of the training (Guo et al. 2017). The most probable
    class may be another than that of the votes, in a few clips of a hundred: probabilities lean to frequent
    classes. Votes are reported as the class because they serve rare classes better (UF1 on simulated clips of
    people left out 0.42 against 0.35).

    A clip is called unlike anything trained on if it is farther from the clips trained on than each of these
    from those of other people, by one of two distances: "face" is Hellinger's, between LTOGP's histograms of
    its mean frame and `texture`; "motion" is the root mean square of its standardised features, which may be
    too small as well: nothing moves, or everything does.

    Attributes
    ----------
    classes : tuple of str
        Sorted.
    blocks : (int, int)
        Of LTOGP, down and across.
    pooling : str
        As in `microexpr.describe`.
    parameters : dict
        How clips are read and described, as in `microexpr.extract`.
    model : LinearModel
        The standardisation, the selection and the classifier.
    temperature : float
    face : ndarray of shape (height, width), uint8
        Mean face of the clips trained on.
    texture : ndarray of shape (blocks[0] * blocks[1] * 256,)
        Mean of the roots of LTOGP's histograms of their mean frames.
    held_out : dict
        "face" and "motion": the distance of each clip trained on from those of other people, rising.
    about : dict
        What it was trained on, what was chosen, its scores on people left out, versions; of JSON's types.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks. ICML 2017.

    Examples
    --------
    >>> import tempfile, microexpr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     root = microexpr.simulate(f"{folder}/data", subjects=3, clips=12, frames=(8, 9), progress=False)
    ...     table = microexpr.read_casme2(root)
    ...     recogniser = microexpr.train(table, blocks=(4, 4), n_features=100, n_jobs=1, progress=False)
    ...     recogniser.save(f"{folder}/model.npz")
    ...     again = microexpr.Recogniser.load(f"{folder}/model.npz")
    ...     answer = again.classify(table["frames"][0])
    >>> answer.label in again.classes, round(sum(answer.probabilities.values()), 6), answer.frames.shape[1:]
    (True, 1.0, (128, 128))
    """

    classes: tuple[str, ...]
    blocks: tuple[int, int]
    pooling: str
    parameters: dict[str, Any]
    model: LinearModel
    temperature: float
    face: NDArray[np.uint8]
    texture: NDArray[np.float64]
    held_out: dict[str, NDArray[np.float64]]
    about: dict[str, Any]

    def classify(self, clip: Clip, *, face: bool | None = None, damaged: Damaged = "raise") -> Classification:
        """Say what class a clip is of.

        Parameters
        ----------
        clip : path, array-like of shape (T, height, width), list of paths or VideoFrames
            A video or a folder of frames, prepared as the clips trained on were; frames that are cropped to
            the face already, uint8; or image files or a part of a video as a table of clips has them, read as
            those trained on.
        face : bool, optional
            Of a path: crop to the face, or not. By default as the model's clips were; and where these were
            faces already, a video is cropped and a folder is not, as in `microexpr.read_clip`.
        damaged : {"raise", "keep"}
            Of a video, as in `microexpr.read_clip`.

        Returns
        -------
        Classification

        Raises
        ------
        FileNotFoundError
            If there is nothing at the path.
        ClipError
            If the clip cannot be read, or there is no face in it.
        ValueError
            If the frames are not (T, height, width), or fewer than 2.
        TypeError
            If the frames are not of uint8.
        """
        frames = self._frames(clip, face, damaged)
        options = {name: value for name, value in self.parameters.items() if name not in _READING}
        u = describe(frames, blocks=self.blocks, pooling=self.pooling, n_jobs=1, **options)
        margins = self.model.margins(u[None])
        known = len(self.classes), self.model.pairs
        decision = decision_values(margins, *known)[0]
        probabilities = np.exp(log_probabilities(margins, self.temperature, *known)[0])
        distance = {
            "face": float(face_distance(textures(mean_frame(frames)[None], self.blocks), self.texture)[0]),
            "motion": float(root_mean_square(self.model.standardised(u[None]))[0]),
        }
        return Classification(
            self.classes[int(np.argmax(decision))],
            dict(zip(self.classes, probabilities.tolist(), strict=True)),
            dict(zip(self.classes, decision.tolist(), strict=True)),
            distance,
            self._unlike(distance),
            frames,
            u,
        )

    def classify_all(
        self,
        clips: Sequence[Clip],
        *,
        face: bool | None = None,
        damaged: Damaged = "raise",
        n_jobs: int | None = -1,
        progress: bool | None = None,
    ) -> Iterator[Classification | Exception]:
        """Classify clip after clip, in threads; of one that cannot be, yield why, and go on.

        Parameters
        ----------
        clips : sequence
            Of what `classify` takes: ``table["frames"]``, or paths.
        face, damaged
            As in `classify`.
        n_jobs : int, optional
            Number of clips worked on at a time, as in joblib; -1 uses every core.
        progress : bool, optional
            Show a progress bar; by default only when standard error is a terminal.

        Yields
        ------
        Classification or Exception
            For each clip, in their order.
        """

        def answer(clip: Clip) -> Classification | Exception:
            try:
                return self.classify(clip, face=face, damaged=damaged)
            except ModuleNotFoundError:
                raise
            except Exception as error:  # whatever a library makes of one clip
                return error

        jobs = (delayed(answer)(clip) for clip in clips)
        with closing(Parallel(n_jobs=n_jobs, require="sharedmem", return_as="generator")(jobs)) as work:
            yield from progress_bar(work, "classify", len(clips), "clip", progress)

    def weights_by_block(self, answer: Classification, label: str | None = None) -> NDArray[np.float64]:
        """Say where on the face the selected features of a clip speak for a class.

        Parameters
        ----------
        answer : Classification
        label : str, optional
            The class; by default the answer's.

        Returns
        -------
        ndarray of shape (blocks[0], blocks[1])
            Sum of w_j z_j over the features j of each block, w being the mean of the linear functions that
            tell the class from each other one: above 0 they speak for it, below 0 against it.
        """
        z = self.model.standardised(answer.u[None])[0, self.model.selected]
        w = self.model.class_weights(self.classes.index(answer.label if label is None else label))
        n_blocks = self.blocks[0] * self.blocks[1]
        d = len(self.model.mean) // (2 if self.pooling == "mean+rank" else 1)
        at = self.model.selected % d // (d // n_blocks)
        return np.bincount(at, w * z, n_blocks).astype(np.float64).reshape(self.blocks)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it into a file, whole or not at all; the same recogniser gives the same bytes."""
        about = {
            "classes": list(self.classes),
            "blocks": list(self.blocks),
            "pooling": self.pooling,
            "parameters": self.parameters,
            "pairs": self.model.pairs,
            "temperature": self.temperature,
            "about": self.about,
        }
        arrays = {name: getattr(self.model, name) for name in _OF_MODEL}
        arrays |= {f"held_out_{name}": values for name, values in self.held_out.items()}
        write_model(Path(path), about, {**arrays, "face": self.face, "texture": self.texture})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recogniser:
        """Read a file that `save` wrote: numbers and text, looked at before anything is made of them.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is something else, damaged, or of another version; the field is named.
        """
        about, arrays = read_model(Path(path))
        classes = tuple(about["classes"])
        return cls(
            classes,
            (about["blocks"][0], about["blocks"][1]),
            about["pooling"],
            about["parameters"],
            LinearModel(
                **{name: arrays[name] for name in _OF_MODEL}, n_classes=len(classes), pairs=about["pairs"]
            ),
            float(about["temperature"]),
            arrays["face"],
            arrays["texture"],
            {name: arrays[f"held_out_{name}"] for name in ("face", "motion")},
            about["about"],
        )

    def __str__(self) -> str:
        """Say what it was trained on, and how far to trust it."""
        about, scores = self.about, self.about["scores"]
        source = ", simulated clips" if about["simulated"] else ""
        recipe = f"{about['n_features']} of {len(self.model.mean)} features, gamma = {about['gamma']:g}"
        recipe += f", C = {about['C']:g}" if about["C"] is not None else ""
        recipe += f", {about['class_weight']} classes" if about["class_weight"] else ""
        if about["chosen_from"] > 1:
            recipe += f": chosen from {about['chosen_from']} recipes inside the training folds"
        confusion = np.array(scores["confusion"])
        said = [
            f"{label} {100 * right / n:.0f} % of {n}" if n else f"{label} never"
            for label, right, n in zip(
                self.classes, confusion.diagonal(), confusion.sum(axis=0).tolist(), strict=True
            )
        ]
        lines = [
            f"{len(self.classes)} classes, trained on {about['clips']} clips of {about['subjects']} subjects "
            f"({', '.join(about['datasets'])}{source})",
            f"{self.pooling} pooling of LTOGP in {self.blocks[0]} x {self.blocks[1]} blocks, "
            f"{about['classifier'].upper()} on {recipe}",
            f"on people left out ({scores['folds']}): "
            + ", ".join(
                f"{name} {value} [{low}, {high}]"
                for name, (value, low, high) in (
                    ("accuracy", [f"{100 * x:.1f} %" for x in scores["accuracy"]]),
                    ("UF1", [f"{x:.3f}" for x in scores["uf1"]]),
                    ("UAR", [f"{x:.3f}" for x in scores["uar"]]),
                )
            ),
            f"of the clips it said to be of a class, so many were: {', '.join(said)}",
            *(f"note: {note}" for note in about["notes"]),
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Say what it tells apart, not its arrays."""
        return f"Recogniser({', '.join(self.classes)}; trained on {self.about['clips']} clips)"

    def _frames(self, clip: Any, face: bool | None, damaged: Damaged) -> Grey:
        height, width = self.parameters["size"]
        size, crop = (height, width), self.parameters.get("crop")
        after: dict[str, Any] = {
            name: self.parameters.get(name) for name in ("stabilise", "blur", "n_frames")
        }
        if isinstance(clip, str | os.PathLike):
            if crop and face is not False:
                whole = read_clip(clip, size=None, face=False, damaged=damaged, progress=False)
                return settle(crop_as(whole, size, crop), **after)
            return read_clip(clip, size=size, face=face, damaged=damaged, progress=False, **after)
        if isinstance(clip, VideoFrames) or isinstance(next(iter(clip), None), str | os.PathLike):
            if crop:
                return read_cropped(clip, size, crop, **after)[0]
            return read_frames(clip, size, progress=False, **after)
        given = grey(clip)
        if not len(given):
            raise ValueError("the clip has no frames")
        return settle(np.stack([resize(np.ascontiguousarray(frame), size) for frame in given]), **after)

    def _unlike(self, distance: dict[str, float]) -> str:
        faces, motions = self.held_out["face"], self.held_out["motion"]
        reasons = []
        if not distance["face"] <= faces[-1]:
            reasons.append(
                f"its mean frame is {distance['face']:.3f} from the faces trained on, and none of these more "
                f"than {faces[-1]:.3f} from other people's"
            )
        if not motions[0] <= distance["motion"] <= motions[-1]:
            reasons.append(
                f"its standardised features have size {distance['motion']:.3f}, and those of the clips "
                f"trained on {motions[0]:.3f} to {motions[-1]:.3f}"
            )
        return "; ".join(reasons)


_OF_MODEL = ("mean", "scale", "selected", "coef", "intercept")
_READING = ("size", "crop", "stabilise", "blur", "n_frames")


def textures(frames: NDArray[np.uint8], blocks: tuple[int, int]) -> NDArray[np.float64]:
    """Return the roots of LTOGP's histograms of frames (n, height, width), shape (n, d)."""
    return np.sqrt(ltogp.histogram(frames, blocks, n_jobs=1), dtype=np.float64)


def face_distance(roots: NDArray[np.float64], texture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hellinger's distance, 0 to 1, of each row from the mean of others, shape (n,)."""
    return np.linalg.norm(roots - texture, axis=1) / np.sqrt(2 * np.square(roots).sum(axis=1))


def root_mean_square(Z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean square of each row, shape (n,)."""
    return np.sqrt(np.square(Z).mean(axis=1))
