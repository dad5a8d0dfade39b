"""Image files as people have them: turned, in pages, deep, damaged, and beside what is no image."""

import io
import os
import re
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from microexpr import describe
from microexpr.data import ClipError, image_paths, read_clip, read_frames, read_image, resize, simulate
from microexpr.data.clips import content_digest, read_frames_and_digest

# What a viewer shows of a stored picture, as EXIF defines it: where its first row and first column are.
SHOWN = {
    1: lambda a: a,  # top, left
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.T,  # left, top
    6: lambda a: a.T[:, ::-1],  # right, top
    7: lambda a: a.T[::-1, ::-1],  # right, bottom
    8: lambda a: a.T[::-1],  # left, bottom
}
FORMATS = {
    "jpg": {"quality": 100},
    "png": {},
    "tif": {},
    "lzw.tif": {"compression": "tiff_lzw"},
    "jpeg.tif": {"compression": "jpeg", "quality": 100},
    "webp": {"lossless": True, "exact": True},
}


def texture(height=24, width=32, seed=0):
    """A smooth picture without symmetries, so that a JPEG keeps it and each way of turning it differs."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 2)
    return np.clip(128 + 100 * noise / abs(noise).max(), 0, 255).astype(np.uint8)


def save(path, pixels, orientation=None, **options):
    image = Image.fromarray(pixels)
    exif = image.getexif()
    if orientation is not None:
        exif[274] = orientation
        options["exif"] = exif
    image.save(path, **options)
    return path


# ------------------------------------------------------------------------------------------------ orientation


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("orientation", SHOWN)
def test_exif_orientation(tmp_path, suffix, orientation):
    """Orientations x formats of docs/clips.md."""
    stored = [texture(seed=seed) for seed in range(3)]
    plain, turned = tmp_path / "plain", tmp_path / "turned"
    for folder, tag in ((plain, None), (turned, orientation)):
        folder.mkdir()
        for number, pixels in enumerate(stored):
            save(folder / f"{number}.{suffix}", pixels, tag, **FORMATS[suffix])
    shown = np.stack([SHOWN[orientation](frame) for frame in read_clip(plain, size=None)])
    assert shown.std() > 10
    paths = image_paths(turned)
    np.testing.assert_array_equal(read_clip(turned, size=None), shown)
    np.testing.assert_array_equal(read_frames(paths, None), shown)
    np.testing.assert_array_equal(read_image(paths[0]), shown[0])
    np.testing.assert_array_equal(read_frames(paths, None, box=(1, 2, 20, 15)), shown[:, 1:21, 2:17])
    np.testing.assert_array_equal(read_frames_and_digest(paths, shown.shape[1:])[0], shown)
    np.testing.assert_array_equal(
        describe(read_clip(turned, size=None), blocks=(2, 2)), describe(shown, blocks=(2, 2))
    )


def test_turned_before_resized(tmp_path):
    path = save(tmp_path / "x.png", texture(), 6)
    np.testing.assert_array_equal(read_image(path, (16, 10)), resize(SHOWN[6](texture()), (16, 10)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none(tmp_path, orientation):
    np.testing.assert_array_equal(read_image(save(tmp_path / "x.png", texture(), orientation)), texture())
    for exif in (b"Exif\0\0", b"Exif\0\0no TIFF", b"Exif\0\0II*\0\xff\xff\xff\xff"):
        Image.fromarray(texture()).save(tmp_path / "x.png", exif=exif)
        np.testing.assert_array_equal(read_image(tmp_path / "x.png"), texture())


def test_the_digest_is_of_the_bytes_however_they_are_shown(tmp_path):
    paths = [save(tmp_path / f"{k}.png", texture(seed=k), 6) for k in range(2)]
    assert read_frames_and_digest(paths, (8, 8))[1] == content_digest(paths)


def test_faces_to_simulate_are_shown_upright(tmp_path):
    for folder, tag in (("turned", 6), ("upright", None)):
        (tmp_path / folder).mkdir()
        for name in "12":
            pixels = texture(96, 96, int(name))
            save(tmp_path / folder / f"{name}.png", pixels if tag else SHOWN[6](pixels), tag)
    made = [
        simulate(tmp_path / f"out-{folder}", subjects=2, clips=5, faces=tmp_path / folder, n_jobs=1)
        for folder in ("turned", "upright")
    ]
    turned, upright = (sorted(root.rglob("*.jpg")) for root in made)
    assert len(turned) > 5
    assert [path.read_bytes() for path in turned] == [path.read_bytes() for path in upright]


# ------------------------------------------------------------------------------------------------------ pages


def save_pages(path, pages, **options):
    first, *others = (Image.fromarray(page) for page in pages)
    first.save(path, save_all=True, append_images=others, **options)
    return path


def test_a_tiff_of_several_pages_is_a_clip(tmp_path):
    pages = np.stack([texture(seed=seed) for seed in range(6)])
    path = save_pages(tmp_path / "x.tif", pages)
    np.testing.assert_array_equal(read_clip(path, size=None), pages)
    np.testing.assert_array_equal(read_frames([path], None), pages)
    np.testing.assert_array_equal(read_frames_and_digest([path], pages.shape[1:])[0], pages)
    (tmp_path / "clip").mkdir()
    for name in ("10", "9"):
        save_pages(tmp_path / "clip" / f"{name}.tif", pages[:3] if name == "9" else pages[3:])
    np.testing.assert_array_equal(read_clip(tmp_path / "clip", size=None), pages)
    with pytest.raises(ClipError, match=r"x\.tif has 6 pages; read_clip reads them as a clip"):
        read_image(path)


def test_a_folder_of_images_mixed_with_pages_is_refused(tmp_path):
    save_pages(tmp_path / "2.tif", [texture(), texture(seed=1)])
    for name in ("1.png", "3.png"):
        save(tmp_path / name, texture())
        with pytest.raises(ClipError, match=r"\.(tif|png) has (2 pages|one page) and [12]\.\w+ has "):
            read_clip(tmp_path)
        (tmp_path / name).unlink()


def test_one_image_is_a_clip_of_one_frame(tmp_path):
    for name in ("x.png", "x.tif", "x.webp"):
        path = save(tmp_path / name, texture(), **({"lossless": True} if name == "x.webp" else {}))
        np.testing.assert_array_equal(read_clip(path, size=None), texture()[None])


@pytest.mark.parametrize("first", [0, 1])
def test_thumbnails_in_a_tiff_are_no_pages(tmp_path, first):
    pages = [texture(), texture()[::4, ::4]]
    path = save_pages(tmp_path / "x.tif", pages[::-1] if first else pages, tiffinfo={254: 0})
    set_tag(path, 254, [1, 0] if first else [0, 1])
    np.testing.assert_array_equal(read_image(path), texture())
    np.testing.assert_array_equal(read_clip(path, size=None), texture()[None])


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_pages_are_turned_each(tmp_path, compression):
    pages = [texture(seed=seed) for seed in range(3)]
    path = save_pages(tmp_path / "x.tif", pages, tiffinfo={274: 1}, compression=compression)
    for turns in ([1, 2, 3], [4, 3, 1], [5, 6, 7], [8, 8, 5]):
        set_tag(path, 274, turns)
        expected = [SHOWN[turn](page) for turn, page in zip(turns, pages, strict=True)]
        np.testing.assert_array_equal(read_clip(path, size=None), expected)


def set_tag(path, tag, values):
    """Set a tag of each page of a little-endian TIFF to a value of its own."""
    data = bytearray(path.read_bytes())
    at = struct.unpack_from("<I", data, 4)[0]
    for value in values:
        count = struct.unpack_from("<H", data, at)[0]
        entries = {struct.unpack_from("<H", data, at + 2 + 12 * k)[0]: at + 10 + 12 * k for k in range(count)}
        struct.pack_into("<H", data, entries[tag], value)
        at = struct.unpack_from("<I", data, at + 2 + 12 * count)[0]
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_an_animation_is_a_clip_by_itself(tmp_path, suffix):
    pages = np.stack([texture(seed=seed) for seed in range(4)])
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    (tmp_path / "clip").mkdir()
    path = save_pages(tmp_path / "clip" / f"x.{suffix}", pages, duration=40, **options)
    np.testing.assert_allclose(read_clip(path, face=False, size=None).astype(int), pages, atol=1)
    with pytest.raises(ClipError, match=r"no face found"):  # cropped, as a video is
        read_clip(path)
    save(tmp_path / "clip" / "y.png", texture())
    for read in (read_clip, lambda folder: read_frames(image_paths(folder)), lambda folder: read_image(path)):
        with pytest.raises(ClipError, match=rf"x\.{suffix} is an animation of 4 frames: it is a clip"):
            read(tmp_path / "clip")


def test_the_picture_for_viewers_without_animation_is_not_in_the_clip(tmp_path):
    pages = np.stack([texture(seed=seed) for seed in range(4)])
    save_pages(tmp_path / "x.png", pages, default_image=True)
    np.testing.assert_array_equal(read_clip(tmp_path / "x.png", face=False, size=None), pages[1:])


# ------------------------------------------------------------------------------------------------------- junk


def test_what_is_no_image_is_passed_over(tmp_path):
    pixels = [texture(seed=seed) for seed in range(3)]
    for number, frame in enumerate(pixels):
        save(tmp_path / f"img{number}.jpg", frame, quality=100)
        (tmp_path / f"._img{number}.jpg").write_bytes(b"\0\5\x16\7 Mac OS X")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "notes.txt"):
        (tmp_path / name).write_bytes(b"\0")
    (tmp_path / "crop.jpg").mkdir()
    assert [path.name for path in image_paths(tmp_path)] == ["img0.jpg", "img1.jpg", "img2.jpg"]
    assert len(read_clip(tmp_path)) == 3
    for path in image_paths(tmp_path):
        path.unlink()
    with pytest.raises(ClipError, match="holds no images"):
        read_clip(tmp_path)


# ---------------------------------------------------------------------------------------- formats and depths


@pytest.mark.parametrize("suffix", ["bmp", "gif", "j2k", "jp2", "pgm", "png", "ppm", "tif", "webp"])
def test_formats_without_loss(tmp_path, suffix):
    options = {"webp": {"lossless": True, "exact": True}}.get(suffix, {})
    for number in range(3):
        save(tmp_path / f"{number}.{suffix}", texture(seed=number), **options)
    np.testing.assert_allclose(
        read_clip(tmp_path, size=None).astype(int),
        [texture(seed=seed) for seed in range(3)],
        atol=suffix == "webp",  # through colours
    )


@pytest.mark.parametrize("suffix", ["bmp", "gif", "png", "tif"])
def test_palettes_and_single_bits(tmp_path, suffix):
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (4, 3), dtype=np.uint8)
    places = rng.integers(0, 4, (9, 8), dtype=np.uint8)
    image = Image.fromarray(places)
    image.putpalette(colours.tobytes())
    image.save(tmp_path / f"palette.{suffix}")
    luma = colours @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(read_image(tmp_path / f"palette.{suffix}"), luma[places], atol=1)
    Image.fromarray(places > 1).save(tmp_path / f"bits.{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"bits.{suffix}"), np.where(places > 1, 255, 0))


DEEP = {
    "png": lambda path, frame: Image.fromarray(frame).save(path),
    "tif": lambda path, frame: Image.fromarray(frame).save(path),
    "pgm": lambda path, frame: path.write_bytes(b"P5 32 24 65535\n" + frame.astype(">u2").tobytes()),
}


@pytest.mark.parametrize("write", DEEP.values(), ids=list(DEEP))
@pytest.mark.parametrize("bits", [9, 10, 11, 12, 14, 15, 16])
def test_deep_grey_images_are_read_by_the_upper_eight_of_the_bits_they_fill(tmp_path, write, bits):
    rng = np.random.default_rng(bits)
    frames = rng.integers(0, 1 << bits, (3, 24, 32), dtype=np.uint16)
    frames[0] >>= 3  # a dark one, read before it is known how light the clip gets
    frames[2, 0, 0] = (1 << bits) - 1
    for number, frame in enumerate(frames):
        write(tmp_path / f"{number}.{'tif' if write is DEEP['tif'] else 'png'}", frame)
    filled = bits + bits % 2
    expected = (frames >> (filled - 8)).astype(np.uint8)
    paths = image_paths(tmp_path)
    np.testing.assert_array_equal(read_clip(tmp_path, size=None), expected)
    shown, digest = read_frames_and_digest(paths, (24, 32))
    np.testing.assert_array_equal(shown, expected)
    assert digest == content_digest(paths)
    np.testing.assert_array_equal(read_image(paths[2]), expected[2])
    for number, frame in enumerate(expected):
        save(tmp_path / f"{number}.tif", frame)
    np.testing.assert_array_equal(
        read_frames(paths, (10, 9)), read_frames(sorted(tmp_path.glob("?.tif")), (10, 9))
    )


def test_deep_pages_are_scaled_alike(tmp_path):
    pages = np.random.default_rng(0).integers(0, 4096, (4, 24, 32), dtype=np.uint16)
    pages[:2] >>= 4
    path = save_pages(tmp_path / "x.tif", pages)
    for read in (read_clip, read_frames_and_digest):
        frames = read(path, size=None) if read is read_clip else read([path], (24, 32))[0]
        np.testing.assert_array_equal(frames, pages >> 4)


def test_white_is_zero(tmp_path):
    frame = np.random.default_rng(0).integers(0, 65536, (24, 32), dtype=np.uint16)
    frame[0, :2] = 0, 65535
    path = tmp_path / "x.tif"
    Image.fromarray(frame).save(path)
    data = path.read_bytes()
    blackzero = struct.pack("<HHIHH", 262, 3, 1, 1, 0)
    assert blackzero in data
    path.write_bytes(data.replace(blackzero, struct.pack("<HHIHH", 262, 3, 1, 0, 0)))
    np.testing.assert_array_equal(read_image(path), (65535 - frame) >> 8)


def test_a_clip_of_deep_and_other_images_is_refused(tmp_path):
    save(tmp_path / "1.png", texture())
    save(tmp_path / "2.png", texture().astype(np.uint16) * 257)
    with pytest.raises(ClipError, match=r"2\.png has 16 bits a pixel and 1\.png has not"):
        read_clip(tmp_path)


# ----------------------------------------------------------------------------------------------- ways to fail


def png(width, height):
    """A PNG that says it is so large."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tiff(folder, tag, value):
    """A TIFF in colour one of whose tags has another value."""
    path = folder / "made.tif"
    save(path, np.stack([texture()] * 3, -1))
    set_tag(path, tag, [value])
    return path.read_bytes()


