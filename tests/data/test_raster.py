"""Regions become pixels by pycocotools' rule, in the stated order, and nothing is lost without a word."""

from __future__ import annotations

import numpy as np
import pytest
from drawing import CATEGORIES, box, coco_fill, draw, index_map, painted, polygon, polygons, regions, sizes
from hypothesis import given
from pycocotools import mask as coco_mask

from seem_data.annotations import UNLABELED, VOID, Bitmap, Polygon, Region, Sentence
from seem_data.problems import DataError, Problem

SQUARE = (20, 10)


def cup(*parts: Polygon | Bitmap, **more) -> Region:
    return Region("cup", parts, **more)


# Which pixels


def test_a_thousand_random_polygons_equal_pycocotools_to_the_pixel():
    rng = np.random.default_rng(0)
    for number in range(1000):
        width, height = rng.integers(1, 120, 2).tolist()
        points = rng.uniform(-30, 150, (rng.integers(3, 15), 2))
        if number % 3 == 1:
            points = np.round(points)  # on the grid, where rounding is decided
        if number % 3 == 2:
            points = np.round(points * 2) / 2
        if number % 10 == 0:
            points *= 20  # far outside
        truth = coco_mask.frPyObjects([points.ravel().tolist()], height, width)
        mask = index_map(draw([cup(Polygon(points))], (width, height))).astype(np.uint8)
        ours = coco_mask.encode(np.asfortranarray(mask[..., None]))
        if coco_mask.area(truth)[0]:
            assert coco_mask.iou(ours, truth, [0])[0, 0] == 1.0
        assert (mask == coco_mask.decode(truth)[..., 0]).all()


@given(polygons, sizes)
def test_holes_and_crossings_follow_the_even_odd_rule(part, size):
    assert (index_map(draw([cup(part)], size)) == coco_fill(part, *size)).all()


@given(regions, sizes)
def test_any_regions_equal_naive_painting(found, size):
    """Polygons, holes, several parts, bitmaps; later on top; outside clipped."""
    drawing = draw(found, size)
    truth = painted(found, *size)
    of_region = np.zeros(len(found) + 1, int)
    keys: dict[object, int] = {}
    for number, region in enumerate(found, start=1):
        category = CATEGORIES.find(region.label)
        assert category is not None
        merged = not category.isthing or region.group is not None
        key = (region.label, region.group if category.isthing else None) if merged else number
        of_region[number] = keys.setdefault(key, number)
    objects = of_region[truth]
    seen = np.unique(objects[objects > 0])
    assert len(drawing.segments) == len(seen)
    assert (index_map(drawing) == np.searchsorted(seen, objects) * (objects > 0) + (objects > 0)).all()
    for number, segment in enumerate(drawing.segments, start=1):
        rows, columns = np.nonzero(index_map(drawing) == number)
        left, top = columns.min(), rows.min()
        assert segment.area == len(rows)
        assert segment.bbox == (left, top, columns.max() - left + 1, rows.max() - top + 1)


def test_coordinates_far_away_cost_nothing():
    wide = polygon((-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9))
    assert draw([cup(wide)], SQUARE).segments[0].area == 200


