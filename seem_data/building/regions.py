"""The regions of an image as its files hold them, their labels turned into categories."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from seem_data.annotations import UNLABELED, VOID, ImageAnnotation, Region
from seem_data.building.job import Job, Recipe
from seem_data.problems import Problem, fault


def load(recipe: Recipe, job: Job, problems: list[Problem]) -> tuple[ImageAnnotation, ImageAnnotation | None]:
    """The image's polygons, and its painted mask where it has both.

    Raises:
        DataError: nothing of one can be used.
    """
    ground = recipe.mask_reader.load(job.ground, problems) if recipe.mask_reader and job.ground else None
    if recipe.reader and job.item:
        return recipe.reader.load(job.item, problems), ground
    assert ground is not None
    if job.main.image is None:
        raise fault("missing-image", "has no photo.", "Name the photos' folder with --images.")
    return ground, None


def resolve(regions: list[Region], recipe: Recipe, problems: list[Problem], file: str) -> list[Region]:
    """The regions with their categories' own names for labels; those of unknown labels as asked for."""
    known: list[Region] = []
    strangers: Counter[str] = Counter()
    first: dict[str, str] = {}
    unknown = recipe.options.unknown
    fallback = recipe.categories.find(unknown) if unknown not in ("skip", "error") else None
    for region in regions:
        if region.label in (VOID, UNLABELED):
            known.append(region)
            continue
        category = recipe.categories.find(region.label)
        if category is None:
            strangers[region.label] += 1
            first.setdefault(region.label, region.where)
            category = fallback
        if category is not None:
            same = category.name == region.label
            known.append(region if same else replace(region, label=category.name))
    for label, count in strangers.items():
        times = f" ({count} regions)" if count > 1 else ""
        fate = f"is drawn as {fallback.name!r}" if fallback else "is left out"
        hint = recipe.categories.suggest(label) or "Add it to the colour map, or see --unknown."
        message = f"no category is called {label!r}: it {fate}{times}."
        if not label:
            message = f"has no label: it {fate}{times}."
            hint = "Label it, or name the category of what has no label with --unknown."
        problems.append(
            Problem("unknown-label", message, hint, file, first[label], "note" if fallback else "error")
        )
    return known
