"""What Python code calls: the commands as functions of paths. `build` is `building.pipeline.build` itself."""

from __future__ import annotations

from pathlib import Path

from seem_data import proposal
from seem_data.categories import Categories
from seem_data.checking.validate import validate as _validate
from seem_data.exporting.export import export as _export
from seem_data.layout import Dataset
from seem_data.limits import DEFAULT_MEGAPIXELS
from seem_data.problems import Problem
from seem_data.readers import Input
from seem_data.showing.report import write
from seem_data.showing.stats import DatasetStats, collect


def init(polys: Path | str, images: Path | str | None = None, format: str = "auto") -> Categories:
    """A colour map to begin with: the labels found in annotations as categories.

    Args:
        polys: folder or file of annotations.
        images: the photos' folder where it is not the annotations' own.
        format: of the annotations.

    Raises:
        DataError: the format is not recognised, or there is no label.

    Example:
        >>> import seem_data
        >>> seem_data.init("annotations").names
        ['cup', 'plate', 'table', 'wall']
    """
    return proposal.colour_map(Input(Path(polys), Path(images) if images is not None else None), format)


def validate(
    dataset: Path | str, *, workers: int | None = None, max_megapixels: float = DEFAULT_MEGAPIXELS
) -> list[Problem]:
    """All that is wrong with a dataset; nothing, or notes alone, if it is as the layout promises.

    Args:
        workers: processes; by default one for each core.
        max_megapixels: photos and PNGs with more are a problem, and not decoded.

    Raises:
        DataError: the folder is no dataset.

    Example:
        >>> import seem_data
        >>> seem_data.validate("dataset")
        []
    """
    return _validate(dataset, workers=workers, max_megapixels=max_megapixels)


def stats(dataset: Path | str) -> DatasetStats:
    """How much a dataset holds, by split and category.

    Raises:
        DataError: the folder is no dataset, or a file of it is malformed.

    Example:
        >>> import seem_data
        >>> seem_data.stats("dataset").splits["train"].images
        2
    """
    return collect(Dataset(dataset))


def report(dataset: Path | str, out: Path | str | None = None) -> Path:
    """Write one HTML page to look at; the findings of `validate` are listed in it.

    Args:
        out: the page; by default ``report.html`` in the dataset.

    Returns:
        the page.

    Raises:
        DataError: the folder is no dataset, or a file of it is missing or malformed.

    Example:
        >>> import seem_data
        >>> seem_data.report("dataset").name
        'report.html'
    """
    page = Path(out) if out is not None else Path(dataset) / "report.html"
    return write(Dataset(dataset), page, _validate(dataset))


def export(
    dataset: Path | str, to: str, out: Path | str, *, link: bool = False, tolerance: float = 0.0
) -> list[str]:
    """Write a dataset under the file names and in the folders that other code expects.

    Args:
        to: ``seem``, ``detectron2``, ``coco``, ``yolo`` or ``labelme``.
        out: a folder of its own.
        link: hard links in place of copies: who changes one changes the dataset.
        tolerance: how far polygons (yolo, labelme) may lie from a mask's edge, in pixels; 0 is exact.

    Returns:
        the commands to type next.

    Raises:
        DataError: an option is wrong, or something cannot be read or written.

    Example:
        >>> import seem_data
        >>> isinstance(seem_data.export("dataset", "coco", "exported"), list)
        True
    """
    return _export(Dataset(dataset), to, Path(out), link=link, tolerance=tolerance)
