"""What a worker is handed for an image, and what it hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from seem_data.building.journal import Entry
from seem_data.building.options import Manner, Options
from seem_data.categories import Categories
from seem_data.problems import Problem
from seem_data.readers import Item, Reader
from seem_data.sentences.file import ImageSentences


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all images of a build have in common. Sent to every worker.

    Attributes:
        reader, mask_reader: of ``--polys`` and of ``--masks``; at least one is there.
        out: the dataset's folder. `splits`: those that lie in it from an earlier build.
        digest: of everything above that decides bytes; part of every image's key.
    """

    reader: Reader | None
    mask_reader: Reader | None
    categories: Categories
    options: Options
    manner: Manner
    out: Path
    staged: Path
    splits: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Job:
    """One image to build.

    Attributes:
        position: in the scan, from 0.
        stem: name of its files in the dataset, without ending.
        item: its polygons. `ground`: its painted mask. At least one is there.
        sentences: from the sentences file.
        known: what an earlier build made of it.
    """

    position: int
    stem: str
    item: Item | None
    ground: Item | None = None
    sentences: ImageSentences | None = None
    known: Entry | None = None

    @property
    def main(self) -> Item:
        item = self.item or self.ground
        assert item is not None
        return item

    @property
    def places(self) -> tuple[str, ...]:
        """Its files as problems name them; where the input has moved, the same files at other places."""
        paths: list[Path] = []
        for item in (self.item, self.ground):
            if item is not None:
                paths += [item.source, *item.files]
                paths += [path for path in (item.image, item.payload) if isinstance(path, Path)]
        return tuple(map(str, paths))


@dataclass(frozen=True, slots=True)
class ImageResult:
    """What became of a job: a line for the journal (built), `kept` (as it was), or nothing but problems.

    Attributes:
        entry: what `line` says, as far as the parent remembers it.
    """

    position: int
    line: bytes | None = None
    entry: Entry | None = None
    kept: bool = False
    problems: list[Problem] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
