"""Photos: headers, orientation, conversions and refusals, and names that must not leave their folder."""

from __future__ import annotations

import io
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from reading import make_photo

from seem_data.images import (
    Header,
    OpenPhoto,
    as_shown,
    check_complete,
    read_header,
    read_rgb,
    resolve_inside,
)
from seem_data.problems import DataError

ORIENTATION = 0x0112


def code_of(call, *arguments) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0].code


def with_orientation(path: Path, pixels: np.ndarray, orientation: int) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


# Headers


def test_a_header_tells_the_size_as_stored_and_as_shown(tmp_path):
    path = with_orientation(tmp_path / "a.jpg", np.zeros((30, 40, 3), np.uint8), 6)
    header = read_header(path)
    assert header == Header(40, 30, 6, "RGB", "JPEG")
    assert header.size("ignored") == (40, 30)
    assert header.size("applied") == (30, 40)
    assert not header.is_plain


def test_a_header_is_read_without_decoding(tmp_path):
    path = make_photo(tmp_path / "a.png", (64, 64))
    path.write_bytes(path.read_bytes()[:60])  # the header and the first pixels
    assert read_header(path).size("ignored") == (64, 64)
    assert code_of(read_rgb, path) == "bad-image"


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp", "tiff", "gif", "ppm"])
def test_any_format_is_opened(tmp_path, suffix):
    path = make_photo(tmp_path / f"a.{suffix}", (40, 30))
    assert read_header(path).size("applied") == (40, 30)
    assert read_rgb(path).shape == (30, 40, 3)


def test_embedded_photos_are_bytes():
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4)).save(buffer, "PNG")
    assert read_header(buffer.getvalue()).size("applied") == (5, 4)
    assert code_of(read_header, b"no image") == "bad-image"


@pytest.mark.parametrize(
    ("content", "code"), [(None, "missing-image"), (b"", "bad-image"), (b"\xff\xd8\xff", "bad-image")]
)
def test_unreadable_photos_are_problems(tmp_path, content, code):
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    assert code_of(read_header, path) == code


def png_without_pixels(width: int, height: int) -> bytes:
    def chunk(content: bytes) -> bytes:
        length, checksum = len(content) - 4, zlib.crc32(content)
        return length.to_bytes(4, "big") + content + checksum.to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR" + size + bytes((8, 2, 0, 0, 0))) + chunk(b"IDAT")


def test_a_decompression_bomb_is_refused_by_its_header():
    assert code_of(read_header, png_without_pixels(20000, 20000)) == "image-too-large"


def test_a_hundred_megapixels_are_no_bomb(recwarn):
    assert read_header(png_without_pixels(10000, 10000)).size("applied") == (10000, 10000)
    assert not recwarn.list


