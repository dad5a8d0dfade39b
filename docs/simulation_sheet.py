"""Contact sheet of simulated clips: a row a clip, from before the onset to after the offset.

python docs/simulation_sheet.py data                       # the first clip of each of 8 people
python docs/simulation_sheet.py data --clip sub03/EP01_02  # of these clips, in twice as many frames
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from microexpr.data import image_paths


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, metavar="DATA", help="folder that `microexpr simulate` wrote")
    parser.add_argument("--clip", nargs="+", metavar="SUBJECT/CLIP", help="which clips")
    parser.add_argument("--frames", type=int, default=8, help="of each clip (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("sheet.png"), help="(%(default)s)")
    options = parser.parse_args()
    people = sorted((options.root / "Cropped").iterdir())[:8]
    clips = [options.root / "Cropped" / clip for clip in options.clip or ()]
    clips = clips or [min(person.iterdir()) for person in people]
    rows = []
    for clip in clips:
        paths = image_paths(clip)
        n = min(len(paths), options.frames * (2 if options.clip else 1))
        rows.append([Image.open(paths[round(k * (len(paths) - 1) / max(n - 1, 1))]) for k in range(n)])
    width, height = rows[0][0].size
    sheet = Image.new("RGB", (width * max(map(len, rows)), height * len(rows)))
    for i, row in enumerate(rows):
        for j, frame in enumerate(row):
            sheet.paste(frame, (j * width, i * height))
    sheet.save(options.out)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
