"""Annotation formats in. One reader a file; each turns files of one tool into `ImageAnnotation` records.

A reader works in two steps, so that a large input streams and worker processes share the parsing:

* `Reader.scan` walks the input once, cheaply, in the parent process, and yields one `Item` per image in a
  stable order. It reads no pixels, and parses only what it must to tell images apart.
* `Reader.load` turns one `Item` into an `ImageAnnotation`. It runs in a worker, one image at a time.

Both report what is wrong to a `list[Problem]` they are handed and go on; they raise `DataError` only when
nothing of the file or image can be used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from seem_data.annotations import Exif, ImageAnnotation
from seem_data.common.wording import did_you_mean
from seem_data.problems import DataError, Problem, fault


@dataclass(frozen=True, slots=True)
class Input:
    """Where the input lies, and what a reader may need to know to choose from it.

    Attributes:
        polys: the annotations, a file or a folder.
        images: the photos' folder when it is not the annotations' own.
        known: tells whether a word is a category's name or alias; for formats that do not say which of
            their attributes is the label.
        annotator: whose work is read where several marked the same photo.
    """

    polys: Path
    images: Path | None = None
    known: Callable[[str], object] | None = None
    annotator: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One image to load, small enough to send to a worker and enough to tell whether it changed.

    Attributes:
        name: as `ImageAnnotation.name`: unique, with forward slashes.
        payload: the annotation of this image: a file to read, or the bytes of its part of a larger file
            (whatever encoding the reader's own `load` understands), which may come in pieces: those that all
            images have in common are then held once. Its content is hashed for resuming.
        image: the photo, or None when the payload embeds it.
        source: the annotation file as shown to the user.
        split: split assigned by the input, if any.
        files: further files that `load` reads (masks painted beside the annotation); hashed too.
    """

    name: str
    payload: Path | bytes | tuple[bytes, ...]
    image: Path | None
    source: Path
    split: str | None = None
    files: tuple[Path, ...] = ()

    @property
    def file(self) -> Path:
        """The file of a payload that is one."""
        assert isinstance(self.payload, Path)
        return self.payload

    @property
    def content(self) -> bytes:
        """The bytes of a payload that is no file."""
        assert not isinstance(self.payload, Path)
        return self.payload if isinstance(self.payload, bytes) else b"".join(self.payload)

    def annotation(
        self, size: tuple[int, int] | None = None, exif: Exif = "ignored", image: Path | bytes | None = None
    ) -> ImageAnnotation:
        """The record of this image, as yet without regions.

        Args:
            image: where the item has no photo.
        """
        image = image or self.image
        assert image is not None
        return ImageAnnotation(image, self.name, self.source, size, exif=exif, split=self.split)


@runtime_checkable
class Reader(Protocol):
    """What a format needs. Implement it in `readers/<format>.py` as a module-level ``READER`` object.

    A reader whose files describe their categories (COCO's do) may also have a method
    ``known_categories(source) -> list[dict]``, records with any of id, name, color, isthing, supercategory;
    ``seem-data init`` then keeps what they say.
    """

    name: str  #: the word for ``--format``, e.g. ``"labelme"``
    title: str  #: e.g. ``"LabelMe JSON"``
    recognised_by: str  #: one sentence for ``seem-data formats``: how `recognises` tells
    shapes: str  #: what is read: shape types, options, and what is left out
    exif: str  #: ``"applied"`` or ``"ignored"``: how this tool shows photos with an EXIF orientation

    def recognises(self, path: Path) -> bool:
        """Whether the file or folder looks like this format. Cheap: names and a first file's head."""
        ...

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        """To be asked through `items`, which takes out what claims an image twice."""
        ...

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation: ...


#: In the order in which detection asks: formats with an unmistakable mark before those told by file names.
FORMATS = (
    "labelme", "coco", "panoptic", "labelstudio", "via", "supervisely", "cvat", "datumaro", "cityscapes",
    "isat", "sa1b", "voc", "yolo",
)  # fmt: skip


#: How files end that have to be unpacked.
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")


def archive(path: Path) -> Problem | None:
    """What to do with a path that is an archive, of whatever format; None for all else."""
    if not (path.name.lower().endswith(ARCHIVES) and path.is_file()):
        return None
    return Problem("archive", "is an archive.", "Unpack it, and give the folder that it makes.", str(path))


def get(name: str) -> Reader:
    """The reader of a format. Imported on first use: the command line starts without any of them.

    Raises:
        DataError: there is no such format.
    """
    if name not in FORMATS:
        remedy = did_you_mean(name, FORMATS) or f"Use auto, {', '.join(FORMATS)}."
        raise fault("bad-option", f"is {name!r}.", remedy, where="--format")
    return importlib.import_module(f"seem_data.readers.{name}").READER


def all_readers() -> list[Reader]:
    return [get(name) for name in FORMATS]


def detect(path: Path) -> Reader:
    """The reader that recognises the file or folder.

    Raises:
        DataError: there is no such path, or no reader or several recognise it; the message lists the formats
            and ``--format``.
    """
    if not path.exists():
        raise fault("missing-input", "does not exist.", "Check the path.", str(path))
    if packed := archive(path):
        raise DataError(packed)
    found = [reader for reader in all_readers() if reader.recognises(path)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(FORMATS)
    if not found:
        from seem_data.readers._foreign import refusal

        message = "no annotations of a known format found here."
        remedy = f"Name the format with --format ({names}); 'seem-data formats' tells how each is told."
        raise DataError(refusal(path) or Problem("unknown-format", message, remedy, str(path)))
    message = f"looks like {' and '.join(reader.title for reader in found)}."
    remedy = f"Choose with --format {' or --format '.join(reader.name for reader in found)}."
    raise fault("ambiguous-format", message, remedy, str(path))


def items(reader: Reader, source: Input, problems: list[Problem]) -> Iterator[Item]:
    """What a reader finds, less those whose image an earlier one claims; each of these is a problem."""
    claimed: dict[str, Path] = {}
    for item in reader.scan(source, problems):
        first = claimed.get(item.name)
        if first is None:
            claimed[item.name] = item.source
            yield item
            continue
        twice = "twice" if first == item.source else f"as {first} does"
        message = f"annotates the image {item.name} {twice}; the first is used."
        problems.append(Problem("claimed-twice", message, "Remove one of both.", str(item.source)))
