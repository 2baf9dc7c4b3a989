"""The options of a build that decide the bytes of the dataset: their defaults, their checks."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from seem_data.categories import Categories
from seem_data.problems import DataError, Problem, did_you_mean
from seem_data.raster import Overlap, RasterOptions, rasterize

Instances = Literal["one", "components"]


@dataclass(frozen=True, slots=True)
class Options:
    """What decides the bytes of a dataset, besides its input. Written into dataset.json.

    Attributes:
        format: of the annotations, or ``auto``.
        split: see `splits.parse`.
        group_by: regular expression; images in whose names it finds the same text share a split.
        seed: of the split and of the choice of generated sentences.
        overlap, unlabeled, min_area, min_coverage: see `RasterOptions`.
        unknown: what becomes of labels that no category has: ``skip``, ``error`` or a category's name.
        instances: things in painted masks: ``one`` an image and category, or connected ``components``.
        sentences_per_segment: generated ones at most; `generated`: whether there are any.
    """

    format: str = "auto"
    split: str = "auto"
    group_by: str | None = None
    seed: int = 0
    overlap: Overlap = "format"
    unlabeled: str = "void"
    min_area: int = 0
    min_coverage: float = 0.5
    unknown: str = "skip"
    instances: Instances = "one"
    sentences_per_segment: int = 4
    generated: bool = True

    @classmethod
    def of(cls, given: dict[str, Any]) -> Options:
        """
        Raises:
            DataError: an option does not exist or has a value it cannot have.
        """
        known = [option.name for option in fields(cls)]
        if wrong := [name for name in given if name not in known]:
            hint = did_you_mean(wrong[0], known) or f"There are: {', '.join(known)}."
            raise DataError(Problem("bad-option", f"there is no option {wrong[0]!r}.", hint))
        options = cls(**given)
        if problems := list(options._faults()):
            raise DataError(problems)
        return options

    def _faults(self) -> list[Problem]:
        faults: list[Problem] = []

        def expect(name: str, good: bool, remedy: str) -> None:
            if not good:
                value = getattr(self, name)
                option = f"--{name.replace('_', '-')}"
                faults.append(Problem("bad-option", f"is {value!r}.", remedy, where=option))

        for name, words in (("overlap", get_args(Overlap)), ("instances", get_args(Instances))):
            expect(name, getattr(self, name) in words, f"Use {', '.join(words)}.")
        expect("min_area", self.min_area >= 0, "Use a number of pixels, 0 or more.")
        expect("min_coverage", 0 <= self.min_coverage <= 1, "Use a fraction from 0 to 1.")
        expect("sentences_per_segment", self.sentences_per_segment >= 0, "Use 0 or more.")
        try:
            re.compile(self.group_by or "")
        except re.error as error:
            remedy = (
                rf"It is no regular expression ({error}); '^(.*)_\d+\.' keeps frames of a video together."
            )
            expect("group_by", False, remedy)
        return faults

    @property
    def raster(self) -> RasterOptions:
        return RasterOptions(self.overlap, self.unlabeled, self.min_area, self.min_coverage)

    def check_categories(self, categories: Categories) -> None:
        """
        Raises:
            DataError: an option names a category that there is not.
        """
        problems: list[Problem] = []
        if self.unknown not in ("skip", "error") and categories.find(self.unknown) is None:
            hint = categories.suggest(self.unknown) or f"There are: {', '.join(categories.names)}."
            message = f"{self.unknown!r} is neither skip nor error nor a category."
            problems.append(Problem("bad-option", message, hint, where="--unknown"))
        try:
            rasterize([], (1, 1), categories, self.raster, [])
        except DataError as error:
            problems += error.problems
        if problems:
            raise DataError(problems)

    def of_images(self) -> dict[str, Any]:
        """Those that decide what becomes of a single image; a change of others rebuilds none."""
        every = asdict(self)
        return {name: value for name, value in every.items() if name not in ("format", "split", "group_by")}
