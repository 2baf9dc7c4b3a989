"""What has been built so far, so that a build that was stopped goes on and one that changed does only that.

``<dataset>/.build/journal.jsonl`` holds a line for every image that is done, added as soon as its files lie
in ``<dataset>/.build/staged``. A line cut short by a kill is no line. Of several lines for one image the last
one counts. Everything below ``.build`` may be deleted; the next build then starts from the beginning.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from seem_data.common.files import TEMPORARY_SUFFIX
from seem_data.files import atomic_file, make_folder, writing
from seem_data.layout import FOLDER, JOURNAL, Segment, is_file_name
from seem_data.problems import DataError, Problem

LOCK = "lock"
_KEY = re.compile(r"[0-9a-f]{32}")


class Stamp(msgspec.Struct, frozen=True):
    """A photo as it was: while size and time are the same, so is the content (which is not read again)."""

    size: int
    mtime_ns: int
    sha256: str


class Entry(msgspec.Struct, frozen=True):
    """What the parent process remembers of an image that is done.

    Attributes:
        name: of the image, see `ImageAnnotation.name`.
        key: SHA-256 over everything its files depend on, shortened; names its staged files.
        file_name, panoptic_name: of photo and PNGs in the dataset.
        bytes: sizes of the photo, the panoptic and the semantic PNG.
        categories: ids of the categories in it.
        sentence_count: of all its segments.
        sha256: of the photo, the panoptic and the semantic PNG.
        photo: None where the annotation file embeds the photo.
    """

    name: str
    key: str
    file_name: str
    panoptic_name: str
    bytes: tuple[int, int, int]
    categories: frozenset[int]
    sentence_count: int
    sha256: tuple[str, str, str]
    photo: Stamp | None = None


class BuiltImage(Entry, frozen=True, kw_only=True):
    """A line of the journal: also everything the JSON files say of the image, but for its ids."""

    width: int
    height: int
    segments: list[Segment]
    instances: list[msgspec.Raw]
    grounding: list[msgspec.Raw]
    coverage: float
    dropped: dict[str, int]  #: regions that left no trace, by reason
    problems: list[Problem]
    places: tuple[str, ...] = ()  #: of its input files, see `Job.places`; earlier versions wrote none

    def entry(self) -> Entry:
        """The part of it that the parent process remembers."""
        return Entry(*(getattr(self, name) for name in Entry.__struct_fields__))


@dataclass(slots=True)
class _Place:
    entry: Entry
    offset: int
    length: int


class Journal:
    """The journal of the dataset in `out`. Holds a lock on it until closed."""

    def __init__(self, out: Path) -> None:
        """
        Raises:
            DataError: another build works on the same folder.
            OutputError: the folder cannot be written.
        """
        self.root = out / FOLDER
        self.staged = self.root / "staged"
        self._path = self.root / JOURNAL
        _refuse_links(self.root, self.staged, self._path, self.root / LOCK)
        make_folder(self.root)
        self._lock = self._take_lock()
        self._places: dict[str, _Place] = {}
        #: Every file name that a line mentions, superseded ones too: what may lie about from earlier builds.
        self.mentioned: set[tuple[str, str]] = set()
        make_folder(self.staged)
        with writing(self._path):
            self._file = self._path.open("a+b")
        self._load()

    def close(self) -> None:
        """
        Raises:
            OutputError: what was added last cannot be written; it is built again by the next build.
        """
        try:
            with writing(self._path):
                self._file.close()
        finally:
            self._lock.close()

    def _take_lock(self) -> BinaryIO:
        with writing(self.root):
            file = (self.root / LOCK).open("ab")
        try:
            import fcntl
        except ImportError:  # Windows: two builds at once are then not noticed
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            message = "another build is writing this dataset."
            problem = Problem("busy", message, "Wait for it, or choose another --out.", str(self.root.parent))
            raise DataError(problem) from None
        except OSError:  # a file system without locks
            return file
        return file

    def _load(self) -> None:
        decoder = msgspec.json.Decoder(BuiltImage)
        self._file.seek(0)
        offset = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                built = decoder.decode(line)
                if _stays_inside(built):
                    self._remember(built.entry(), offset, len(line))
            offset += len(line)
        with writing(self._path):
            self._file.truncate(offset)
            self._file.seek(offset)

    def _remember(self, entry: Entry, offset: int, length: int) -> None:
        self._places[entry.name] = _Place(entry, offset, length)
        self.mentioned.add((entry.file_name, entry.panoptic_name))

    def get(self, name: str) -> Entry | None:
        place = self._places.get(name)
        return place.entry if place else None

    def add(self, line: bytes, entry: Entry) -> None:
        """Append an encoded `BuiltImage`, whose entry is `entry`. Its files must lie in place already."""
        with writing(self._path):
            offset = self._file.seek(0, 2)
            self._file.write(line + b"\n")
            self._file.flush()
        self._remember(entry, offset, len(line) + 1)

    def read(self, name: str) -> BuiltImage:
        place = self._places[name]
        self._file.seek(place.offset)
        return msgspec.json.decode(self._file.read(place.length), type=BuiltImage)

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget all other images and superseded lines, and drop the staged files nobody needs."""
        places = [self._places[name] for name in names]
        if not self._holds_just(places):
            with atomic_file(self._path) as file:
                for place in places:
                    self._file.seek(place.offset)
                    file.write(self._file.read(place.length))
        shutil.rmtree(self.staged, ignore_errors=True)

    def _holds_just(self, places: Iterable[_Place]) -> bool:
        """Whether the file is these lines, one after the other."""
        end = 0
        for place in places:
            if place.offset != end:
                return False
            end += place.length
        return end == self._file.seek(0, 2)


def _stays_inside(entry: Entry) -> bool:
    """Whether a line names files of the dataset alone: a journal may come with a dataset of somebody else."""
    return _KEY.fullmatch(entry.key) is not None and all(
        is_file_name(name) for name in (entry.file_name, entry.panoptic_name)
    )


def _refuse_links(*paths: Path) -> None:
    """
    Raises:
        DataError: one is a symbolic link: what lies behind it would be written and deleted.
    """
    problems = [
        Problem("bad-output", "is a link to elsewhere.", "Remove it and build again.", str(path))
        for path in paths
        if path.is_symlink()
    ]
    if problems:
        raise DataError(problems)


def staged_name(key: str, folder: str) -> str:
    """The file name in ``staged`` of an image's file for one of the layout's folders."""
    return f"{key}.{folder}"


def remove_leftovers(out: Path) -> None:
    """Delete files in the making that a killed build left behind."""
    for pattern in ("", "*/", f"{FOLDER}/staged/"):
        for path in out.glob(f"{pattern}.*{TEMPORARY_SUFFIX}"):
            with writing(path):
                path.unlink(missing_ok=True)
