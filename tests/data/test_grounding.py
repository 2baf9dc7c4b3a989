"""Grounding annotations, decoded as the original's and the fork's loaders do it, are the id map's masks."""

from __future__ import annotations

import json

import numpy as np
from drawing import CATEGORIES, box, decode, draw, id_map, polygon, regions, sizes
from hypothesis import given

from seem_data.annotations import Polygon, Region, Sentence
from seem_data.encoding import grounding, panoptic


def rows_of(found: list[Region], size: tuple[int, int]):
    encoded = panoptic.encode(draw(found, size), CATEGORIES)
    said = [(*segment.sentences, Sentence("it", "name")) for segment in encoded.drawing.segments]
    return encoded, json.loads(json.dumps(grounding.rows(encoded, said)))


@given(regions, sizes)
def test_both_loaders_decode_every_row_to_its_mask(found, size):
    width, height = size
    encoded, rows = rows_of(found, size)
    assert [row["segment_id"] for row in rows] == [segment.id for segment in encoded.segments]
    for row in rows:
        # The fork skips objects whose first polygon has up to seven numbers.
        assert len(row["segmentation"][0]) > 7
        assert all(len(numbers) >= 8 and len(numbers) % 2 == 0 for numbers in row["segmentation"])
        # Both: pycocotools, summed over the polygons without clipping.
        mask = decode(row["segmentation"], width, height)
        truth = id_map(encoded) == row["segment_id"]
        assert mask.max() == 1
        assert (mask & truth).sum() / (mask | truth).sum() >= 0.999
        assert (mask == truth).all()  # in fact exact
        areas = [decode([numbers], width, height).sum() for numbers in row["segmentation"]]
        assert areas == sorted(areas, reverse=True)
        assert sum(areas) == row["area"]


def test_holes_islands_parts_and_crowds():
    ring = Polygon(box(2, 2, 40, 40).outer, (box(8, 8, 34, 34).outer, box(16, 16, 24, 24).outer))
    found = [
        Region("table", (box(0, 0, 100, 60),), sentences=(Sentence("the bar"),)),
        Region("cup", (ring, box(50, 2, 60, 12)), iscrowd=True),
        Region("plate", (polygon((70, 5), (90, 8), (75, 30)),)),
    ]
    encoded, rows = rows_of(found, (100, 60))
    assert [len(row["segmentation"]) for row in rows] == [2, 3, 1]  # the table shows within the ring, too
    for row in rows:
        truth = id_map(encoded) == row["segment_id"]
        assert (decode(row["segmentation"], 100, 60) == truth).all()
        rows_, columns = np.nonzero(truth)
        assert row["bbox"] == [
            columns.min(),
            rows_.min(),
            np.ptp(columns) + 1,
            np.ptp(rows_) + 1,
        ]
    assert [row["iscrowd"] for row in rows] == [0, 1, 0]
    assert rows[0]["sentences"] == [{"raw": "the bar", "kind": "own"}, {"raw": "it", "kind": "name"}]


def test_segments_without_sentences_have_no_row():
    encoded = panoptic.encode(
        draw([Region("cup", (box(0, 0, 5, 5),)), Region("table", (box(6, 0, 9, 9),))], (9, 9)), CATEGORIES
    )
    assert grounding.rows(encoded, [(), ()]) == []
    [row] = grounding.rows(encoded, [(), (Sentence("the table", "name"),)])
    assert row["category_id"] == 9
