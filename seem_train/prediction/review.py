"""Photos by how unsure the model is of them, least sure first: where the next hour of annotating helps most.

::

    DIR/
      review.csv             rank, how unsure, photo
      0001_NAME.png …        what was found in each, to look at in that order
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seem_data.common.files import atomic_path, write_text
from seem_train.files import make_folder
from seem_train.prediction.answers import Panoptic

MEASURE = "share of the photo that no segment covers, and of the rest what its score lacks to 1"


@dataclass(frozen=True)
class ReviewPhoto:
    file: str  #: the photo
    unsure: float  #: 0: every pixel belongs to a segment of score 1; 1: nothing was found
    picture: Path  #: what was found, drawn


def how_unsure(answer: Panoptic) -> float:
    """1 − Σ area · score / pixels, over all segments: see `MEASURE`."""
    sure = sum(segment.area * segment.score for segment in answer.segments)
    return 1 - sure / (answer.size[0] * answer.size[1])


def write_review(folder: Path, found: Sequence[ReviewPhoto]) -> list[ReviewPhoto]:
    """Write table and pictures.

    Returns:
        the photos, least sure first.

    Raises:
        UserError: the folder cannot be written to.
    """
    make_folder(folder)
    ordered = sorted(found, key=lambda one: (-one.unsure, one.file))
    digits = max(4, len(str(len(ordered))))
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("rank", "unsure", "photo"))
    for rank, one in enumerate(ordered, start=1):
        rows.writerow((rank, f"{one.unsure:.4f}", one.file))
        name = Path(one.file).with_suffix("").as_posix().replace("/", "_")
        with atomic_path(folder / f"{rank:0{digits}d}_{name}{one.picture.suffix}") as new:
            shutil.copyfile(one.picture, new)
    write_text(folder / "review.csv", table.getvalue())
    return ordered
