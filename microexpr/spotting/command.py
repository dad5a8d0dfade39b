"""What ``microexpr spot`` does: options in, table, JSON, CSV and picture out."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping
from typing import Any

from .._command_line import print_json
from .._csv_file import write_csv
from .._extras import require
from .._spotting_options import SPOTTING
from .._wording import option
from ..data import read_dataset, report, stream_clip
from .datasets import SpottedDataset, long_videos, spot_dataset
from .events import Event
from .video import VideoSpotting, spot_video

_COLUMNS = (
    "onset",
    "apex",
    "offset",
    "onset_s",
    "apex_s",
    "offset_s",
    "score",
    "label",
    "probability",
    "unlike",
)


def spot_video_command(options: argparse.Namespace, prefix: str, *, plot: bool) -> int:
    """Spot in one video or folder; write what was found and print it."""
    started = time.perf_counter()
    model = None
    if options.model is not None:
        from ..recognition import Recogniser

        model = Recogniser.load(options.model)
    reading = {
        name: getattr(options, name) for name in ("margin", "damaged") if getattr(options, name) is not None
    }
    stream = stream_clip(options.source[0], face=options.face, **reading)
    result = spot_video(
        stream,
        fps=options.fps,
        model=model,
        thumbnails=plot,
        **_spotting(options),
    )
    seconds = time.perf_counter() - started
    spotting = result.spotting
    write_csv(f"{prefix}.csv", _rows({}, spotting.events), _COLUMNS)
    written = [f"{prefix}.csv"]
    if plot:
        from ..plots import plot_spotting

        title = f"{result.path.resolve().name}: micro-expressions spotted"
        plot_spotting(spotting, result.thumbnails, title=title).savefig(f"{prefix}.png", dpi=150)
        written.append(f"{prefix}.png")
    if options.json:
        print_json(_as_json(result))
        return 0
    n, length = len(spotting.contrast), len(spotting.contrast) / spotting.fps
    print(
        f"{result.path}: {n} frames at {spotting.fps:g} a second, {length:.1f} s, looked through in "
        f"{seconds:.1f} s ({n / seconds:.0f} frames a second)\n"
    )
    print(_table(spotting.events) if spotting.events else "no micro-expression found")
    if stream.uneven and options.fps is None:
        print(
            f"\nThe video's frames are not evenly spaced: seconds are frames / {spotting.fps:g}, "
            "and may be off."
        )
    print(f"\nwrote {' and '.join(written)}")
    return 0


def spot_dataset_command(options: argparse.Namespace, prefix: str, reading: Mapping[str, Any]) -> int:
    """Spot in all videos of a data set; write what was found and print the scores."""
    for name in ("model", "face", "margin", "damaged"):
        if getattr(options, name) is not None:
            raise ValueError(f"{option(name)} is of one video; of a data set the intervals are scored")
    require("this command", "datasets")
    started = time.perf_counter()
    dataset, root = options.source
    table = read_dataset(dataset, root, **reading)
    others = None
    if dataset.lower() in ("casme-sq", "samm-lv") and "expressions" not in reading:
        others = read_dataset(dataset, root, **reading, expressions="all")
    videos = long_videos(table, fps=options.fps, others=others)
    if not options.json:
        print(report(table) + "\n", flush=True)
    result = spot_dataset(videos, n_jobs=options.jobs, **_spotting(options))
    rows = [
        row
        for video, spotted in zip(result.videos, result.spotted, strict=True)
        for row in _rows({"video": video.name}, spotted.spotting.events)
    ]
    write_csv(f"{prefix}.csv", rows, ("video", *_COLUMNS))
    simulated = bool(table.attrs["simulated"])
    if options.json:
        print_json(_dataset_as_json(result, simulated))
    else:
        what = "SIMULATED videos, not real micro-expressions" if simulated else dataset
        print(f"{what}: intervals that overlap by half or more (IoU) are right\n\n{result.scores}\n")
        if result.problems:
            print(f"{len(result.problems)} videos could not be read:", *result.problems, sep="\n  ")
        print(f"wrote {prefix}.csv; done in {time.perf_counter() - started:.0f} s")
    return 1 if result.problems or table.attrs["problems"] else 0


def _spotting(options: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(options, name) for name in SPOTTING if getattr(options, name) is not None}
    if "blocks" in given:
        given["blocks"] = tuple(given["blocks"])
    if "eyes" in given:
        given["eyes"] = tuple(given["eyes"]) or None
    return given


def _rows(first: Mapping[str, Any], events: Iterable[Event]) -> list[dict[str, Any]]:
    return [{**first, **{name: _cell(event, name) for name in _COLUMNS}} for event in events]


def _cell(event: Event, name: str) -> Any:
    value = getattr(event if hasattr(event, name) else event.classification, name, None)
    return round(value, 6) if isinstance(value, float) else value


def _table(events: list[Event]) -> str:
    classified = any(event.classification is not None for event in events)
    lines = [
        "      onset    apex  offset   onset (s)  apex (s)  offset (s)     score" + "   class" * classified
    ]
    for n, event in enumerate(events, start=1):
        frames = f"{n:>3}{event.onset:>8}{event.apex:>8}{event.offset:>8}"
        seconds = f"{event.onset_s:>12.3f}{event.apex_s:>10.3f}{event.offset_s:>12.3f}{event.score:>10.4f}"
        lines.append(f"{frames}{seconds}{_class_of(event)}")
    return "\n".join(lines)


def _class_of(event: Event) -> str:
    if event.classification is None:
        return ""
    unlike = ", unlike anything trained on" if event.classification.unlike else ""
    return f"   {event.classification.label} ({100 * event.classification.probability:.0f} %){unlike}"


def _as_json(result: VideoSpotting) -> dict[str, Any]:
    spotting = result.spotting
    events = [
        row | ({"probabilities": event.classification.probabilities} if event.classification else {})
        for row, event in zip(_rows({}, spotting.events), spotting.events, strict=True)
    ]
    return {
        "video": result.path,
        "frames": len(spotting.contrast),
        "fps": spotting.fps,
        "k": spotting.k,
        "threshold": spotting.threshold,
        "events": events,
    }


def _dataset_as_json(result: SpottedDataset, simulated: bool) -> dict[str, Any]:
    def shown(counts: Any) -> dict[str, Any]:
        ratios = {name: getattr(counts, name) for name in ("precision", "recall", "f1")}
        return counts._asdict() | ratios

    return {
        "simulated": simulated,
        "total": shown(result.scores.total),
        "videos": {
            video.name: {
                **shown(result.scores.by_video[video.name]),
                "coded": video.coded,
                "events": _rows({}, spotted.spotting.events),
            }
            for video, spotted in zip(result.videos, result.spotted, strict=True)
        },
        "problems": result.problems,
    }
