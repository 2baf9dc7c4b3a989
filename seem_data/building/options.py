"""The options of a build, those that decide the bytes of the dataset and the others: defaults and checks."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Literal, TypedDict, get_args

from seem_data.categories import Categories
from seem_data.common.wording import did_you_mean
from seem_data.drawing.raster import Overlap, RasterOptions, rasterize
from seem_data.engines.choose import check_engine
from seem_data.limits import DEFAULT_MEGAPIXELS, MOST_MEGAPIXELS
from seem_data.problems import DataError, Problem, attempt
from seem_data.readers import FORMATS

Instances = Literal["one", "components"]


class BuildOptions(TypedDict, total=False):
    """The keywords of `build` that are fields of `Options`; what is left out has its default."""

    format: str
    split: str
    group_by: str | None
    seed: int
    overlap: Overlap
    unlabeled: str
    min_area: int
    min_coverage: float
    unknown: str
    instances: Instances
    sentences_per_segment: int
    generated: bool


@dataclass(frozen=True, slots=True)
class Options:
    """What decides the bytes of a dataset, besides its input. Written into dataset.json.

    Attributes:
        format: of the annotations, or ``auto``.
        split: see `splits.plan.parse`.
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
    def of(cls, given: BuildOptions) -> Options:
        """
        Raises:
            DataError: an option does not exist.
        """
        known = [option.name for option in fields(cls)]
        problems = [
            Problem(
                "bad-option",
                f"there is no option {name!r}.",
                did_you_mean(name, known) or f"There are: {', '.join(known)}.",
            )
            for name in given
            if name not in known
        ]
        if problems:
            raise DataError(problems)
        return cls(**given)

    def faults(self, categories: Categories | None) -> list[Problem]:
        """The options that have a value they cannot have.

        Args:
            categories: of the dataset, which some options name; None leaves these unchecked.
        """
        faults: list[Problem] = []

        def expect(name: str, good: bool, remedy: str) -> None:
            if not good:
                value = getattr(self, name)
                option = f"--{name.replace('_', '-')}"
                faults.append(Problem("bad-option", f"is {value!r}.", remedy, where=option))

        expect("format", self.format in ("auto", *FORMATS), f"Use auto, {', '.join(FORMATS)}.")
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
        if categories is not None:
            if self.unknown not in ("skip", "error") and categories.find(self.unknown) is None:
                hint = categories.suggest(self.unknown) or f"There are: {', '.join(categories.names)}."
                expect("unknown", False, f"Use skip, error or a category. {hint}")
            attempt(faults, rasterize, [], (1, 1), categories, RasterOptions(unlabeled=self.unlabeled), [])
        return faults

    @property
    def raster(self) -> RasterOptions:
        return RasterOptions(self.overlap, self.unlabeled, self.min_area, self.min_coverage)

    @property
    def most_generated(self) -> int:
        """Generated sentences of a segment at most."""
        return self.sentences_per_segment if self.generated else 0

    def of_images(self) -> dict[str, object]:
        """Those that decide what becomes of a single image; a change of others rebuilds none."""
        every = asdict(self)
        return {name: value for name, value in every.items() if name not in ("format", "split", "group_by")}


@dataclass(frozen=True, slots=True)
class Manner:
    """How a dataset is built, where that changes none of its bytes.

    Attributes:
        strict: nothing is built if anything would have to be left out.
        verify: files are told to be unchanged by their content, not by size and time.
        link: photos are hard links to the input where they need no change: an edit of one changes both.
        max_megapixels: photos with more are left out.
        workers, engine, ray_address: see `engines`.
    """

    strict: bool = False
    verify: bool = False
    link: bool = False
    max_megapixels: float = DEFAULT_MEGAPIXELS
    workers: int | None = None
    engine: str = "auto"
    ray_address: str | None = None

    def faults(self) -> list[Problem]:
        """What cannot be as it is asked for."""
        faults: list[Problem] = []
        attempt(faults, check_engine, self.engine, self.workers, self.ray_address)
        if not 0 < self.max_megapixels <= MOST_MEGAPIXELS:
            remedy = f"Use a number above 0, at most {MOST_MEGAPIXELS:g}."
            message = f"is {self.max_megapixels:g}."
            faults.append(Problem("bad-option", message, remedy, where="--max-megapixels"))
        return faults
