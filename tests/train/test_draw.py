"""Pictures keep their size, show what they are given, and never let labels cover one another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seem_data.layout import Category
from seem_train.output import draw, labels
from seem_train.output.labels import Label, draw_labels


def _photo(height: int = 120, width: int = 160) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def _square(first: int, last: int, shape: tuple[int, int] = (120, 160)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[first:last, first:last] = True
    return mask


def test_a_region_is_tinted_outlined_and_nothing_else_changes() -> None:
    photo = np.full((120, 160, 3), 100, np.uint8)
    before = photo.copy()
    picture = draw.overlay(photo, [draw.Tinted(_square(30, 80), (200, 0, 0))])
    assert np.array_equal(photo, before)
    inside, border, outside = picture[50, 50], picture[30, 50], picture[100, 130]
    assert inside[0] > 120
    assert inside[1] < 80
    assert border.sum() > inside.sum()
    assert outside.tolist() == [100, 100, 100]


def test_empty_regions_and_no_regions_leave_the_image_as_it_is() -> None:
    photo = _photo()
    assert np.array_equal(draw.overlay(photo, []), photo)
    nothing = draw.Tinted(np.zeros((120, 160), bool), (9, 9, 9), "nothing")
    assert np.array_equal(draw.overlay(photo, [nothing]), photo)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (9, 9), (1500, 40)])
def test_images_of_any_shape_can_be_drawn_on(shape: tuple[int, int]) -> None:
    photo = np.zeros((*shape, 3), np.uint8)
    region = draw.Tinted(np.ones(shape, bool), (10, 200, 30), "a rather long name")
    assert draw.overlay(photo, [region]).shape == photo.shape


def test_a_label_lies_near_the_middle_of_its_region() -> None:
    photo = np.zeros((200, 300, 3), np.uint8)
    mask = np.zeros((200, 300), bool)
    mask[120:180, 200:290] = True
    changed = (draw.overlay(photo, [draw.Tinted(mask, (0, 0, 255), "cup")], fill=0) > 240).all(2)
    rows, columns = np.nonzero(changed)
    assert abs(rows.mean() - 150) < 12
    assert abs(columns.mean() - 245) < 12


def test_the_label_of_a_small_thing_stands_above_it() -> None:
    photo = np.zeros((200, 300, 3), np.uint8)
    mask = np.zeros((200, 300), bool)
    mask[100:108, 100:112] = True
    picture = draw.overlay(photo, [draw.Tinted(mask, (0, 0, 255), "key")], fill=1)
    assert (picture[102:106, 102:110] == (0, 0, 255)).all()
    assert (picture[80:98] > 240).all(2).any()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 40))
def test_labels_never_cover_one_another(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    placed: list[labels.Box] = []
    for _ in range(count):
        extent = int(rng.integers(20, 90)), 18
        at = int(rng.integers(0, 300)), int(rng.integers(0, 200))
        place = next(labels._free_places(at, extent, (300, 200), placed), None)
        if place is None:
            continue
        assert place[0] >= 0
        assert place[1] >= 0
        assert place[2] < 300
        assert place[3] < 200
        for other in placed:
            assert not labels._overlap(place, other, 0)
        placed.append(place)
    assert placed


def test_labels_in_any_script_and_with_line_breaks_are_drawn() -> None:
    picture = draw_labels(
        np.zeros((100, 300, 3), np.uint8), [Label("чашка\nκούπα Tasse", (150, 50), (9, 9, 90))]
    )
    assert (picture > 200).any()


def test_white_text_is_legible_on_every_dataset_colour() -> None:
    for color in [(255, 255, 255), (255, 255, 0), (0, 255, 255), (128, 128, 128), (0, 0, 0), (220, 20, 60)]:
        red, green, blue = (
            channel / 12.92 if channel <= 0.03928 else ((channel + 0.055) / 1.055) ** 2.4
            for channel in (value / 255 for value in labels._dark(color))
        )
        contrast = 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)  # WCAG 2
        assert contrast > 4.5, color


def test_things_of_one_category_get_shades_of_its_colour_and_stuff_lies_below() -> None:
    id_map = np.repeat([[1, 2, 3]], 3, axis=0)
    cup, table = Category(5, "cup", (200, 30, 30), True), Category(8, "table", (20, 90, 200), False)
    regions = draw.panoptic_regions(id_map, [(1, cup, "cup"), (2, cup, "cup"), (3, table, "table")])
    assert [region.label for region in regions] == ["table", "cup", "cup"]
    assert regions[1].color == (200, 30, 30)
    assert regions[2].color != regions[1].color
    assert regions[0].mask.sum() == 3


def test_marks_show_where_the_user_pointed() -> None:
    photo = np.zeros((100, 100, 3), np.uint8)
    picture = draw.draw_marks(
        photo, [(20, 30, True), (70, 80, False)], [(5, 5, 95, 95)], [[(10, 50), (40, 50)]]
    )
    assert picture[30, 20].argmax() == 1
    assert picture[80, 70].argmax() == 0
    assert picture[5, 50].any()
    assert picture[50, 25].any()


def test_rows_and_sheets_hold_every_image() -> None:
    photos = [_photo(60, 80), _photo(200, 100), _photo(30, 400)]
    captions = ["one", "", "a caption much too long for the small picture below it"]
    line = draw.contact_sheet(photos, captions, columns=3, height=100)
    assert line.shape[0] == 8 + 20 + 100 + 8
    sheet = draw.contact_sheet(photos * 2, columns=2, height=50)
    assert sheet.shape[0] == 8 + 3 * (50 + 8)
    assert draw.contact_sheet([]).shape[2] == 3


def test_a_panorama_does_not_blow_up_the_sheet() -> None:
    assert draw.contact_sheet([_photo(4, 4000)], height=100).shape[1] <= 4 * 100 + 16