def test_a_truncated_photo_is_found_without_full_decoding(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    for name in ("a.jpg", "a.png"):
        path = tmp_path / name
        Image.fromarray(noise).save(path)
        check_complete(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert code_of(check_complete, path) == "bad-image"
        assert code_of(read_rgb, path) == "bad-image"


@pytest.mark.parametrize("exif", ["applied", "ignored"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_a_photo_opened_once_gives_its_header_and_its_pixels(tmp_path, suffix, exif):
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    path = with_orientation(tmp_path / f"a.{suffix}", pixels, 6)
    opened = OpenPhoto(path.read_bytes(), "a")
    assert opened.header == read_header(path)
    assert (opened.small(40, exif) == read_rgb(path, exif)).all()


def test_a_small_copy_of_a_jpeg_is_turned_too_and_never_one_of_a_part(tmp_path):
    path = with_orientation(tmp_path / "a.jpg", np.full((320, 640, 3), 90, np.uint8), 6)
    assert OpenPhoto(path.read_bytes(), "a").small(80, "applied").shape == (80, 40, 3)
    half = OpenPhoto(path.read_bytes()[: path.stat().st_size // 2], "a")
    assert half.header.size("applied") == (320, 640)
    assert code_of(half.small, 80, "applied") == "bad-image"
    assert code_of(OpenPhoto, b"no image", "a") == "bad-image"


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_as_exif_says(tmp_path, orientation):
    stored = np.zeros((2, 3, 3), np.uint8)
    stored[0, 0] = 255  # a mark in the corner that comes first
    path = with_orientation(tmp_path / "a.png", stored, orientation)
    corner = {1: (0, 0), 2: (0, 2), 3: (1, 2), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (2, 1), 8: (2, 0)}
    turned = read_rgb(path, "applied")
    assert turned.shape == ((2, 3, 3) if orientation < 5 else (3, 2, 3))
    assert tuple(np.argwhere(turned[:, :, 0])[0]) == corner[orientation]
    assert (read_rgb(path, "ignored") == stored).all()
    assert read_header(path).size("applied") == (turned.shape[1], turned.shape[0])


def test_an_orientation_that_does_not_exist_is_ignored(tmp_path):
    path = with_orientation(tmp_path / "a.jpg", np.zeros((2, 3, 3), np.uint8), 42)
    assert read_header(path).orientation == 1


def test_the_size_an_annotation_claims_decides_between_both_views():
    turned = Header(40, 30, 6, "RGB", "JPEG")
    assert as_shown(turned, None, "applied") == "applied"
    assert as_shown(turned, (40, 30), "applied") == "ignored"
    assert as_shown(turned, (30, 40), "ignored") == "applied"
    assert as_shown(Header(40, 30, 3, "RGB", "JPEG"), (40, 30), "ignored") == "ignored"
    assert code_of(as_shown, turned, (41, 30), "applied") == "size-mismatch"


# What becomes of the pixels


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("CMYK", (0, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("LA", (10, 0), (255, 255, 255)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 32896, (128, 128, 128)),
    ],
)
def test_modes_are_converted(tmp_path, mode, value, expected):
    path = tmp_path / "a.tiff"
    Image.new(mode, (3, 2), value).save(path)
    assert read_rgb(path).tolist() == [[list(expected)] * 3] * 2
    assert not read_header(path).is_plain


def test_palettes_are_looked_up_and_their_transparency_is_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([9, 8, 7, 200, 100, 50])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "opaque.png")
    image.save(tmp_path / "clear.png", transparency=1)
    assert read_rgb(tmp_path / "opaque.png").tolist() == [[[9, 8, 7], [200, 100, 50]]]
    assert read_rgb(tmp_path / "clear.png").tolist() == [[[9, 8, 7], [255, 255, 255]]]


@pytest.mark.parametrize("image", [Image.new("F", (3, 2), 0.5), Image.new("I", (3, 2), 70000)])
def test_modes_without_agreed_conversion_are_refused(tmp_path, image):
    image.save(tmp_path / "a.tiff")
    assert code_of(read_rgb, tmp_path / "a.tiff") == "image-mode"


def test_twelve_bits_in_sixteen_are_refused_rather_than_read_as_black(tmp_path):
    Image.new("I;16", (3, 2), 4095).save(tmp_path / "a.png")
    assert code_of(read_rgb, tmp_path / "a.png") == "image-mode"


# Names


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../a.jpg",
        "b/../../a.jpg",
        "..\\a.jpg",
        "C:\\photos\\a.jpg",
        "c:a.jpg",
        "\\\\host\\a.jpg",
    ],
)
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    assert code_of(resolve_inside, tmp_path, name) == "unsafe-path"


@pytest.mark.parametrize("name", ["", ".", "./", "a\0.jpg", "b/.."])
def test_names_of_no_file_are_refused(tmp_path, name):
    assert code_of(resolve_inside, tmp_path, name) == "bad-path"


@pytest.mark.parametrize("name", ["b/a c.jpg", "b\\a c.jpg", "./b/a c.jpg", "x/../b/a c.jpg"])
def test_slashes_of_both_kinds_and_spaces_are_fine(tmp_path, name):
    make_photo(tmp_path / "b" / "a c.jpg")
    assert resolve_inside(tmp_path, name) == tmp_path / "b" / "a c.jpg"


@pytest.mark.parametrize(("on_disk", "asked"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_are_found_in_either_normal_form(tmp_path, on_disk, asked):
    there = make_photo(tmp_path / unicodedata.normalize(on_disk, "Küche é.png"))
    assert resolve_inside(tmp_path, unicodedata.normalize(asked, "Küche é.png")).samefile(there)


@given(st.text(max_size=30) | st.lists(st.sampled_from(["..", ".", "a", "", "C:", "\\"])).map("/".join))
def test_no_name_at_all_leads_outside(name):
    folder = Path("/photos/of mine")
    try:
        path = resolve_inside(folder, name)
    except DataError:
        return
    assert ".." not in path.parts
    assert path.is_relative_to(folder) and path != folder
