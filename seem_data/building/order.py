"""What a build is asked to do, checked as a whole: all faults are told at once."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from seem_data import categories as colour_map
from seem_data.building.inputs import Inputs
from seem_data.building.options import Options
from seem_data.categories import Categories
from seem_data.engines.choose import check_engine
from seem_data.limits import DEFAULT_MEGAPIXELS, MOST_MEGAPIXELS
from seem_data.problems import DataError, Problem, attempt
from seem_data.sentences.file import SentencesFile
from seem_data.splits.plan import Plan
from seem_data.splits.plan import parse as parse_plan


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

    def check(self) -> None:
        """
        Raises:
            DataError: one of them cannot be.
        """
        problems: list[Problem] = []
        attempt(problems, check_engine, self.engine, self.workers, self.ray_address)
        if not 0 < self.max_megapixels <= MOST_MEGAPIXELS:
            remedy = f"Use a number above 0, at most {MOST_MEGAPIXELS:g}."
            message = f"is {self.max_megapixels:g}."
            problems.append(Problem("bad-option", message, remedy, where="--max-megapixels"))
        if problems:
            raise DataError(problems)


@dataclass(frozen=True, slots=True)
class ImageOrder:
    """A build that can begin: input, output and options are there and fit together."""

    inputs: Inputs
    out: Path
    options: Options
    manner: Manner
    plan: Plan
    categories: Categories
    sentences: SentencesFile | None


def check_order(
    colors: Path, inputs: Inputs, sentences: Path | None, out: Path, given: dict[str, object], manner: Manner
) -> ImageOrder:
    """
    Args:
        given: fields of `Options`.

    Raises:
        DataError: with everything that is wrong.
    """
    faults: list[Problem] = []
    options = attempt(faults, Options.of, given) or Options()
    plan = attempt(faults, parse_plan, options.split)
    attempt(faults, manner.check)
    attempt(faults, inputs.check, out)
    categories = attempt(faults, colour_map.load, colors)
    sentences_file = attempt(faults, SentencesFile, sentences) if sentences is not None else None
    faults += options.faults(categories)
    if faults or plan is None or categories is None:
        raise DataError(faults)
    # Without panopticapi nothing can be built: told once here, not for every image.
    importlib.import_module("seem_data.encoding.segment_ids")
    return ImageOrder(inputs, out, options, manner, plan, categories, sentences_file)
