"""What ``--split`` means: shares, lists of image names, folders, or as the input says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seem_data.problems import DataError, fault

#: Other words for splits, in lower case, and the names that splits have here.
SPLIT_SYNONYMS = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
SPLIT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_SYNTAX = (
    "Write shares (train=0.8,val=0.2), lists of image names (train=train.txt,val=val.txt), 'folders' "
    "(the first folder of each image's path) or 'auto' (as the input says, else train=0.8,val=0.2)."
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How images are split. At most one of `shares` and `lists` is there; neither means folders or auto."""

    shares: Mapping[str, float] = field(default_factory=dict)
    lists: Mapping[str, frozenset[str]] = field(default_factory=dict)
    folders: bool = False

    def as_option(self) -> object:
        """As dataset.json tells it: no paths, so that two builds of one input are equal."""
        if self.shares:
            return dict(self.shares)
        return {split: len(names) for split, names in self.lists.items()} or (
            "folders" if self.folders else "auto"
        )


def parse(text: str) -> Plan:
    """The plan that ``--split`` means.

    Raises:
        DataError: it cannot be understood, or a list cannot be read.
    """
    text = text.strip()
    if text in ("auto", "folders"):
        return Plan(folders=text == "folders")
    pairs = [tuple(part.strip() for part in pair.split("=", 1)) for pair in text.split(",") if pair.strip()]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise _bad_option(f"is {text!r}.")
    values: dict[str, str] = {}
    for name, value in pairs:
        if not SPLIT_NAME.fullmatch(name):
            raise _bad_option(f"names the split {name!r}; use letters, digits, '-' and '_'.")
        if values.setdefault(name, value) != value:
            raise _bad_option(f"names the split {name!r} twice.")
    numbers = {name: _number(value) for name, value in values.items()}
    if None not in numbers.values():
        return Plan(shares=_shares({name: number or 0.0 for name, number in numbers.items()}))
    return Plan(lists={name: _read_list(Path(value)) for name, value in values.items()})


def _bad_option(message: str) -> DataError:
    return fault("bad-option", message, _SYNTAX, where="--split")


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _shares(numbers: dict[str, float]) -> dict[str, float]:
    total = sum(numbers.values())
    whole = all(number == int(number) for number in numbers.values() if abs(number) < 1e9)
    if min(numbers.values()) <= 0 or not total < float("inf"):
        raise _bad_option("needs shares above 0.")
    if not whole and abs(total - 1) > 0.011:  # three thirds may be written as 0.33
        raise _bad_option(f"has shares that add up to {total:g}, not to 1.")
    return {name: number / total for name, number in numbers.items()}


def _read_list(path: Path) -> frozenset[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        message = "is a list of images that is not UTF-8."
        raise fault("bad-list", message, "Save it with UTF-8 encoding.", str(path)) from None
    except OSError as error:
        message = f"cannot be read as a list of images ({error.strerror})."
        raise fault("bad-list", message, _SYNTAX, str(path)) from None
    return frozenset(line.strip().replace("\\", "/") for line in lines if line.strip())
