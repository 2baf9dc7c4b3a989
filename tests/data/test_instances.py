"""COCO instances of the things: pycocotools reads the very pixels of the panoptic PNG."""

from __future__ import annotations

import json

import numpy as np
from drawing import CATEGORIES, box, draw, id_map, regions, sizes
from hypothesis import given
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from seem_data.annotations import Polygon, Region
from seem_data.encoding import instances, panoptic


@given(regions, sizes)
def test_masks_areas_and_boxes_are_those_of_the_pixels(found, size):
    encoded = panoptic.encode(draw(found, size), CATEGORIES)
    rows = json.loads(json.dumps(instances.rows(encoded)))
    things = [segment for segment in encoded.segments if CATEGORIES.by_id[segment.category_id].isthing]
    assert [row["segment_id"] for row in rows] == [segment.id for segment in things]
    for row in rows:
        mask = coco_mask.decode(row["segmentation"])
        assert (mask == (id_map(encoded) == row["segment_id"])).all()
        assert row["area"] == mask.sum() == coco_mask.area(row["segmentation"])
        assert row["bbox"] == coco_mask.toBbox(row["segmentation"]).tolist()
        # The one canonical RLE: what pycocotools makes of the mask.
        again = coco_mask.encode(np.asfortranarray(mask))
        assert row["segmentation"]["counts"] == again["counts"].decode()


def test_the_coco_api_loads_the_file_and_keeps_holes_and_crowds(tmp_path):
    ring = Polygon(box(1, 1, 9, 9).outer, (box(3, 3, 6, 6).outer,))
    found = [
        Region("table", (box(0, 0, 20, 10),)),
        Region("cup", (ring,)),
        Region("plate", (box(10, 0, 14, 4),), iscrowd=True),
    ]
    encoded = panoptic.encode(draw(found, (20, 10)), CATEGORIES)
    rows = [{"id": k, "image_id": 7, **row} for k, row in enumerate(instances.rows(encoded), start=1)]
    path = tmp_path / "instances.json"
    path.write_text(
        json.dumps(
            {
                "images": [{"id": 7, "file_name": "a.jpg", "width": 20, "height": 10}],
                "annotations": rows,
                "categories": CATEGORIES.as_coco(),
            }
        )
    )
    coco = COCO(str(path))
    cup, crowd = (coco.anns[k] for k in (1, 2))
    assert coco.annToMask(cup).sum() == 64 - 9
    assert coco.annToMask(cup)[4, 4] == 0
    assert (cup["iscrowd"], crowd["iscrowd"]) == (0, 1)
