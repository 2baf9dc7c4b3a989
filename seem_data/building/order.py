"""What a build is asked to do, checked as a whole: all faults are told at once."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from seem_data import categories as colour_map
from seem_data.building.inputs import Inputs
from seem_data.building.options import Manner, Options
from seem_data.categories import Categories
from seem_data.problems import DataError, Problem, attempt
from seem_data.sentences.file import SentencesFile
from seem_data.splits.plan import Plan
from seem_data.splits.plan import parse as parse_plan


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
    faults += [*manner.faults(), *inputs.faults(out)]
    categories = attempt(faults, colour_map.load, colors)
    sentences_file = attempt(faults, SentencesFile, sentences) if sentences is not None else None
    faults += options.faults(categories)
    if faults or plan is None or categories is None:
        raise DataError(faults)
    # Without panopticapi nothing can be built: told once here, not for every image.
    importlib.import_module("seem_data.encoding.segment_ids")
    return ImageOrder(inputs, out, options, manner, plan, categories, sentences_file)
