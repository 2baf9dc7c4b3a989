"""Outlines fill to exactly the pixels they were traced from, and straight edges come back as drawn."""

from __future__ import annotations

import numpy as np
from drawing import box, decode, draw, index_map, polygon, regions, sizes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from seem_data.annotations import Polygon, Region
from seem_data.drawing.keyholes import keyhole
from seem_data.drawing.outlines import Piece, trace, trace_all
from seem_data.drawing.runs import runs_of

label_maps = st.tuples(st.integers(1, 18), st.integers(1, 18)).flatmap(
    lambda shape: arrays.arrays(np.uint8, shape, elements=st.integers(0, 3))
)


def fill(parts: list[Piece], width: int, height: int) -> np.ndarray:
    return decode([part.polygon().ravel().tolist() for part in parts], width, height)


def connected(mask: np.ndarray) -> int:
    """How many pieces a mask has, pixels joined by their sides, counted naively."""
    left = {tuple(pixel) for pixel in np.argwhere(mask).tolist()}
    pieces = 0
    while left:
        pieces += 1
        todo = [left.pop()]
        while todo:
            row, column = todo.pop()
            beside = {(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)} & left
            left -= beside
            todo += beside
    return pieces


@settings(max_examples=300)
@given(label_maps)
def test_any_map_is_its_outlines_filled(labels):
    """Islands, holes, islands in holes, pixels that touch at corners: noise has them all."""
    height, width = labels.shape
    outlines = trace(runs_of(np.ascontiguousarray(labels.T), 3))
    for number, parts in enumerate(outlines, start=1):
        mask = labels == number
        assert len(parts) == connected(mask)
        assert [part.area for part in parts] == sorted((part.area for part in parts), reverse=True)
        if parts:
            assert (fill(parts, width, height) == mask).all()
            for part in parts:
                assert (fill([part], width, height) <= 1).all()
                assert fill([part], width, height).sum() == part.area


@given(st.lists(st.tuples(regions, st.sampled_from([(20, 15), (7, 30)])), max_size=5))
def test_maps_traced_together_have_the_outlines_that_each_has_alone(found):
    drawings = [draw(some, size) for some, size in found]
    together = trace_all([(drawing.runs, drawing.layers) for drawing in drawings])
    for drawing, parts in zip(drawings, together, strict=True):
        assert _points(parts) == _points(trace(drawing.runs, drawing.layers))


def _points(segments: list[list[Piece]]) -> list[list[tuple[int, list[list[list[float]]]]]]:
    return [
        [(part.area, [ring.tolist() for ring in (part.outer, *part.holes)]) for part in parts]
        for parts in segments
    ]


@given(regions, sizes)
def test_any_drawing_is_its_outlines_filled(found, size):
    drawing = draw(found, size)
    for number, parts in enumerate(trace(drawing.runs, drawing.layers), start=1):
        assert (fill(parts, *size) == (index_map(drawing) == number)).all()
        for part in parts:
            for ring in (part.outer, *part.holes):
                assert (ring >= 0).all()
                assert (ring <= size).all()
            assert len(part.polygon()) >= 4


def test_a_polygon_that_nothing_covers_comes_back():
    points = np.array([[10.2, 5.0], [41.4, 17.6], [30.0, 44.8], [8.4, 31.0]])
    drawing = draw([Region("cup", (Polygon(points),))], (60, 60))
    [[part]] = trace(drawing.runs, drawing.layers)
    assert sorted(part.outer.tolist()) == sorted(points.tolist())


def test_a_triangle_gets_a_fourth_point_that_changes_nothing():
    drawing = draw([Region("cup", (polygon((5, 5), (30, 9), (12, 40)),))], (50, 50))
    [[part]] = trace(drawing.runs, drawing.layers)
    assert (len(part.outer), len(part.polygon())) == (3, 4)
    assert (fill([part], 50, 50) == index_map(drawing)).all()


def test_straight_edges_make_outlines_short_where_objects_cover_each_other():
    rng = np.random.default_rng(3)
    found = []
    for _ in range(10):
        angle, radius = np.sort(rng.uniform(0, 2 * np.pi, 12)), rng.uniform(40, 70, 12)
        ring = rng.uniform(80, 240, 2) + np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
        found.append(Region("cup", (Polygon(ring),)))
    drawing = draw(found, (320, 320))

    def points(outlines: list[list[Piece]]) -> int:
        return sum(len(part.polygon()) for parts in outlines for part in parts)

    assert points(trace(drawing.runs, drawing.layers)) * 3 < points(trace(drawing.runs))


def test_without_segments_there_are_no_outlines():
    assert trace(draw([], (5, 5)).runs) == []


# Keyholes


def test_bridges_cost_no_pixel():
    outer = box(2, 2, 48, 48).outer
    holes = [
        box(10, 10, 20, 20).outer,
        box(30, 8.4, 41, 19.2).outer,
        polygon((12, 30), (40, 33), (25, 45)).outer,
    ]
    line = keyhole(outer, holes)
    rings = decode([ring.ravel().tolist() for ring in (outer, *holes)], 50, 50)
    assert (decode([line.ravel().tolist()], 50, 50) == rings % 2).all()
    assert len(line) == len(outer) + sum(len(hole) + 2 for hole in holes)
