"""Whatever a user has at hand becomes upright 8-bit RGB pixels, or one clear sentence."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from seem_train.errors import UserError
from seem_train.prediction.finding import find_photos
from seem_train.prediction.photo import open_mask, open_photo


def _photo(height: int = 6, width: int = 9) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_a_file_an_array_a_pillow_image_and_a_tensor_are_the_same_photo(tmp_path: Path) -> None:
    photo = _photo()
    Image.fromarray(photo).save(tmp_path / "a.png")
    tensor = torch.from_numpy(photo).permute(2, 0, 1)
    for source in (str(tmp_path / "a.png"), tmp_path / "a.png", photo, Image.fromarray(photo), tensor):
        assert np.array_equal(open_photo(source), photo)


def test_exif_turns_the_photo_as_viewers_do(tmp_path: Path) -> None:
    photo = np.zeros((20, 40, 3), np.uint8)
    photo[:10, :10] = 255  # the top left corner as stored
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise
    Image.fromarray(photo).save(tmp_path / "turned.png", exif=exif)
    shown = open_photo(tmp_path / "turned.png")
    assert shown.shape == (40, 20, 3)
    assert shown[2, 17].min() > 250  # … is the top right corner as shown
    assert shown[2, 2].max() < 5


def test_grey_palette_and_one_bit_photos_become_rgb(tmp_path: Path) -> None:
    grey = _photo()[..., 0]
    for number, image in enumerate(
        [Image.fromarray(grey), Image.fromarray(_photo()).convert("P"), Image.fromarray(grey > 99)]
    ):
        image.save(tmp_path / f"{number}.png")
        assert np.array_equal(open_photo(tmp_path / f"{number}.png"), np.asarray(image.convert("RGB")))
    assert np.array_equal(open_photo(grey), np.repeat(grey[..., None], 3, 2))
    assert np.array_equal(open_photo(grey[..., None]), np.repeat(grey[..., None], 3, 2))
    assert np.array_equal(open_photo(torch.from_numpy(grey)), np.repeat(grey[..., None], 3, 2))


def test_transparent_pixels_are_laid_on_white(tmp_path: Path) -> None:
    layer = np.zeros((4, 4, 4), np.uint8)
    layer[0, 0] = (200, 10, 10, 255)
    layer[1, 1] = (0, 0, 0, 128)
    Image.fromarray(layer).save(tmp_path / "layer.png")
    for source in (layer, tmp_path / "layer.png"):
        shown = open_photo(source)
        assert shown[0, 0].tolist() == [200, 10, 10]
        assert shown[3, 3].tolist() == [255, 255, 255]
        assert abs(int(shown[1, 1, 0]) - 127) <= 1


def test_sixteen_bits_are_scaled_and_dark_ones_refused(tmp_path: Path) -> None:
    deep = np.array([[0, 257, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert open_photo(deep)[0, :, 0].tolist() == [0, 1, 255]
    assert open_photo(tmp_path / "deep.png")[0, :, 0].tolist() == [0, 1, 255]
    with pytest.raises(UserError, match="come out black"):
        open_photo(deep // 100)


def test_floats_are_taken_as_shares_or_as_levels() -> None:
    assert open_photo(np.array([[0.0, 1.0]]))[0, :, 0].tolist() == [0, 255]
    assert open_photo(np.array([[0.0, 128.0]]))[0, :, 0].tolist() == [0, 128]
    with pytest.raises(UserError, match="0 to 1, or 0 to 255"):
        open_photo(np.array([[-1.0, 1.0]]))
    # What an enlargement overshoots by is cut off; the photo does not turn black for it.
    assert open_photo(np.array([[-0.01, 0.5, 1.0000001, 1.04]]))[0, :, 0].tolist() == [0, 128, 255, 255]
    assert open_photo(np.array([[-3.0, 128.0, 256.5]]))[0, :, 0].tolist() == [0, 128, 255]
    for between in (1.2, 3.0, 15.0):  # neither: nobody can tell
        with pytest.raises(UserError, match=f"from 0 to {between:g}.*0 to 1, or 0 to 255"):
            open_photo(np.array([[0.0, between]], np.float32))
    with pytest.raises(UserError, match="NaN"):
        open_photo(np.array([[np.nan, 1.0]]))


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_dark_colour_photos_of_sixteen_bits_are_refused_as_grey_ones_are(tmp_path: Path, name: str) -> None:
    deep = np.random.default_rng(0).integers(0, 4096, (4, 6, 3)).astype(np.uint16)  # a camera's 12 bits
    cv2.imwrite(str(tmp_path / name), deep)
    with pytest.raises(UserError, match=f"{name}: has 16-bit values .* come out black"):
        open_photo(tmp_path / name)
    cv2.imwrite(str(tmp_path / name), deep * 16)
    shown = open_photo(tmp_path / name)
    assert np.abs(shown.astype(int) - deep[..., ::-1] // 16).max() <= 1


def test_colour_tiffs_of_floats_are_read(tmp_path: Path) -> None:
    shares = np.random.default_rng(0).random((4, 6, 3)).astype(np.float32)
    cv2.imwrite(str(tmp_path / "shares.tif"), shares)
    cv2.imwrite(str(tmp_path / "grey.tif"), shares[..., 0])
    assert np.array_equal(
        open_photo(tmp_path / "shares.tif"), (shares[..., ::-1] * 255 + 0.5).astype(np.uint8)
    )
    assert np.array_equal(
        open_photo(tmp_path / "grey.tif")[..., 0], (shares[..., 0] * 255 + 0.5).astype(np.uint8)
    )
    cv2.imwrite(str(tmp_path / "heights.tif"), shares * 5000)
    with pytest.raises(UserError, match=r"heights\.tif: floating-point pixels go from"):
        open_photo(tmp_path / "heights.tif")
    cut = (tmp_path / "shares.tif").read_bytes()[:60]
    (tmp_path / "shares.tif").write_bytes(cut)
    with pytest.raises(UserError, match=r"damaged|cannot be decoded"):
        open_photo(tmp_path / "shares.tif")


def test_photos_of_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif"):
        Image.fromarray(_photo(40, 50)).save(tmp_path / name)
    cv2.imwrite(str(tmp_path / "b.tif"), np.zeros((40, 50, 3), np.float32))
    for name in ("a.png", "a.tif", "b.tif"):
        with pytest.raises(UserError, match=rf"{name}: has 2,000 pixels, more than 1,999"):
            open_photo(tmp_path / name, max_pixels=1999)
        assert open_photo(tmp_path / name, max_pixels=2000).shape == (40, 50, 3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_named_pipe_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UserError, match="is no regular file"):
        open_photo(tmp_path / "pipe.jpg")
    with pytest.raises(UserError, match="is no regular file"):
        open_mask(tmp_path / "pipe.jpg")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is no image"),
        (b"hello", "is no image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 20, "is no image|cannot"),
    ],
)
def test_damaged_files_are_told_in_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(UserError, match=sentence) as caught:
        open_photo(tmp_path / "bad.png")
    assert str(tmp_path / "bad.png") in str(caught.value)


def test_truncated_photos_are_refused(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        Image.fromarray(_photo(64, 64)).save(tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-300])
        with pytest.raises(UserError, match="cannot be decoded"):
            open_photo(tmp_path / name)


def test_what_is_no_photo_is_refused(tmp_path: Path) -> None:
    for source, sentence in [
        (tmp_path / "none.png", "no such file"),
        (tmp_path, "is a folder"),
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
        (np.zeros((4, 5, 2), np.uint8), r"\[4, 5, 2\]"),
        (np.zeros(4, np.uint8), "pixels must be"),
        (7, "not int"),
    ]:
        with pytest.raises(UserError, match=sentence):
            open_photo(source)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32, np.float32, np.bool_]),
        arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
    )
)
def test_any_array_is_a_photo_or_a_sentence(pixels: np.ndarray) -> None:
    try:
        photo = open_photo(pixels)
    except UserError as error:
        assert str(error)
    else:
        assert photo.dtype == np.uint8
        assert photo.shape == (*pixels.shape[:2], 3)


def test_folders_patterns_and_files_are_found_once_and_sorted(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.jpg", "a.PNG", "deep/c.webp", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    shown = [p.relative_to(tmp_path).as_posix() for p in find_photos([str(tmp_path)])]
    assert shown == ["a.PNG", "b.jpg", "deep/c.webp"]
    assert find_photos([str(tmp_path / "b.jpg"), str(tmp_path / "*.jpg")]) == [tmp_path / "b.jpg"]
    assert find_photos([str(tmp_path / "notes.txt")]) == [tmp_path / "notes.txt"]  # named: taken at its word


def test_all_names_that_lead_nowhere_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        find_photos([str(tmp_path), str(tmp_path / "x.jpg"), str(tmp_path / "*.gif")])
    assert len(str(caught.value).splitlines()) == 3
