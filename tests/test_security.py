"""What SECURITY.md says is so."""

import re
import socket
import threading
import tomllib
from pathlib import Path

import PIL.Image
import pytest

from microexpr import _model_file
from microexpr.data import ClipError, _images, _workbooks, read_clip, read_manifest
from microexpr.experiment import pins_file

ROOT = Path(__file__).parents[1]
TEXT = " ".join((ROOT / "SECURITY.md").read_text().split())


def test_the_limits_are_those_of_the_code():
    assert _images.LARGEST_FILE == 1 << 30
    assert pins_file.LARGEST_FILE == 128 << 20
    assert _model_file.LARGEST_FILE == 1 << 30
    most, rows = f"{_workbooks._MOST_MEGABYTES} MB", f"{_workbooks._MOST_ROWS:,} rows"
    for words in [
        "1 GiB a file",
        f"{PIL.Image.MAX_IMAGE_PIXELS:,} a picture",
        "128 MiB",
        "1 GiB, nothing compressed",
        f"{_workbooks._MOST_MEGABYTES_OF_TEXT} MB of XML in each part",
        f"{4 * _workbooks._MOST_MEGABYTES} MB in a sheet",
        f"| {most}, {rows} |",
        f"{most}, {rows}, {_workbooks._MOST_COLUMNS:,} columns",
        f"{_workbooks._MOST_CELLS:,} cells",
    ]:
        assert words in TEXT, words
    named = re.search(r"Pillow, as (.*?), by content", TEXT)[1].replace(" or ", ", ").split(", ")
    assert [name.upper().replace(" ", "") for name in named] == list(_images._FORMATS)


def test_it_is_reported_where_the_project_is():
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert f"<{urls['Source']}>" in TEXT
    assert "@" not in TEXT  # no address is made up
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("kind", ["m3u8", "ffconcat", "sdp", "mpd"])
def test_a_video_opens_no_connection(kind, tmp_path):
    connected = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        url = f"http://127.0.0.1:{port}/a.ts"
        texts = {
            "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n",
            "ffconcat": f"ffconcat version 1.0\nfile '{url}'\n",
            "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
            "mpd": f"<MPD type='static'><Period><BaseURL>{url}</BaseURL></Period></MPD>",
        }

        def listen():
            while True:
                try:
                    server.accept()
                    connected.append(1)
                except OSError:
                    return

        threading.Thread(target=listen, daemon=True).start()
        for name in (f"a.{kind}", "a.mp4"):
            (tmp_path / name).write_text(texts[kind])
            with pytest.raises(ClipError, match="is not a readable video"):
                read_clip(tmp_path / name, face=False)
        server.shutdown(socket.SHUT_RDWR)
    assert connected == []


def test_an_image_is_what_its_content_is(tmp_path):
    """PostScript under a JPEG's name does not reach Ghostscript."""
    (tmp_path / "1.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n")
    with pytest.raises(ClipError, match="no known image format"):
        read_clip(tmp_path)


def test_a_manifest_stays_in_its_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "m").mkdir()
    for name in ("../a", str(tmp_path / "a"), "C:\\a", "\\\\host\\a"):
        (tmp_path / "m" / "m.csv").write_text(f"folder,subject,emotion\n{name},1,calm\n")
        with pytest.raises(ValueError, match="lies outside of the manifest's folder"):
            read_manifest(tmp_path / "m" / "m.csv")
