"""Numbers about a dataset, from its JSON files alone: no picture is opened."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from seem_data.categories import Category
from seem_data.common.wording import a_few
from seem_data.layout import Dataset, Split

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Below this share of labelled pixels an image counts as sparsely labelled.
SPARSE = 0.5


@dataclass
class CategoryStats:
    """One category in one split."""

    images: int = 0
    segments: int = 0
    pixels: int = 0
    crowds: int = 0
    sentences: int = 0


@dataclass
class SplitStats:
    """One split.

    Attributes:
        coverage: share of all pixels that belong to a segment.
        sparse: images of which less than half the pixels belong to a segment.
        smallest, largest: image sizes as (width, height), by area.
    """

    images: int = 0
    segments: int = 0
    crowds: int = 0
    pixels: int = 0
    coverage: float = 0.0
    sparse: int = 0
    empty: int = 0
    smallest: tuple[int, int] = (0, 0)
    largest: tuple[int, int] = (0, 0)
    sentences: Counter[str] = field(default_factory=Counter)
    categories: dict[str, CategoryStats] = field(default_factory=dict)

    @property
    def sentence_count(self) -> int:
        return self.sentences.total()


@dataclass
class DatasetStats:
    """A dataset; `absent` lists, by split, the categories without a single segment there."""

    name: str
    categories: list[Category]
    splits: dict[str, SplitStats]

    @property
    def absent(self) -> dict[str, list[str]]:
        return {
            name: [category for category, numbers in split.categories.items() if not numbers.segments]
            for name, split in self.splits.items()
        }

    def as_dict(self) -> dict[str, object]:
        # `asdict` rebuilds a Counter from its pairs, which counts the pairs.
        splits = {
            name: asdict(split) | {"sentences": dict(split.sentences)} for name, split in self.splits.items()
        }
        return {"dataset": self.name, "splits": splits, "absent": self.absent}


def collect(dataset: Dataset) -> DatasetStats:
    """Count everything.

    Raises:
        DataError: a JSON file is missing or malformed.
    """
    splits = {name: _count(dataset.split(name)) for name in dataset.split_names}
    return DatasetStats(dataset.root.name, list(dataset.categories), splits)


def _count(split: Split) -> SplitStats:
    stats = SplitStats(categories={name: CategoryStats() for name in split.categories.names})
    sides: set[tuple[int, int]] = set()
    by_id = {category.id: stats.categories[category.name] for category in split.categories}
    for image in split.images:
        stats.images += 1
        sides.add((image.width, image.height))
        labelled = 0
        for segment in image.segments:
            numbers = by_id[segment.category_id]
            numbers.segments += 1
            numbers.pixels += segment.area
            numbers.crowds += segment.iscrowd
            labelled += segment.area
        for category_id in {segment.category_id for segment in image.segments}:
            by_id[category_id].images += 1
        stats.segments += len(image.segments)
        stats.crowds += sum(segment.iscrowd for segment in image.segments)
        stats.pixels += image.width * image.height
        stats.coverage += labelled
        stats.empty += not image.segments
        stats.sparse += labelled < SPARSE * image.width * image.height
    stats.coverage = stats.coverage / stats.pixels if stats.pixels else 0.0
    if sides:
        stats.smallest = min(sides, key=lambda side: side[0] * side[1])
        stats.largest = max(sides, key=lambda side: side[0] * side[1])
    for grounded in split.grounding():
        by_id[grounded.category_id].sentences += len(grounded.sentences)
        stats.sentences.update(sentence.kind for sentence in grounded.sentences)
    return stats


def tables(stats: DatasetStats) -> list[RenderableType]:
    """The numbers as two tables for a terminal: splits, then categories; and what is absent, as lines."""
    from rich.table import Column, Table
    from rich.text import Text

    def numbers(*headings: str) -> list[Column]:
        return [Column(heading, justify="right") for heading in headings]

    counted = numbers("images", "segments", "labelled", "sparse", "sentences")
    overview = Table("split", *counted, "sizes", title=f"{stats.name}: splits", title_justify="left")
    for name, split in stats.splits.items():
        sizes = "–".join(f"{width}×{height}" for width, height in sorted({split.smallest, split.largest}))
        overview.add_row(
            name,
            f"{split.images:,}",
            f"{split.segments:,}",
            f"{split.coverage:.1%}",
            f"{split.sparse:,}",
            f"{split.sentence_count:,}",
            sizes,
        )
    heading = Text("categories: segments by split, share of labelled pixels", style="table.title")
    rows = Table("", "category", "kind", *numbers(*stats.splits, "pixels", "sentences"))
    labelled = sum(split.coverage * split.pixels for split in stats.splits.values()) or 1
    for category in stats.categories:
        parts = [split.categories[category.name] for split in stats.splits.values()]
        rows.add_row(
            Text("■", style="rgb({},{},{})".format(*category.color)),
            category.name,
            "thing" if category.isthing else "stuff",
            *(f"{part.segments:,}" for part in parts),
            f"{sum(part.pixels for part in parts) / labelled:.1%}",
            f"{sum(part.sentences for part in parts):,}",
        )
    absent = [
        Text(f"absent from {split}: {a_few(names)}", style="yellow")
        for split, names in stats.absent.items()
        if names
    ]
    return [overview, heading, rows, *absent]
