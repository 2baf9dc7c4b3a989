"""A dataset, written: rows as they come, files whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from seem_data.categories import Categories
from seem_data.files import atomic_file, make_folder, write_atomically
from seem_data.layout.reading import Fingerprint
from seem_data.layout.rows import (
    CATEGORIES_JSON,
    DATASET_JSON,
    ROW_FILES,
    VERSION,
    Counts,
    ImageRecord,
    ImageRow,
    PanopticRow,
)
from seem_data.version import __version__


class SplitWriter:
    """Writes the three JSON files of a split row by row. They appear when the ``with`` block ends well.

    Rows of instances and groundings are written as they come (see `encode_rows`), after ``id`` (counted from
    1 in each file) and ``image_id``.
    """

    def __init__(self, root: Path, categories: Categories) -> None:
        self.counts = Counts()
        self._root = make_folder(root)
        self._categories = msgspec.json.encode(categories.as_coco())
        self._fingerprint = Fingerprint()
        self._image_rows = bytearray()
        self._open_files = ExitStack()

    def __enter__(self) -> SplitWriter:
        with ExitStack() as stack:
            self._panoptic, self._instances, self._grounding = (
                _RowFile(stack.enter_context(atomic_file(self._root / name))) for name in ROW_FILES
            )
            self._open_files = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for name, file in zip(ROW_FILES, (self._panoptic, self._instances, self._grounding), strict=True):
                self._fingerprint.add(name, file.finish(self._image_rows, self._categories))
            self.counts.fingerprint = self._fingerprint.hexdigest()
        self._open_files.__exit__(kind, error, trace)

    def add(
        self,
        image: ImageRecord,
        instances: Iterable[msgspec.Raw],
        grounding: Iterable[msgspec.Raw],
        sentence_count: int,
        sha256: tuple[str, str, str],
    ) -> None:
        """The rows of one image.

        Args:
            instances: COCO instance rows without `id` and `image_id`.
            grounding: grounding rows without `id` and `image_id`.
            sentence_count: of all grounding rows together.
            sha256: of the photo, the panoptic and the semantic PNG.
        """
        counts = self.counts
        row = ImageRow(image.id, image.file_name, image.width, image.height)
        self._image_rows += (b",\n" if self._image_rows else b"") + msgspec.json.encode(row)
        panoptic = PanopticRow(image.id, image.panoptic_name, list(image.segments))
        self._panoptic.add([msgspec.json.encode(panoptic)])
        counts.instances += self._instances.add(_with_ids(instances, counts.instances, image.id))
        counts.grounded_segments += self._grounding.add(
            _with_ids(grounding, counts.grounded_segments, image.id)
        )
        counts.sentences += sentence_count
        counts.images += 1
        counts.segments += len(image.segments)
        self._fingerprint.add_files(image.file_name, image.panoptic_name, sha256)


def encode_rows(rows: Iterable[Mapping[str, object]]) -> list[msgspec.Raw]:
    """Rows, none of them empty, as JSON: they are copied from then on, and not read and written again."""
    return [msgspec.Raw(msgspec.json.encode(row)) for row in rows]


def _with_ids(rows: Iterable[msgspec.Raw], before: int, image_id: int) -> list[bytes]:
    """The rows, numbered on from `before`."""
    return [
        b'{"id":%d,"image_id":%d,' % (number, image_id) + memoryview(row)[1:]
        for number, row in enumerate(rows, start=before + 1)
    ]


class _RowFile:
    """A COCO-like JSON file, one row a line: annotations as they come, then images and categories."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._separator = b"\n"
        self._write(b'{"annotations":[')

    def add(self, rows: Sequence[bytes]) -> int:
        """Returns: how many they are."""
        if rows:
            self._write(self._separator + b",\n".join(rows))
            self._separator = b",\n"
        return len(rows)

    def finish(self, images: bytes | bytearray, categories: bytes) -> str:
        """Returns: the SHA-256 of the file."""
        self._write(b'\n],\n"images":[\n')
        self._write(images)
        self._write(b'\n],\n"categories":')
        self._write(categories)
        self._write(b"}\n")
        return self._digest.hexdigest()

    def _write(self, data: bytes | bytearray) -> None:
        self._file.write(data)
        self._digest.update(data)


def write_categories(root: Path, categories: Categories) -> None:
    rows = b",\n".join(msgspec.json.encode(row) for row in categories.as_coco())
    write_atomically(root / CATEGORIES_JSON, b"[\n" + rows + b"\n]\n")


def write_info(root: Path, name: object, options: Mapping[str, object], splits: Mapping[str, object]) -> None:
    """Write dataset.json; `splits` holds `Counts`. Two builds of the same input give the same bytes."""
    info = {
        "name": name,
        "layout": VERSION,
        "built_with": f"seem-tools {__version__}",
        "options": dict(options),
        "splits": dict(splits),
    }
    write_atomically(root / DATASET_JSON, msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n")
