"""Files of an input: walked in a stable order, read with errors told; and the splits that names tell."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from seem_data.files import read_regular
from seem_data.layout import CATEGORIES_JSON, DATASET_JSON, JOURNAL, ROW_FILES, SPLITS
from seem_data.layout import FOLDER as BUILD
from seem_data.problems import DataError, Problem, fault
from seem_data.readers import Input
from seem_data.splits.plan import SPLIT_SYNONYMS

_SPLIT_WORDS = {name: name for name in SPLITS} | SPLIT_SYNONYMS


def is_file(path: Path) -> bool:
    """Whether there is such a file; false, not an error, for names that no file system takes."""
    return os.path.isfile(path)  # noqa: PTH113


def read_bytes(path: Path) -> bytes:
    """
    Raises:
        DataError: the file cannot be read.
    """
    try:
        return read_regular(path)
    except OSError as error:
        raise _unreadable(path, error) from None


def head(path: Path, size: int = 1 << 16) -> bytes:
    """How a file begins, to recognise formats; nothing of one that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without byte order mark.

    Raises:
        DataError: the file cannot be read or is not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x})."
        raise fault("bad-encoding", message, "Save it with UTF-8 encoding.", str(path)) from None


def _unreadable(path: Path, error: OSError) -> DataError:
    reason = error.strerror or str(error)
    message = f"cannot be read ({reason})."
    return fault("unreadable", message, "Check that it is there and that you may read it.", str(path))


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
        place = status.st_dev, status.st_ino
        if place in entered or (Path(root) != folder and _is_dataset(root, folders, files)):
            folders.clear()
            continue
        entered.add(place)
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        if ordered:
            folders.sort()
            files.sort()
        for name in files:
            if name.lower().endswith(endings) and not name.startswith("."):
                path = Path(root, name)
                if is_file(path) or not path.exists():  # a broken link is told where it is read
                    yield path
                elif problems is not None:
                    message = "is a named pipe or a device, not a file; it is left out."
                    problems.append(Problem("no-file", message, "Put the file itself there.", str(path)))


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


def first_files(path: Path, suffixes: Iterable[str] = (".json",)) -> Iterator[Path]:
    """As many of them as a format is recognised by."""
    return islice(some_files(path, suffixes), 20)


def annotation_files(
    source: Input,
    suffixes: Iterable[str],
    problems: list[Problem],
    fits: Callable[[Path], bool] | None = None,
) -> list[Path]:
    """The annotation files of an input in stable order: the file itself, or those of the folder that fit."""
    if source.polys.is_dir():
        return list(filter(fits, walk(source.polys, suffixes, problems)))
    return [source.polys]


def plain_name(name: str) -> str:
    """A name from an annotation file with forward slashes and without detours."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def split_by_word(word: str) -> str | None:
    """train, val or test, if the word is one of those or means one ("Validation")."""
    return _SPLIT_WORDS.get(word.strip().lower())


def split_by_folder(name: str) -> str | None:
    """The split that a folder of the path tells: ``"kitchen/val/001.jpg"`` is of val."""
    return next((_SPLIT_WORDS[part] for part in name.lower().split("/")[:-1] if part in _SPLIT_WORDS), None)


def split_by_name(path: Path) -> str | None:
    """The split that a word of the file's name tells: ``instances_val2017.json`` is of val."""
    return next(
        (_SPLIT_WORDS[word] for word in re.split(r"[^a-z]+", path.stem.lower()) if word in _SPLIT_WORDS), None
    )
