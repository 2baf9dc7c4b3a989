"""A folder of corrected photos that `seem-data build` reads: each photo, its LabelMe file, the categories."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from seem_data.common.files import write_json
from seem_data.writers import WrittenPhoto, labelme
from seem_train.demo import photos, saving
from seem_train.demo.session import DemoSession
from seem_train.errors import UserError, told_by_data
from seem_train.prediction.vocabulary import Category, as_categories, with_names

CATEGORIES = "categories.json"


class KeptFolder:
    """
    Args:
        folder: made when the first photo is kept.
        categories: the model's; names that people give are added.
    """

    def __init__(self, folder: Path, categories: Sequence[Category]) -> None:
        self.folder = folder
        self._categories = tuple(categories)

    def keep(self, session: DemoSession) -> tuple[Path, Path]:
        """Write a session's photo and objects; the same session again writes the same files anew.

        Returns:
            the photo and its annotation.

        Raises:
            UserError: nothing is on the table, or the folder cannot be written to.
        """
        if not session.state.objects:
            raise UserError("there is nothing on the table to be kept")
        name = session.kept_as or self._free_name(session)
        try:
            with told_by_data():
                writer = labelme.LabelMeWriter(self.folder, self._all(session))
                photo = WrittenPhoto(name, (session.size[1], session.size[0]), session.content)
                writer.add(photo, saving.segments_of(session, with_scores=False))
                writer.close()
            self._write_categories(session)
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be written to ({error.strerror})") from None
        session.kept_as = name
        return self.folder / name, (self.folder / name).with_suffix(".json")

    def has(self, name: str) -> bool:
        """Whether a photo of that name was kept."""
        return (self.folder / safe_name(name)).with_suffix(".json").is_file()

    def _free_name(self, session: DemoSession) -> str:
        """The photo's own name; beside another photo of that name, with a number."""
        wanted = PurePosixPath(safe_name(session.name))
        ending = wanted.suffix or photos.ending(session.content)
        number = 1
        while True:
            stem = wanted.stem if number == 1 else f"{wanted.stem}-{number}"
            there = [p for p in self.folder.glob(f"{glob.escape(stem)}.*") if p.name != CATEGORIES]
            same = self.folder / f"{stem}{ending}"
            if not there or (same.is_file() and same.read_bytes() == session.content):
                return same.name
            number += 1

    def _all(self, session: DemoSession) -> tuple[Category, ...]:
        return with_names(self._known(), (category.name for category in saving.categories_of(session)))

    def _known(self) -> tuple[Category, ...]:
        """Those of the model, and those of photos kept before."""
        file = self.folder / CATEGORIES
        if not file.is_file():
            return self._categories
        try:
            rows = json.loads(file.read_text(encoding="utf-8"))
            before = as_categories([{"name": name, **row} for name, row in rows.items()], self._categories)
        except (ValueError, AttributeError, TypeError):
            raise UserError(f"{file}: is no colour map any more; move it away, or mend it") from None
        names = {category.name.casefold() for category in before}
        return (*before, *(c for c in self._categories if c.name.casefold() not in names))

    def _write_categories(self, session: DemoSession) -> None:
        colors = {
            category.name: {"color": list(category.color), "isthing": category.isthing}
            for category in self._all(session)
        }
        write_json(self.folder / CATEGORIES, colors, indent=1)


def safe_name(name: str) -> str:
    """A file's name without a folder, or anything that a file system may not like."""
    last = PurePosixPath(name.replace("\\", "/")).name
    safe = re.sub(r"[^\w .()+-]", "_", last).strip(". ")
    return safe[-120:] or "photo"