AVIF = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(40)
WAYS = {
    "a bomb that is warned of": png(10_000, 10_000),
    "a bomb": png(60_000, 60_000),
    "a compression that is not there": (259, 34_712),
    "a compression that nobody knows": (259, 999),
    "LAB": (262, 8),
    "AVIF": AVIF,
    "DDS": b"DDS \x7c\0\0\0" + bytes(140),
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    "nothing": b"",
}


@pytest.mark.parametrize("warn", ["ignore", "error"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_fail_is_a_clip_error_that_names_the_file(tmp_path, way, warn):
    data = WAYS[way] if isinstance(WAYS[way], bytes) else tiff(tmp_path, *WAYS[way])
    path = tmp_path / "bad.png"
    (tmp_path / "clip").mkdir()
    for copy in (path, tmp_path / "clip" / "bad.png"):
        copy.write_bytes(data)
    for read, named in (
        (read_image, path),
        (read_clip, path),
        (lambda path: read_frames([path]), path),
        (lambda path: read_frames_and_digest([path], (8, 8)), path),
        (lambda path: read_clip(path, face=True), path),
        (read_clip, tmp_path / "clip"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter(warn)
            message, _ = refusal(read, named)
        assert re.search(r"bad\.png (is|has) ", message)
        assert "\n" not in message


def refusal(read, *args, **options):
    """Return what the ClipError says, or nothing and what is read."""
    try:
        return "", read(*args, **options)
    except ClipError as error:
        return str(error), None


def test_only_regular_files_are_read(tmp_path):
    """The others may have no end, or wait for one who writes."""
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "waiting.png")
    for name in ("endless", "waiting"):
        path = tmp_path / f"{name}.png"
        video = tmp_path / f"{name}.mp4"
        video.symlink_to(path)
        for read in (
            read_image,
            read_clip,
            lambda path: read_frames([path]),
            lambda path: read_frames_and_digest([path], (8, 8)),
        ):
            with pytest.raises(ClipError, match=rf"{name}\.png is not a regular file"):
                read(path)
        with pytest.raises(ClipError, match=rf"{name}\.mp4 is not a regular file"):
            read_clip(video)
        with pytest.raises(OSError, match=rf"{name}\.png is not a regular file"):
            content_digest([path])
    with pytest.raises(ClipError, match=r"\.png is not a regular file"):
        read_clip(tmp_path)
    with pytest.raises(ClipError, match="is a folder"):
        read_image(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "absent.png")


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "x.png"
    with open(path, "wb") as file:
        file.write(png(8, 8))
        file.truncate((1 << 30) + 1)
    for read in (read_image, read_clip, lambda path: read_frames([path])):
        with pytest.raises(
            ClipError, match=r"x\.png has 1073741825 bytes; images of up to 1073741824 are read"
        ):
            read(path)


def whole_files():
    """Files of every format that Pillow writes."""
    Image.init()
    grey = Image.fromarray(texture())
    colour = Image.merge("RGB", [Image.fromarray(texture(seed=seed)) for seed in range(3)])
    kinds = [grey, colour, colour.quantize(32), grey.convert("1"), colour.convert("CMYK")]
    kinds += [Image.fromarray(texture().astype(np.uint16) * 257)]
    files = []
    for name in sorted(Image.SAVE):
        for image in kinds:
            files += written(image, name)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        files += written(colour, "TIFF", compression=compression)
    for name in ("TIFF", "GIF", "PNG", "WEBP"):
        files += written(grey, name, save_all=True, append_images=kinds[:2])
    return files


def written(image, name, **options):
    buffer = io.BytesIO()
    try:
        image.save(buffer, name, **options)
    except Exception:  # a format that does not have this kind of picture, or is not in this Pillow
        return []
    return [buffer.getvalue()]


def corrupted(rng, files):
    data = bytearray(files[rng.integers(len(files))])
    where = 200 if rng.random() < 0.5 else len(data)  # the header more often than its length asks for
    at = int(rng.integers(min(len(data), where)))
    how = rng.integers(4)
    if how == 0:
        for _ in range(rng.integers(1, 6)):
            data[rng.integers(min(len(data), where))] = rng.integers(256)
    elif how == 1:
        del data[at:]
    elif how == 2:
        other = files[rng.integers(len(files))]
        data[at:] = other[rng.integers(len(other)) :]
    else:
        data[at : at + rng.integers(1, 40)] = rng.bytes(rng.integers(0, 40))
    return bytes(data)


@pytest.mark.filterwarnings("ignore")
def test_nothing_but_clip_errors_escapes_from_corrupted_images(tmp_path):
    files = whole_files()
    assert len(files) > 60
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(3000):
        path = tmp_path / ("x.tif" if number % 2 else "x.png")
        path.write_bytes(corrupted(rng, files))
        message, _ = refusal(read_image, path) if number % 4 < 2 else refusal(read_clip, path, face=False)
        assert not message or str(path) in message, number
        refused += bool(message)
    assert 1000 < refused < 3000


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("suffix", "pages"),
    [(suffix, 1) for suffix in ("bmp", "gif", "j2k", "jp2", "jpg", "pgm", "png", "ppm", "tif", "webp")]
    + [(suffix, 4) for suffix in ("gif", "png", "tif", "webp")],
)
def test_an_image_cut_anywhere_is_told_or_whole(tmp_path, suffix, pages):
    """No place where the picture changes and nobody says so."""
    path = tmp_path / f"x.{suffix}"
    save_pages(path, [texture(seed=seed) for seed in range(pages)]) if pages > 1 else save(path, texture())
    data = path.read_bytes()
    whole = read_clip(path, face=False, size=None)
    for length in range(0, len(data), max(1, len(data) // 150)):
        path.write_bytes(data[:length])
        message, frames = refusal(read_clip, path, face=False, size=None)
        if message:
            assert str(path) in message
        else:
            np.testing.assert_array_equal(frames, whole)
