"""Panoptic PNGs: panopticapi's ids and colours, made deterministic; and read back."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from drawing import CATEGORIES, box, decoded, draw, id_map, regions, sizes
from hypothesis import given
from panopticapi.utils import IdGenerator, id2rgb, rgb2id
from PIL import Image

from seem_data.annotations import Region
from seem_data.categories import Categories, Category
from seem_data.encoding import panoptic
from seem_data.encoding.segment_ids import SegmentIds
from seem_data.layout import png
from seem_data.layout.pixels import read_id_map
from seem_data.problems import DataError


def write(path: Path, image: Image.Image | bytes) -> Path:
    if isinstance(image, Image.Image):
        image.save(path)
    else:
        path.write_bytes(image)
    return path


@given(regions, sizes)
def test_pixels_ids_areas_and_boxes_agree(found, size):
    encoded = panoptic.encode(draw(found, size), CATEGORIES)
    ids_seen = id_map(encoded)
    assert (rgb2id(decoded(encoded.png())) == ids_seen).all()
    assert (id2rgb(ids_seen) == decoded(encoded.png())).all()
    ids = [segment.id for segment in encoded.segments]
    assert len(set(ids)) == len(ids)
    assert set(np.unique(ids_seen)) - {0} == set(ids)
    for segment in encoded.segments:
        rows, columns = np.nonzero(ids_seen == segment.id)
        left, top = columns.min(), rows.min()
        assert segment.area == len(rows)
        assert segment.bbox == (left, top, columns.max() + 1 - left, rows.max() + 1 - top)


@given(regions, sizes)
def test_what_is_written_is_read(tmp_path_factory, found, size):
    encoded = panoptic.encode(draw(found, size), CATEGORIES)
    read = read_id_map(write(tmp_path_factory.getbasetemp() / "ids.png", encoded.png()))
    assert read.dtype == np.int32
    assert (read == id_map(encoded)).all()


def test_the_same_drawing_gives_the_same_bytes():
    found = [Region("cup", (box(x, 0, x + 1, 5),)) for x in range(40)]
    once, again = (panoptic.encode(draw(found, (40, 5)), CATEGORIES).png() for _ in range(2))
    assert once == again


def test_more_than_255_segments():
    found = [Region("cup", (box(k % 20, k // 20, k % 20 + 1, k // 20 + 1),)) for k in range(400)]
    encoded = panoptic.encode(draw(found, (20, 20)), CATEGORIES)
    ids_seen = id_map(encoded)
    assert len(np.unique(ids_seen)) == 400
    assert (rgb2id(decoded(encoded.png())) == ids_seen).all()


# Ids and colours


def test_stuff_and_the_first_thing_have_their_categorys_colour_as_in_panopticapi():
    theirs = IdGenerator({category.id: category.as_coco() for category in CATEGORIES})
    ours = SegmentIds(CATEGORIES)
    for category in CATEGORIES:
        assert ours.get_id(category.id) == theirs.get_id(category.id) == rgb2id(category.color)


@pytest.mark.parametrize("color", [(220, 20, 60), (255, 255, 255), (0, 0, 1), (0, 0, 142)])
def test_later_things_are_near_their_categorys_colour_and_no_two_alike(color):
    neighbours = [Category(k, f"stuff {k}", (color[0], color[1], color[2] ^ k), False) for k in range(2, 12)]
    categories = Categories([Category(1, "thing", color, True), *neighbours])
    ids = SegmentIds(categories)
    colors = [ids.get_id_and_color(1)[1] for _ in range(500)]
    assert colors[0] == color
    assert len(set(colors)) == 500
    assert not {(0, 0, 0), *(category.color for category in neighbours)} & set(colors)
    assert np.abs(np.array(colors) - color).max() <= 30


def test_ids_never_run_out_near_the_colour():
    """White has 31³ = 29,791 colours within reach; panopticapi's own search would never end after them."""
    ids = SegmentIds(Categories([Category(1, "thing", (255, 255, 255), True)]))
    found = {ids.get_id(1) for _ in range(30_500)}
    assert len(found) == 30_500
    assert 0 not in found


def test_stuff_twice_in_an_image_is_a_programming_error():
    ids = SegmentIds(CATEGORIES)
    ids.get_id(9)
    with pytest.raises(ValueError, match="merge them first"):
        ids.get_id(9)


def test_a_missing_panopticapi_is_told_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "panopticapi.utils", None)
    monkeypatch.delitem(sys.modules, "seem_data.encoding.segment_ids")
    with pytest.raises(DataError, match="pip install --no-deps panopticapi-lite"):
        panoptic.encode(draw([], (4, 4)), CATEGORIES)


# Reading


@pytest.mark.parametrize(
    ("mode", "found"),
    [("L", "8-bit grey"), ("P", "1-bit palette"), ("RGBA", "8-bit RGB with alpha"), ("I;16", "16-bit grey")],
)
def test_other_kinds_of_png_are_refused_by_name(tmp_path, mode, found):
    path = write(tmp_path / "ids.png", Image.new(mode, (4, 3)))
    with pytest.raises(DataError, match=f"ids.png: is a PNG of {found} pixels; .*8-bit RGB"):
        read_id_map(path)


def test_files_that_are_no_png_are_refused(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3)).save(buffer, "JPEG")
    with pytest.raises(DataError, match="is no PNG"):
        read_id_map(write(tmp_path / "a.png", buffer.getvalue()))
    with pytest.raises(DataError, match="is no PNG"):
        read_id_map(write(tmp_path / "empty.png", b""))
    with pytest.raises(DataError, match="No such file"):
        read_id_map(tmp_path / "missing.png")


def test_a_truncated_png_is_refused_or_read_never_a_crash(tmp_path):
    data = png.encode(np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8))
    with pytest.raises(DataError, match="cannot be decoded"):
        read_id_map(write(tmp_path / "cut.png", data[: len(data) // 2]))


def test_orientation_tags_do_not_turn_an_id_map(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 3), (7, 0, 0)).save(tmp_path / "turned.png", exif=exif)
    assert read_id_map(tmp_path / "turned.png").shape == (3, 4)
