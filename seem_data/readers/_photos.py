"""Photos of an input: found by the names that annotation files give, and named."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

from seem_data import images
from seem_data.common.wording import a_few
from seem_data.problems import DataError, Problem, fault
from seem_data.readers import Input, Item, _mask_names
from seem_data.readers._walk import is_file, plain_name, split_by_folder, walk

_MASK_FOLDER = re.compile(r"panoptic|mask|seg|label|annot|gt|ground.?truth")
#: Raw photos, films and drawings, which may lie among photos.
_UNREAD = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".psd", ".svg", ".jxl", ".pdf",
           ".mp4", ".mov", ".avi", ".mkv")  # fmt: skip
_NO_PHOTOS = (".json", ".xml", ".txt", ".csv", ".yaml", ".yml", ".npy", ".zip")
#: Folders that tools put photos into, beside the one with the annotations.
PHOTO_FOLDERS = ("images", "image", "imgs", "img", "photos", "JPEGImages")


class Photos:
    """The folder the photos lie in: finds them by the names that annotation files give, and names them."""

    def __init__(self, source: Input) -> None:
        self._own = source.polys if source.polys.is_dir() else source.polys.parent
        self.root = source.images or self._own
        if source.images is None and not _holds_photo(source.polys):
            beside = (self._own.parent / name for name in PHOTO_FOLDERS)
            self.root = next((path for path in beside if path.is_dir()), self._own)
        self._prefix = f"{os.path.abspath(self.root)}{os.sep}"  # noqa: PTH100  (keeps links)
        self._chosen = source.images is not None

    def find(self, name: str, *folders: Path, but: Path | None = None) -> Path:
        """The photo that an annotation file calls `name`.

        Looked for in `folders` (the annotation file's own, for formats whose names are relative to it), then
        in the photos' folder, then anywhere below that by its file name, if that is unique there or lies in
        a folder such as ``images``.

        Args:
            but: the mask of this photo, which may be called alike, and is none; what lies in its folder is
                a photo only if there is no other.

        Raises:
            DataError: no such photo, several, or a name that leaves the folder.
        """
        unsafe: DataError | None = None
        name = of_address(name.removeprefix(self._prefix))
        for folder in (*folders, self.root):
            try:
                path = self._inside(folder, name)
            except DataError as error:
                unsafe = error
                continue
            if path is not None and path != but and is_photo(path):
                return path
        base = re.split(r"[\\/]", name)[-1]
        found = [path for path in self._by_name.get(base.casefold(), []) if path != but] if base else []
        if but is not None:
            found = [path for path in found if path.parent != but.parent] or found
        ending = re.sub(r"^(\.{0,2}/)+", "", name.replace("\\", "/")).casefold()
        found = [path for path in found if path.as_posix().casefold().endswith("/" + ending)] or found
        if len(found) > 1:  # of a.jpg and deep/a.jpg in images/, "a.jpg" means the first
            usual = {f"{folder}/{ending}".casefold() for folder in PHOTO_FOLDERS}
            found = [path for path in found if self.name_of(path).casefold() in usual] or found
        if but is not None and len(found) > 1:
            found = [path for path in found if path.parent.name in PHOTO_FOLDERS] or found
        if len(found) > 1:  # of a path of another machine the longest end that is here
            found = _longest_end(found, ending)
        if len(found) == 1:
            return found[0]
        if unsafe is not None:
            raise unsafe
        if found:
            where = " and ".join(str(path) for path in found[:2])
            message, remedy = f"names the photo {name!r}, which may be {where}.", "Write the path in full."
            raise fault("ambiguous-image", message, remedy)
        remedy = "Put the photo there." if self._chosen else "Name the photos' folder with --images."
        message = f"names the photo {name!r}, which is not in {self.root}."
        raise fault("missing-image", message, remedy)

    def find_mask(self, name: str, *folders: Path) -> Path:
        """The same of a mask, which is in no folder of photos where another file is called alike.

        Raises:
            DataError: as `find`.
        """
        called_so = self._by_name.get(re.split(r"[\\/]", name)[-1].casefold(), [])
        if not any(is_file(folder / plain_name(name)) for folder in folders) and len(called_so) > 1:
            of_masks = [path for path in called_so if _MASK_FOLDER.search(path.parent.name.lower())]
            of_no_photos = [path for path in called_so if path.parent.name not in PHOTO_FOLDERS]
            for found in (of_masks, of_no_photos):
                if len(found) == 1:
                    return found[0]
        return self.find(name, *folders)

    def find_like(self, path: Path, inner: Path) -> Path:
        """The photo of the mask at `path`: the one at `inner` (a path without ending) in the photos'
        folder, or the only one below it of that name, with any ending. Either name may have a word more that
        says what it is (`_mask_names`); at last the photo whose name the mask's begins with is taken.

        Raises:
            DataError: no such photo, or several.
        """
        stems = (inner.name, _mask_names.PHOTO_ENDING.sub("", inner.name))
        for stem in dict.fromkeys(stems):
            for suffix in (path.suffix, *sorted(images.SUFFIXES)):
                photo = self.root / inner.with_name(stem + suffix)
                if photo != path and photo.suffix.lower() in images.SUFFIXES and is_file(photo):
                    return photo
        found: list[Path] = []
        is_marked = _mask_names.has_mask_word(inner.name)
        whole, bare = stems[-1].casefold(), _mask_names.mask_stem(inner.name)
        for photos, name in (
            (self._by_stem, inner.name.casefold()),
            (self._by_stem, whole),
            (self._by_stem, bare),
            (self._by_bare_stem, bare),
            *((self._by_stem, shorter) for shorter in _mask_names.shorter(inner.name)),
        ):
            found = [photo for photo in photos.get(name, []) if photo != path]
            if is_marked and path.is_relative_to(self.root):  # of a_mask.png another a_mask.png is no photo
                found = [photo for photo in found if photo.name != path.name]
            if found:
                break
        found = _most_alike(found, inner)
        if len(found) == 1:
            return found[0]
        if found:
            message, remedy = f"may belong to {found[0]} or to {found[1]}.", "Keep photos in like folders."
            raise fault("ambiguous-image", message, remedy, str(path))
        message = f"belongs to no photo: there is no {bare}.jpg or the like in {self.root}."
        remedy = "Put the photo there." if self._chosen else "Name the photos' folder with --images."
        raise fault("missing-image", message, remedy, str(path))

    def _inside(self, folder: Path, name: str) -> Path | None:
        """The photo at `folder`/`name` where that exists; it may climb, but not out of the photos' folder."""
        if (below := _parts_below(folder, self.root)) is not None:
            path = images.resolve_inside(self.root, name, below)
        else:  # --images lies elsewhere: the annotations' own folder is then a root of its own
            path = images.resolve_inside(folder, name)
        return path if is_file(path) else None

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        return _grouped(walk(self.root, images.SUFFIXES), lambda path: path.name.casefold())

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        return _grouped(chain.from_iterable(self._by_name.values()), lambda path: path.stem.casefold())

    @cached_property
    def _by_bare_stem(self) -> dict[str, list[Path]]:
        paths = chain.from_iterable(self._by_stem.values())
        return _grouped(paths, lambda path: _mask_names.photo_stem(path.stem))

    def item(
        self,
        photo: Path,
        source: Path,
        payload: Path | bytes | tuple[bytes, ...] = (),
        split: str | None = None,
    ) -> Item:
        """The item of a photo that was found.

        Args:
            source: the annotation file, which is the payload where there is no other.
            split: what the file says of it; else a folder of its name may tell.
        """
        name = self.name_of(photo)
        return Item(name, payload or source, photo, source, split or split_by_folder(name))

    def name_of(self, path: Path) -> str:
        """The unique name of a photo: its path below the photos' folder (or, where it lies with the
        annotations, below theirs), with forward slashes."""
        for folder in (self.root, self._own):
            if (below := _parts_below(path.parent, folder)) is not None:
                return "/".join((*below, path.name))
        return path.name


def _grouped(paths: Iterable[Path], key: Callable[[Path], str]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(key(path), []).append(path)
    return groups


@lru_cache(maxsize=1024)  # asked for every photo, of few folders; and pathlib is slow
def _parts_below(folder: Path, root: Path) -> tuple[str, ...] | None:
    """The folders from `root` down to `folder`; None where that lies elsewhere."""
    return folder.relative_to(root).parts if folder.is_relative_to(root) else None


def of_address(name: str) -> str:
    """Of an address in the web or a store the path, all else as it is."""
    address = re.match(r"[a-z][a-z0-9+.-]+://[^/]*/", name, re.IGNORECASE)
    return unquote(re.split(r"[?#]", name[address.end() :])[0]) if address else name


def _longest_end(paths: list[Path], name: str) -> list[Path]:
    """Those of the paths that agree with the name in most of their last parts; all, if in one only."""
    parts = name.split("/")[::-1]
    shared = [
        next(
            (n for n, (a, b) in enumerate(zip(parts, path.parts[::-1], strict=False)) if a != b.casefold()),
            len(parts),
        )
        for path in paths
    ]
    return [
        path for path, count in zip(paths, shared, strict=True) if count == max(shared) or max(shared) < 2
    ]


def _most_alike(photos: list[Path], inner: Path) -> list[Path]:
    """Of several photos those that share most folder names with the mask: train/a.jpg and train/a.png."""
    if len(photos) < 2:
        return photos
    own = {part.casefold() for part in inner.parts[:-1]}
    shared = [len(own & {part.casefold() for part in photo.parts[:-1]}) for photo in photos]
    return [photo for photo, count in zip(photos, shared, strict=True) if count == max(shared)]


def is_photo(path: Path) -> bool:
    """Whether a file that an annotation names is a photo; names lie, and some name a JSON."""
    if path.suffix.lower() in images.SUFFIXES:
        return True
    if path.suffix.lower() in _NO_PHOTOS:
        return False
    try:
        images.read_header(path)
    except DataError as error:
        return error.problems[0].code != "bad-image" or path.suffix == ""
    return True


def left_over(items: Iterable[Item]) -> Iterator[Problem]:
    """What lies with the photos of an input and is not read: photos that nothing annotates, files that are
    no photos here; told once each."""
    used: set[Path] = set()
    files: set[Path] = set()
    for item in items:
        used.update([item.image] if item.image else [])
        files.update(item.files, [item.payload] if isinstance(item.payload, Path) else [])
    bare = {_mask_names.photo_stem(path.stem) for path in used}
    lone: list[Path] = []
    unread: list[Path] = []
    for folder in sorted({path.parent for path in used}):
        for name in _names_in(folder):
            path, ending = folder / name, os.path.splitext(name)[1].lower()  # noqa: PTH122
            if ending in _UNREAD and not name.startswith("."):
                unread.append(path)
            if ending not in images.SUFFIXES or name.startswith(".") or path in used or path in files:
                continue
            if not (_mask_names.has_mask_word(path.stem) and _mask_names.mask_stem(path.stem) in bare):
                lone.append(path)
    if lone:
        shown = a_few([path.name for path in lone], most=3)
        message = f"holds {len(lone):,} photo(s) that nothing annotates; they are left out: {shown}."
        yield Problem("lone-photos", message, "", str(lone[0].parent), severity="warning")
    if unread:
        shown = a_few([path.name for path in unread], most=3)
        message = (
            f"holds {len(unread):,} file(s) that are no photos Pillow reads; they are left out: {shown}."
        )
        remedy = "Save raw photos as JPEG or PNG, and films as frames."
        yield Problem("unread-files", message, remedy, str(unread[0].parent), severity="warning")


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  (names are enough, of a million photos)
    except OSError:  # each photo that cannot be read is told where it is read
        return []


def _holds_photo(polys: Path) -> bool:
    """Whether photos lie with the annotations: in a folder at any depth, with a file beside it."""
    if polys.is_dir():
        return next(walk(polys, images.SUFFIXES, ordered=False), None) is not None
    try:
        return any(path.suffix.lower() in images.SUFFIXES for path in polys.parent.iterdir())
    except OSError:
        return False
