"""Statistics say what the files hold, counted here another way: from the pixels."""

from __future__ import annotations

import numpy as np
import pytest

from seem_data.layout import Dataset
from seem_data.showing.stats import CategoryStats, collect, tables
from tests.data.tabletop import dataset


@pytest.fixture(scope="module")
def tabletop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset(dataset(tmp_path_factory.mktemp("stats"), images=10))


def test_counts_equal_a_count_of_the_pixels(tabletop: Dataset) -> None:
    stats = collect(tabletop)
    assert list(stats.splits) == ["train", "val"]
    for name, numbers in stats.splits.items():
        split = tabletop.split(name)
        pixels = dict.fromkeys(tabletop.categories.by_id, 0)
        segments = 0
        for image in split.images:
            ids = split.id_map(image)
            segments += len(np.unique(ids[ids > 0]))
            for segment in image.segments:
                pixels[segment.category_id] += int((ids == segment.id).sum())
        assert numbers.images == len(split.images)
        assert numbers.segments == segments
        for category in tabletop.categories:
            assert numbers.categories[category.name].pixels == pixels[category.id]
        assert numbers.coverage == pytest.approx(sum(pixels.values()) / numbers.pixels)
        assert numbers.smallest == numbers.largest == (320, 240)


def test_sentences_are_counted_by_kind_and_category(tabletop: Dataset) -> None:
    train = collect(tabletop).splits["train"]
    assert train.sentences["own"] > 0
    assert train.sentence_count == sum(numbers.sentences for numbers in train.categories.values())


def test_a_category_without_segments_is_absent(tabletop: Dataset) -> None:
    stats = collect(tabletop)
    stats.splits["val"].categories["mug"].segments = 0
    assert "mug" in stats.absent["val"]
    assert stats.as_dict()["absent"]["val"] == stats.absent["val"]


def test_tables_show_every_split_and_category(tabletop: Dataset) -> None:
    from io import StringIO

    from rich.console import Console

    out = StringIO()
    for table in tables(collect(tabletop)):
        Console(file=out, width=100).print(table)
    for word in ("train", "val", *tabletop.categories.names, "stuff"):
        assert word in out.getvalue()


def test_many_absent_categories_are_counted_and_listed_whole_in_json(tabletop: Dataset) -> None:
    stats = collect(tabletop)
    missing = {f"category {index:04}": CategoryStats() for index in range(1000)}
    stats.splits["val"].categories.update(missing)
    line = next(str(table) for table in tables(stats) if "absent from val" in str(table))
    assert "category 0000" in line and len(line) < 250
    told = [name for name in stats.absent["val"] if name in line]
    assert len(told) == 10 and line.endswith(f" and {len(stats.absent['val']) - 10:,} more")
    assert set(missing) <= set(stats.as_dict()["absent"]["val"])
