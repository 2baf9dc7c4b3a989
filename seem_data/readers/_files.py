"""Files of an input: walked in a stable order, read with errors told, photos found by the names given."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from seem_data import images
from seem_data.building.journal import FOLDER as BUILD
from seem_data.building.journal import JOURNAL
from seem_data.layout import CATEGORIES_JSON, DATASET_JSON, ROW_FILES
from seem_data.problems import DataError, Problem
from seem_data.readers import Item, Source

_SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
#: Folders that tools put photos into, beside the one with the annotations.
_PHOTO_FOLDERS = ("images", "image", "imgs", "img", "photos", "JPEGImages")


def is_file(path: Path) -> bool:
    """Whether there is such a file; false, not an error, for names that no file system takes."""
    return os.path.isfile(path)  # noqa: PTH113


def read_bytes(path: Path) -> bytes:
    """
    Raises:
        DataError: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without byte order mark.

    Raises:
        DataError: the file cannot be read or is not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            Problem(
                "bad-encoding",
                f"is not UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x}).",
                "Save it with UTF-8 encoding.",
                str(path),
            )
        ) from None


def _unreadable(path: Path, error: OSError) -> DataError:
    reason = error.strerror or str(error)
    return DataError(
        Problem(
            "unreadable",
            f"cannot be read ({reason}).",
            "Check that it is there and that you may read it.",
            str(path),
        )
    )


def walk(
    folder: Path, suffixes: Iterable[str], problems: list[Problem] | None = None, ordered: bool = True
) -> Iterator[Path]:
    """The files below a folder with one of these endings, in any letter case; sorted, hidden ones left out.

    Symbolic links are followed, but no folder is entered twice, so loops end. Datasets that we built are not
    entered, unless the walk begins at one: their photos are copies of some that were annotated.
    """
    endings = tuple(suffix.lower() for suffix in suffixes)
    entered: set[tuple[int, int]] = set()

    def note(error: OSError) -> None:
        if problems is not None:
            problems.extend(_unreadable(Path(error.filename or folder), error).problems)

    for root, folders, files in os.walk(folder, followlinks=True, onerror=note):
        try:
            status = os.stat(root)  # noqa: PTH116  (walk yields strings; millions of folders are possible)
        except OSError:
            folders.clear()
            continue
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        if Path(root) != folder and _is_dataset(root, folders, files):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        if ordered:
            folders.sort()
            files.sort()
        for name in files:
            if name.lower().endswith(endings) and not name.startswith("."):
                yield Path(root, name)


def _is_dataset(root: str, folders: list[str], files: list[str]) -> bool:
    """Whether a folder is a dataset, or will be: dataset.json is the last file that a build writes."""
    if DATASET_JSON in files and CATEGORIES_JSON in files:
        return True
    return BUILD in folders and is_file(Path(root, BUILD, JOURNAL))


def of_dataset(path: Path) -> bool:
    """Whether a JSON file is one of those of a split that we built."""
    return path.name in ROW_FILES and all(is_file(path.with_name(name)) for name in ROW_FILES)


def some_files(path: Path, suffixes: Iterable[str]) -> Iterator[Path]:
    """The file itself if it ends so, or a folder's files in no particular order: to recognise formats."""
    if path.is_dir():
        yield from walk(path, suffixes, ordered=False)
    elif path.name.lower().endswith(tuple(suffixes)):
        yield path


def first(files: Iterator[Path]) -> Iterator[Path]:
    """As many of them as a format is recognised by."""
    return islice(files, 20)


def annotation_files(source: Source, suffixes: Iterable[str], problems: list[Problem]) -> list[Path]:
    """The annotation files of an input in stable order: the file itself, or those of the folder."""
    if source.polys.is_dir():
        return list(walk(source.polys, suffixes, problems))
    return [source.polys]


def plain_name(name: str) -> str:
    """A name from an annotation file with forward slashes and without detours."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def split_by_word(word: str) -> str | None:
    """train, val or test, if the word is one of those or means one ("Validation")."""
    return _SPLITS.get(word.strip().lower())


def split_by_folder(name: str) -> str | None:
    """The split that a folder of the path tells: ``"kitchen/val/001.jpg"`` is of val."""
    return next((_SPLITS[part] for part in name.lower().split("/")[:-1] if part in _SPLITS), None)


def split_by_name(path: Path) -> str | None:
    """The split that a word of the file's name tells: ``instances_val2017.json`` is of val."""
    return next((_SPLITS[word] for word in re.split(r"[^a-z]+", path.stem.lower()) if word in _SPLITS), None)