def test_more_layers_than_bits_in_a_word():
    """170 regions, each partly hidden by the next one."""
    many = [cup(box(k % 60, k // 3, k % 60 + 9, k // 3 + 9)) for k in range(170)]
    drawing = draw(many, (70, 70))
    truth = painted(many, 70, 70)
    assert (np.unique(truth)[1:] > 0).sum() == len(drawing.segments)
    assert ((truth > 0) == (index_map(drawing) > 0)).all()
    assert len(np.unique(truth * 1000 + index_map(drawing))) == len(np.unique(truth))


def test_more_than_255_segments_get_a_wider_map():
    drawing = draw([cup(box(k % 20, k // 20, k % 20 + 1, k // 20 + 1)) for k in range(400)], (20, 20))
    assert drawing.stretches.value.dtype == np.uint16
    assert sorted(index_map(drawing).ravel().tolist()) == list(range(1, 401))


# Which segment


def test_stuff_is_one_segment_and_things_stay_apart():
    drawing = draw([Region("table", (box(x, 0, x + 5, 5),)) for x in (0, 10)], SQUARE)
    assert [(s.category.name, s.area) for s in drawing.segments] == [("table", 50)]
    assert len(draw([cup(box(x, 0, x + 5, 5)) for x in (0, 10)], SQUARE).segments) == 2


def test_a_group_joins_the_parts_of_one_object_but_not_of_another_category():
    first, second = box(0, 0, 5, 5), box(10, 0, 15, 5)
    both = [
        cup(first, group=1, sentences=(Sentence("mine"),)),
        cup(second, group=1, sentences=(Sentence("too"),)),
    ]
    joined = draw([*both, Region("plate", (box(0, 6, 5, 9),), group=1)], SQUARE)
    assert [(s.category.name, s.area) for s in joined.segments] == [("cup", 50), ("plate", 15)]
    assert [sentence.raw for sentence in joined.segments[0].sentences] == ["mine", "too"]


def test_crowds_of_a_category_are_one_segment_beside_its_things():
    crowd = [cup(box(x, 0, x + 3, 3), iscrowd=True) for x in (0, 5)]
    drawing = draw([*crowd, cup(box(10, 0, 13, 3))], SQUARE)
    assert [(s.iscrowd, s.area) for s in drawing.segments] == [(True, 18), (False, 9)]


def test_void_and_background_erase_and_void_counts_as_labelled():
    drawing = draw(
        [cup(box(0, 0, 10, 10)), Region(VOID, (box(5, 0, 12, 10),)), Region(UNLABELED, (box(0, 0, 2, 10),))],
        SQUARE,
    )
    assert drawing.segments[0].area == 30
    assert drawing.coverage == pytest.approx(100 / 200)


@pytest.mark.parametrize(("unlabeled", "areas"), [("void", [30]), ("table", [30, 170]), ("nearest", [200])])
def test_what_background_erases_is_filled_as_what_nobody_labelled(unlabeled, areas):
    hole = Region(UNLABELED, (box(0, 0, 7, 10),))
    drawing = draw([cup(box(0, 0, 10, 10)), hole], SQUARE, unlabeled=unlabeled)
    assert [segment.area for segment in drawing.segments] == areas


def test_background_erases_however_many_regions_lie_below():
    ground = [Region("table", (box(0, 0, 20, 10),))] * 60
    assert draw([*ground, Region(UNLABELED, (box(0, 0, 7, 10),))], SQUARE).segments[0].area == 130


# Who lies on top


def overlapping() -> list[Region]:
    return [
        cup(box(2, 2, 6, 6), where="small"),
        Region("table", (box(0, 0, 20, 10),), where="large"),
        Region("plate", (box(4, 2, 12, 8),), where="middle"),
    ]


@pytest.mark.parametrize(
    ("overlap", "areas"),
    [
        ("format", {"table": 152, "plate": 48}),
        ("small-on-top", {"cup": 16, "plate": 40, "table": 144}),
        ("category-priority", {"table": 200}),
    ],
)
def test_the_overlap_option_decides_who_is_seen(overlap, areas):
    drawing = draw(overlapping(), SQUARE, overlap=overlap)
    assert {s.category.name: s.area for s in drawing.segments} == areas


def test_z_goes_before_list_order():
    drawing = draw([cup(box(0, 0, 5, 5), z=2), Region("plate", (box(0, 0, 8, 5),), z=1)], SQUARE)
    assert {s.category.name: s.area for s in drawing.segments} == {"cup": 25, "plate": 15}


def test_overlaps_can_be_refused_and_all_are_named():
    with pytest.raises(DataError) as error:
        draw(overlapping(), SQUARE, overlap="error")
    assert [(p.code, p.where) for p in error.value.problems] == [("overlap", "small"), ("overlap", "large")]
    assert "48 pixel" in error.value.problems[1].message
    draw([cup(box(0, 0, 5, 5)), cup(box(5, 0, 8, 5))], SQUARE, overlap="error")  # touching is fine


# What leaves no trace


def test_what_is_dropped_is_counted_and_told():
    problems: list[Problem] = []
    drawing = draw(
        [
            cup(box(0, 0, 4, 4), where="hidden"),
            cup(box(30, 30, 40, 40), where="outside"),
            cup(polygon((1, 1), (9, 1), (5, 1)), where="thin"),
            cup(polygon((1, 1), (2, 2)), where="two points"),
            cup(polygon((1, 1), (float("nan"), 2), (5, 5)), where="nan"),
            cup(polygon((1, 1), (float("inf"), 2), (5, 5)), where="infinite"),
            cup(box(10, 0, 12, 1), where="small"),
            Region("plate", (box(0, 0, 10, 10),)),
        ],
        SQUARE,
        problems,
        min_area=3,
    )
    assert [s.category.name for s in drawing.segments] == ["plate"]
    assert drawing.dropped == {"broken": 3, "empty": 2, "hidden": 1, "small": 1}
    assert {(p.where, p.code, p.severity) for p in problems} == {
        ("hidden", "hidden-region", "warning"),
        ("outside", "empty-region", "warning"),
        ("thin", "empty-region", "warning"),
        ("two points", "few-points", "error"),
        ("nan", "bad-coordinate", "error"),
        ("infinite", "bad-coordinate", "error"),
        ("small", "small-region", "warning"),
    }


def test_a_bad_hole_does_not_cost_the_region():
    problems: list[Problem] = []
    part = Polygon(box(0, 0, 10, 10).outer, (np.array([[1.0, 1], [2, 2]]),))
    assert draw([cup(part)], SQUARE, problems).segments[0].area == 100
    assert [p.code for p in problems] == ["few-points"]


def test_what_lies_under_a_dropped_object_shows():
    drawing = draw([Region("table", (box(0, 0, 20, 10),)), cup(box(3, 3, 5, 5))], SQUARE, min_area=5)
    assert [(s.category.name, s.area) for s in drawing.segments] == [("table", 200)]


# What nobody labelled


def test_unlabelled_pixels_stay_void_and_low_coverage_is_told():
    problems: list[Problem] = []
    drawing = draw([cup(box(0, 0, 5, 10))], SQUARE, problems, min_coverage=0.5)
    assert drawing.coverage == 0.25
    assert (index_map(drawing) == 0).sum() == 150
    assert [(p.code, p.severity) for p in problems] == [("low-coverage", "warning")]
    assert "25.0%" in problems[0].message


@pytest.mark.parametrize("drawn_before", [True, False])
def test_unlabelled_pixels_become_the_named_stuff(drawn_before):
    table = [Region("table", (box(0, 0, 20, 2),))] if drawn_before else []
    drawing = draw(
        [*table, cup(box(0, 4, 5, 10)), Region(VOID, (box(19, 9, 20, 10),))], SQUARE, unlabeled="table"
    )
    assert {s.category.name: s.area for s in drawing.segments} == {"cup": 30, "table": 169}
    assert drawing.coverage < 1
    assert (index_map(drawing) == 0).sum() == 1
    assert drawing.runs.areas()[1:].tolist() == [s.area for s in drawing.segments]


def test_unlabelled_pixels_become_the_nearest_segment_but_void_stays():
    drawing = draw(
        [cup(box(0, 0, 2, 10)), Region("table", (box(18, 0, 20, 10),)), Region(VOID, (box(8, 0, 9, 10),))],
        SQUARE,
        unlabeled="nearest",
    )
    assert (index_map(drawing)[:, :8] == 1).all()
    assert (index_map(drawing)[:, 8] == 0).all()
    assert (index_map(drawing)[:, 11:] == 2).all()


@pytest.mark.parametrize("regions", [[], [Region(VOID, (box(0, 0, 9, 9),))]])
@pytest.mark.parametrize("unlabeled", ["void", "nearest", "table"])
def test_an_image_without_objects(regions, unlabeled):
    drawing = draw(regions, SQUARE, unlabeled=unlabeled)
    assert len(drawing.segments) == (unlabeled == "table")


@pytest.mark.parametrize(("name", "fault"), [("cup", "is a thing"), ("tabel", "is no category")])
def test_only_stuff_fills_the_unlabelled(name, fault):
    with pytest.raises(DataError, match=f"{fault}.*table, wall-other-merged"):
        draw([], SQUARE, unlabeled=name)
