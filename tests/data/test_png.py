"""PNG files: any reader sees the pixels that were written."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from seem_data.drawing.runs import stretches_of
from seem_data.layout import png

sides = st.integers(1, 40)
grey = st.tuples(sides, sides).flatmap(lambda shape: arrays.arrays(np.uint8, shape))
wide = st.tuples(sides, sides).flatmap(lambda shape: arrays.arrays(np.uint16, shape))
rgb = st.tuples(sides, sides).flatmap(lambda shape: arrays.arrays(np.uint8, (*shape, 3)))


@given(st.one_of(grey, wide, rgb))
def test_pillow_and_opencv_read_what_was_written(pixels):
    data = png.encode(pixels)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    with Image.open(io.BytesIO(data)) as image:
        assert (np.asarray(image) == pixels).all()
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    assert decoded.dtype == pixels.dtype
    assert (decoded[..., ::-1] == pixels if pixels.ndim == 3 else decoded == pixels).all()


@given(
    arrays.arrays(np.uint8, st.tuples(sides, sides), elements=st.integers(0, 3)),
    st.sampled_from([(np.uint8, (4,)), (np.uint16, (4,)), (np.uint8, (4, 3))]),
    st.integers(0, 2**32 - 1),
)
def test_stretches_of_a_map_become_the_same_file_as_its_pixels(labels, kind, seed):
    dtype, shape = kind
    table = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    stretches = stretches_of(np.ascontiguousarray(labels.T))
    assert png.encode_changes(png.Changes.of(stretches), table) == png.encode(table[labels])


def test_views_that_are_not_contiguous_are_written_as_they_look():
    pixels = np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3)[::-1, ::2, ::-1]
    with Image.open(io.BytesIO(png.encode(pixels))) as image:
        assert (np.asarray(image) == pixels).all()


def test_label_maps_become_small():
    labels = np.kron(np.arange(64, dtype=np.uint8).reshape(8, 8), np.ones((60, 80), np.uint8))
    assert len(png.encode(labels)) < labels.size / 50


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4), np.int32),
        np.zeros((0, 4), np.uint8),
    ],
)
def test_other_arrays_are_refused(pixels):
    with pytest.raises(ValueError, match="cannot write"):
        png.encode(pixels)


def test_the_header_tells_size_and_kind():
    assert png.read_header(png.encode(np.zeros((3, 5), np.uint16))) == (5, 3, 16, 0)
    assert png.read_header(png.encode(np.zeros((3, 5, 3), np.uint8))) == (5, 3, 8, 2)
    assert png.read_header(b"\xff\xd8 no png at all, but long enough to be one") is None
    assert png.read_header(b"") is None
