"""Sentences from a file of their own (``--sentences``), keyed by image and object.

JSON ``{"kitchen/001.jpg": {"cup#2": ["the chipped cup"], "shapes[0]": "my cup"}}`` or CSV with the columns
image, object, sentence, as spreadsheets write it: with commas, semicolons or tabs.

An image is named by its path below the photos' folder, by its file name, or by either without its ending. An
object is named by its place in the annotation file as problems show it (``shapes[3]``, ``annotation 17``), by
its label where the image has one of it, or by ``label#n``: the n-th region of that label in the file, counted
from 1.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from seem_data.annotations import Region, Sentence, spellings
from seem_data.problems import DataError, Problem, Spot, fault

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
            text = _decoded(path.read_bytes(), str(path))
            is_json = path.suffix.lower() == ".json" or text.lstrip().startswith("{")
            self._images = _from_json(text) if is_json else _from_csv(text, str(path))
        except (OSError, ValueError, csv.Error, msgspec.DecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise fault("bad-sentences", f"cannot be read ({reason}).", _FORM, str(path)) from None
        self._unused = set(self._images)

    def of(self, image: str) -> ImageSentences | None:
        """What the file says of an image."""
        for name in spellings(image):
            if name in self._images:
                self._unused.discard(name)
                return self._images[name]
        return None

    def unused(self) -> Iterable[Problem]:
        """One warning if there are entries whose image nobody has asked for."""
        if self._unused:
            message = (
                f"has sentences for {len(self._unused)} image(s) that are not in the input, "
                f"first {min(self._unused)!r}."
            )
            remedy = "Name images by their path below the photos' folder."
            yield Problem("sentences-without-image", message, remedy, str(self._path), severity="warning")


def _decoded(data: bytes, file: str) -> str:
    """UTF-8 with or without byte order mark, or UTF-16 with one, which is how Excel writes Unicode text.

    Raises:
        DataError: another encoding. None is guessed: it would garble names without a word.
    """
    try:
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x})."
        remedy = "Save it with UTF-8 encoding; spreadsheets call it 'CSV UTF-8'."
        raise fault("bad-encoding", message, remedy, file) from None


def _from_json(text: str) -> dict[str, ImageSentences]:
    images = msgspec.json.decode(text, type=dict[str, dict[str, str | list[str]]])
    return {
        image.replace("\\", "/"): {
            name: [words] if isinstance(words, str) else words for name, words in objects.items()
        }
        for image, objects in images.items()
    }


def _from_csv(text: str, file: str) -> dict[str, ImageSentences]:
    """
    Raises:
        DataError: of every line that is not complete.
    """
    header = text.lstrip().partition("\n")[0]
    separator = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text.lstrip(), newline=""), delimiter=separator)
    reader.fieldnames = [name.strip().casefold() for name in reader.fieldnames or ()]
    if missing := [repr(column) for column in _COLUMNS if column not in reader.fieldnames]:
        *more, last = missing
        raise ValueError(f"there is no column {' or '.join([', '.join(more), last] if more else [last])}")
    images: dict[str, ImageSentences] = {}
    problems: list[Problem] = []
    for row in reader:
        if not any(row.values()):
            continue
        where = f"line {reader.line_num}"
        image, name, sentence = (row[column] for column in _COLUMNS)
        if None in row:
            message = f"has more than {len(reader.fieldnames)} columns."
            remedy = f'Put sentences that hold {separator!r} in "double quotes".'
            problems.append(Problem("bad-sentences", message, remedy, file, where))
        elif empty := [column for column in _COLUMNS if not row[column]]:
            message = f"has no {empty[0]}."
            problems.append(Problem("bad-sentences", message, "Fill it in or remove the line.", file, where))
        else:
            images.setdefault(image.replace("\\", "/"), {}).setdefault(name, []).append(sentence)
    if problems:
        raise DataError(problems)
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
            which = f"has {several} regions called {name!r}: which one is meant?"
            message = f"{which if several else f'has no object {name!r}.'} Its sentences are left out."
            remedy = f"Objects here: {', '.join(sorted(names)[:6])}."
            Spot(problems, file, "--sentences").tell("sentence-without-object", message, remedy)
            continue
        own = tuple(Sentence(raw.strip()) for raw in words if raw.strip())
        sentences = tuple(dict.fromkeys((*regions[index].sentences, *own)))
        regions[index] = dataclasses.replace(regions[index], sentences=sentences)
    return regions