class Photos:
    """The folder the photos lie in: finds them by the names that annotation files give, and names them."""

    def __init__(self, source: Source) -> None:
        self._own = source.polys if source.polys.is_dir() else source.polys.parent
        self.root = source.images or self._own
        if source.images is None and not _holds_photo(source.polys):
            beside = (self._own.parent / name for name in _PHOTO_FOLDERS)
            self.root = next((path for path in beside if path.is_dir()), self._own)
        self._prefix = f"{os.path.abspath(self.root)}{os.sep}"  # noqa: PTH100  (keeps links)
        self._chosen = source.images is not None
        self._by_name: dict[str, list[Path]] | None = None
        self._by_stem: dict[str, list[Path]] | None = None

    def find(self, name: str, *folders: Path) -> Path:
        """The photo that an annotation file calls `name`.

        Looked for in `folders` (the annotation file's own, for formats whose names are relative to it), then
        in the photos' folder, then anywhere below that by its file name, if that is unique there.

        Raises:
            DataError: no such photo, several, or a name that leaves the folder.
        """
        unsafe: DataError | None = None
        name = name.removeprefix(self._prefix)
        for folder in (*folders, self.root):
            try:
                if (path := self._inside(folder, name)) is not None:
                    return path
            except DataError as error:
                unsafe = error
        base = re.split(r"[\\/]", name)[-1]
        found = self._index().get(base.casefold(), []) if base else []
        ending = re.sub(r"^(\.{0,2}/)+", "", name.replace("\\", "/")).casefold()
        found = [path for path in found if path.as_posix().casefold().endswith("/" + ending)] or found
        if len(found) == 1:
            return found[0]
        if unsafe is not None:
            raise unsafe
        if found:
            where = " and ".join(str(path) for path in found[:2])
            message, remedy = f"names the photo {name!r}, which may be {where}.", "Write the path in full."
            raise DataError(Problem("ambiguous-image", message, remedy))
        remedy = "Put the photo there." if self._chosen else "Name the photos' folder with --images."
        message = f"names the photo {name!r}, which is not in {self.root}."
        raise DataError(Problem("missing-image", message, remedy))

    def find_like(self, path: Path, inner: Path) -> Path:
        """The photo of the mask at `path`: the one at `inner` (a path without ending) in the photos'
        folder, or the only one below it of that name, with any ending.

        Raises:
            DataError: no such photo, or several.
        """
        for suffix in (path.suffix, *sorted(images.SUFFIXES)):
            photo = self.root / inner.with_name(inner.name + suffix)
            if photo != path and photo.suffix.lower() in images.SUFFIXES and is_file(photo):
                return photo
        found = [photo for photo in self._stems().get(inner.name.casefold(), []) if photo != path]
        if len(found) == 1:
            return found[0]
        if found:
            message, remedy = f"may belong to {found[0]} or to {found[1]}.", "Keep photos in like folders."
            raise DataError(Problem("ambiguous-image", message, remedy, str(path)))
        message = f"belongs to no photo: there is no {inner.name}.jpg or the like in {self.root}."
        remedy = "Put the photo there." if self._chosen else "Name the photos' folder with --images."
        raise DataError(Problem("missing-image", message, remedy, str(path)))

    def _inside(self, folder: Path, name: str) -> Path | None:
        """The photo at `folder`/`name` where that exists; it may climb, but not out of the photos' folder."""
        if folder.is_relative_to(self.root):
            path = images.resolve_inside(self.root, name, folder.relative_to(self.root).parts)
        else:  # --images lies elsewhere: the annotations' own folder is then a root of its own
            path = images.resolve_inside(folder, name)
        return path if is_file(path) else None

    def _index(self) -> dict[str, list[Path]]:
        if self._by_name is None:
            self._by_name = {}
            for path in walk(self.root, images.SUFFIXES):
                self._by_name.setdefault(path.name.casefold(), []).append(path)
        return self._by_name

    def _stems(self) -> dict[str, list[Path]]:
        if self._by_stem is None:
            self._by_stem = {}
            for paths in self._index().values():
                self._by_stem.setdefault(paths[0].stem.casefold(), []).extend(paths)
        return self._by_stem

    def name_of(self, path: Path) -> str:
        """The unique name of a photo: its path below the photos' folder (or, where it lies with the
        annotations, below theirs), with forward slashes."""
        for folder in (self.root, self._own):
            if path.is_relative_to(folder):
                return path.relative_to(folder).as_posix()
        return path.name


def _holds_photo(polys: Path) -> bool:
    """Whether photos lie with the annotations: in a folder at any depth, with a file beside it."""
    if polys.is_dir():
        return next(walk(polys, images.SUFFIXES, ordered=False), None) is not None
    try:
        return any(path.suffix.lower() in images.SUFFIXES for path in polys.parent.iterdir())
    except OSError:
        return False


def unique(items: Iterable[Item], problems: list[Problem]) -> Iterator[Item]:
    """The items, less those whose image an earlier one claims; each of these is a problem."""
    claimed: dict[str, Path] = {}
    for item in items:
        if item.name not in claimed:
            claimed[item.name] = item.source
            yield item
            continue
        first = claimed[item.name]
        twice = "twice" if first == item.source else f"as {first} does"
        problems.append(
            Problem(
                "claimed-twice",
                f"annotates the image {item.name} {twice}; the first is used.",
                "Remove one of both.",
                str(item.source),
            )
        )
