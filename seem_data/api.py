"""What Python code calls: the commands as functions of paths. `build`, `validate` and `export` are such where
they are made."""

from __future__ import annotations

from pathlib import Path

from seem_data import proposal
from seem_data.categories import Categories
from seem_data.checking.validate import validate
from seem_data.layout import Dataset
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
    return write(Dataset(dataset), page, validate(dataset))
