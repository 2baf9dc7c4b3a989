"""How large the model sees a photo: as each of the original's test mappers does it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from seem_train.data.image_scale import GROUNDING, INTERACTIVE, OBJECTS

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


def test_phrases_see_photos_bilinearly_as_detectron2_scales_them() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (375, 500, 3), np.uint8)
    expected = np.asarray(Image.fromarray(photo).resize((683, 512), Image.Resampling.BILINEAR))
    assert np.array_equal(GROUNDING.apply(photo).permute(1, 2, 0).numpy(), expected)
