"""Sentences from a file of their own (``--sentences``), keyed by image and object.

JSON ``{"kitchen/001.jpg": {"cup#2": ["the chipped cup"], "shapes[0]": "my cup"}}`` or CSV with the columns
image, object, sentence. An image is named by its path below the photos' folder, by its file name, or by
either without its ending. An object is named by its place in the annotation file as problems show it
(``shapes[3]``, ``annotation 17``), by its label where the image has one of it, or by ``label#n``: the n-th
region of that label in the file, counted from 1.
"""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from seem_data.annotations import Region, Sentence
from seem_data.problems import DataError, Problem

#: object ─▶ sentences, of one image
ImageSentences = dict[str, list[str]]

_COLUMNS = ("image", "object", "sentence")
_FORM = 'Write {"image": {"object": ["sentence", …]}}, or CSV with the columns image, object, sentence.'


class SentencesFile:
    """A sentences file, read and checked.

    Raises:
        DataError: the file cannot be read or is not of that form.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            text = path.read_text(encoding="utf-8-sig")
            self._images = _from_csv(text) if path.suffix.lower() == ".csv" else _from_json(text)
        except (OSError, ValueError, csv.Error, msgspec.DecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(
                Problem("bad-sentences", f"cannot be read ({reason}).", _FORM, str(path))
            ) from None
        self._unused = set(self._images)

    def of(self, image: str) -> ImageSentences | None:
        """What the file says of an image."""
        path = PurePosixPath(image)
        for name in (image, str(path.with_suffix("")), path.name, path.stem):
            if name in self._images:
                self._unused.discard(name)
                return self._images[name]
        return None

    def unused(self) -> Iterable[Problem]:
        """One warning if there are entries whose image nobody has asked for."""
        if self._unused:
            yield Problem(
                "sentences-without-image",
                f"has sentences for {len(self._unused)} image(s) that are not in the input, "
                f"first {min(self._unused)!r}.",
                "Name images by their path below the photos' folder.",
                str(self._path),
                severity="warning",
            )


def _from_json(text: str) -> dict[str, ImageSentences]:
    images = msgspec.json.decode(text, type=dict[str, dict[str, str | list[str]]])
    return {
        image.replace("\\", "/"): {
            name: [words] if isinstance(words, str) else words for name, words in objects.items()
        }
        for image, objects in images.items()
    }


def _from_csv(text: str) -> dict[str, ImageSentences]:
    images: dict[str, ImageSentences] = {}
    reader = csv.DictReader(text.splitlines())
    if missing := [column for column in _COLUMNS if column not in (reader.fieldnames or ())]:
        raise ValueError(f"there is no column {missing[0]!r}")
    for row in reader:
        image, name, sentence = (row[column] for column in _COLUMNS)
        if not image or not name or not sentence:
            raise ValueError(f"line {reader.line_num} is not complete")
        images.setdefault(image.replace("\\", "/"), {}).setdefault(name, []).append(sentence)
    return images


def add_sentences(
    regions: list[Region], extra: Mapping[str, list[str]], problems: list[Problem], file: str
) -> list[Region]:
    """The regions with the sentences that name them; objects that no region answers to are problems."""
    counted: Counter[str] = Counter()
    names: dict[str, int] = {}
    for index, region in enumerate(regions):
        label = region.label.casefold()
        counted[label] += 1
        names[f"{label}#{counted[label]}"] = index
        names[region.where.casefold()] = index
    names |= {label: names[f"{label}#1"] for label, count in counted.items() if count == 1}
    regions = list(regions)
    for name, words in extra.items():
        index = names.get(name.strip().casefold())
        if index is None:
            several = counted[name.strip().casefold()]
            message = (
                f"has {several} regions called {name!r}: which one is meant?"
                if several
                else f"has no object {name!r}."
            )
            problems.append(
                Problem(
                    "sentence-without-object",
                    f"{message} Its sentences are left out.",
                    f"Objects here: {', '.join(sorted(names)[:6])}.",
                    file,
                    where="--sentences",
                    severity="warning",
                )
            )
            continue
        own = tuple(Sentence(raw.strip()) for raw in words if raw.strip())
        sentences = tuple(dict.fromkeys((*regions[index].sentences, *own)))
        regions[index] = dataclasses.replace(regions[index], sentences=sentences)
    return regions
