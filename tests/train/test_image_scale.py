"""How large the model sees a photo: as each of the original's test mappers does it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from seem_train.data.image_scale import GROUNDING, INTERACTIVE, OBJECTS, Scale

#: (height, width) of photos whose sides the two ways round differently, and of long ones
SIZES = [(240, 320), (321, 500), (375, 500), (333, 1000), (1000, 333), (100, 900), (640, 480)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_clicks_see_photos_as_torchvision_scales_them(height: int, width: int) -> None:
    theirs = transforms.Resize(800, interpolation=transforms.InterpolationMode.BICUBIC, max_size=1333)
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    expected = np.asarray(theirs(Image.fromarray(photo)))
    assert np.array_equal(INTERACTIVE.apply(photo).permute(1, 2, 0).numpy(), expected)


def test_the_issues_example_is_rounded_down() -> None:
    assert INTERACTIVE.size(240, 320) == (800, 1066)
    assert OBJECTS.size(240, 320) == (800, 1067)


def shortest_edge(height: int, width: int, short: int, longest: int) -> tuple[int, int]:
    """detectron2's `ResizeShortestEdge.get_output_shape`, as it is written there."""
    size = short * 1.0
    scale = size / min(height, width)
    newh, neww = (size, scale * width) if height < width else (scale * height, size)
    if max(newh, neww) > longest:
        scale = longest * 1.0 / max(newh, neww)
        newh, neww = newh * scale, neww * scale
    return int(newh + 0.5), int(neww + 0.5)


@pytest.mark.parametrize("scale", [OBJECTS, GROUNDING])
def test_objects_and_phrases_see_photos_as_large_as_detectron2_makes_them(scale: Scale) -> None:
    sides = [44, 88, 176, 248, 143, 806, *range(32, 1400, 23)]
    for height, width in itertools.product(sides, sides):
        expected = shortest_edge(height, width, scale.short, scale.longest)
        assert scale.size(height, width) == expected, (height, width)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_phrases_see_photos_bilinearly_as_detectron2_scales_them(height: int, width: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    rows, columns = shortest_edge(height, width, 512, 1024)
    expected = np.asarray(Image.fromarray(photo).resize((columns, rows), Image.Resampling.BILINEAR))
    assert np.array_equal(GROUNDING.apply(photo).permute(1, 2, 0).numpy(), expected)


@pytest.mark.filterwarnings("error")
def test_a_photo_that_is_only_read_and_has_the_size_already_is_copied() -> None:
    photo = np.zeros((64, 64, 3), np.uint8)
    photo.flags.writeable = False
    Scale.of(64).apply(photo)[:] = 1
    assert not photo.any()
