"""Semantic PNGs: the position of the category in the list, 255 for void."""

from __future__ import annotations

import numpy as np
from drawing import CATEGORIES, box, decoded, draw, id_map, regions, sizes
from hypothesis import given

from seem_data.annotations import Region
from seem_data.categories import Categories, Category
from seem_data.drawing.raster import RasterOptions, rasterize
from seem_data.encoding import panoptic, semantic


@given(regions, sizes)
def test_it_says_of_every_pixel_what_the_panoptic_one_says(found, size):
    encoded = panoptic.encode(draw(found, size), CATEGORIES)
    classes = decoded(semantic.encode(encoded, CATEGORIES))
    assert classes.dtype == np.uint8
    category_of = {segment.id: segment.category_id for segment in encoded.segments}
    positions = [category.id for category in CATEGORIES]
    ids = id_map(encoded).tolist()
    wanted = [[positions.index(category_of[i]) if i else 255 for i in row] for row in ids]
    assert classes.tolist() == wanted


def test_more_than_255_categories_need_16_bits():
    categories = Categories(
        [Category(k + 1, f"c{k}", (k % 256, k // 256, 1), True) for k in range(256)]
        + [Category(999, "last", (9, 9, 9), False)]
    )
    region = Region("last", (box(0, 0, 2, 4),))
    drawing = rasterize([region], (4, 4), categories, RasterOptions(), [])
    classes = decoded(semantic.encode(panoptic.encode(drawing, categories), categories))
    assert classes.dtype == np.uint16
    assert classes[0].tolist() == [256, 256, 65535, 65535]


def test_255_categories_fit_in_8_bits():
    categories = Categories([Category(k + 1, f"c{k}", (k % 256, k // 256, 1), True) for k in range(255)])
    drawing = rasterize([Region("c254", (box(0, 0, 2, 4),))], (4, 4), categories, RasterOptions(), [])
    classes = decoded(semantic.encode(panoptic.encode(drawing, categories), categories))
    assert classes[0].tolist() == [254, 254, 255, 255]
