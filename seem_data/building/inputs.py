"""The input of a build, checked against its output and scanned; and what was in the output before."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from seem_data import readers
from seem_data.building.assemble import splits_on_disk
from seem_data.building.job import Job
from seem_data.building.naming import safe_stem
from seem_data.building.options import Options
from seem_data.building.pairs import pair
from seem_data.categories import Categories
from seem_data.files import free_stem
from seem_data.layout import DATASET_JSON, FOLDER, FOLDERS
from seem_data.problems import Problem
from seem_data.readers import Input, Item, Reader
from seem_data.readers._photos import left_over
from seem_data.sentences.file import SentencesFile

_LONGEST_NAME = 255  #: bytes


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where the input lies, as it was given.

    Attributes:
        annotator: whose work is read where several annotated the same photo; None: the newest.
    """

    polys: Path | None
    masks: Path | None
    images: Path | None
    annotator: str | None = None

    @property
    def name(self) -> str:
        """Of the dataset: its input's, so that it does not depend on where the dataset lies."""
        return (self.polys or self.masks or Path()).resolve().stem

    def faults(self, out: Path) -> Iterator[Problem]:
        """An input is missing, input and output contain each other, or the output holds something else."""
        if self.polys is None and self.masks is None:
            remedy = "Give --polys ANNOTATIONS, --masks PAINTED, or both."
            yield Problem("no-input", "there is nothing to build from.", remedy)
        for option, path in (("--polys", self.polys), ("--masks", self.masks), ("--images", self.images)):
            if path is None:
                continue
            if not _exists(path):
                message = "there is no such file or folder."
                yield Problem("missing-input", message, "", str(path), where=option)
            elif problem := readers.archive(path):
                yield replace(problem, where=option)
            elif overlap := _overlap(out, path):
                remedy = "Choose a folder of its own with --out."
                yield Problem("output-in-input", overlap, remedy, str(out), where="--out")
        yield from _unfit_output(out)

    def readers(self, options: Options, categories: Categories) -> tuple[Reader | None, Reader | None]:
        """
        Raises:
            DataError: the format is not recognised.
        """
        reader = mask_reader = None
        if self.polys is not None:
            auto = options.format == "auto"
            reader = readers.detect(self.polys) if auto else readers.get(options.format)
        if self.masks is not None:
            from seem_data.readers.colormask import open_masks

            mask_reader = open_masks(self.masks, categories, options.instances)
        return reader, mask_reader

    def scan(
        self,
        reader: Reader | None,
        mask_reader: Reader | None,
        sentences: SentencesFile | None,
        categories: Categories,
        problems: list[Problem],
    ) -> list[Job]:
        """All images of the input in its order, each with its mask and its sentences."""
        items: Iterable[Item] = ()
        grounds: Iterable[Item] = ()
        if reader and self.polys:
            source = Input(self.polys, self.images, categories.find, self.annotator)
            items = readers.items(reader, source, problems)
        if mask_reader and self.masks:
            source = Input(self.masks, self.images, categories.find)
            grounds = readers.items(mask_reader, source, problems)
        taken: set[str] = set()
        jobs = []
        for position, (item, ground) in enumerate(pair(items, grounds, problems)):
            name = (item or ground).name  # type: ignore[union-attr]
            words = sentences.of(name) if sentences else None
            jobs.append(Job(position, free_stem(safe_stem(name), taken), item, ground, words))
        both = (item for job in jobs for item in (job.item, job.ground) if item)
        problems += left_over(both)
        if sentences is not None:
            problems += sentences.unused()
        return jobs


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a loop of links; a name that cannot be one
        return False


def _overlap(out: Path, source: Path) -> str | None:
    """How output and input contain each other, if they do."""
    out, source = _resolved(out), _resolved(source)
    if out == source:
        return f"is the input {source.name!r} itself."
    if source in out.parents:
        return f"lies inside the input {source.name!r}: the next build would read its own output."
    if out in source.parents:
        return f"contains the input {source.name!r}."
    return None


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def _unfit_output(out: Path) -> Iterator[Problem]:
    """The output must be new, empty, or a dataset built before; and its folders its own."""
    try:
        if not out.exists() and not out.is_symlink():
            yield from _unfit_place(out)
            return
        entries = {path.name for path in out.iterdir()}
        links = [path for path in _folders_of_splits(out) if path.is_symlink()]
    except OSError as error:
        remedy = "Choose another folder."
        yield Problem("bad-output", f"cannot be used ({error.strerror}).", remedy, str(out), where="--out")
        return
    for path in links:
        message = "is a link to another folder: files of yours could be overwritten there."
        yield Problem("bad-output", message, "Put the folder itself in its place.", str(path), where="--out")
    if entries and not entries & {DATASET_JSON, FOLDER}:
        message = f"holds files that are no dataset, e.g. {min(entries)!r}."
        remedy = "Choose a new or empty folder, or a dataset built before."
        yield Problem("bad-output", message, remedy, str(out), where="--out")


def _unfit_place(out: Path) -> Iterator[Problem]:
    """A folder that is not there yet must be one that can be."""
    longest = max(map(len, (os.fsencode(part) for part in out.parts)), default=0)
    there = next(parent for parent in out.absolute().parents if parent.exists())
    message = None
    if longest > _LONGEST_NAME:
        message = f"has a name of {longest} bytes; file systems take {_LONGEST_NAME}."
    elif not there.is_dir():
        message = f"cannot be made: {there} is a file."
    if message:
        yield Problem("bad-output", message, "Choose another folder.", str(out), where="--out")


def _folders_of_splits(out: Path) -> Iterator[Path]:
    for split in splits_on_disk(out):
        yield from (out / split, *(out / split / folder for folder in FOLDERS))


def made_anew(out: Path) -> Path | None:
    """Which folder a build is about to make, to be removed where nothing is built in the end."""
    if (out / FOLDER).exists():
        return None
    return out / FOLDER if out.exists() else out
