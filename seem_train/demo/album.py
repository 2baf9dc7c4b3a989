"""The photos of ``--images``, those first of which the model is least sure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from seem_train.demo.limits import Limits
from seem_train.demo.wire import AlbumRow
from seem_train.errors import UserError
from seem_train.prediction.photo import open_photo
from seem_train.prediction.predictor import Predictor
from seem_train.prediction.review import how_unsure


class Album:
    """
    Args:
        files: in the order of their names.
        is_kept: whether a photo of that name was kept.
        max_pixels: photos of more are not looked at.
    """

    def __init__(
        self, files: Sequence[Path], is_kept: Callable[[str], bool], max_pixels: int = Limits.pixels
    ) -> None:
        self._files, self._is_kept, self._max_pixels = list(files), is_kept, max_pixels
        self._unsure: dict[int, float] = {}
        self._opened: set[int] = set()

    def __len__(self) -> int:
        return len(self._files)

    def rows(self) -> list[AlbumRow]:
        """Those not kept first, of these the least sure; photos nobody looked at yet in between."""
        rows = [
            AlbumRow(number, file.name, self._is_kept(file.name), self._unsure.get(number))
            for number, file in enumerate(self._files)
        ]
        return sorted(
            rows, key=lambda row: (row.kept, -(0.5 if row.unsure is None else row.unsure), row.number)
        )

    def open(self, number: int | None = None) -> tuple[str, bytes] | None:
        """Name and content of a photo; without a number the next that was neither opened nor kept."""
        if number is None:
            fresh = [row for row in self.rows() if not row.kept and row.number not in self._opened]
            if not fresh:
                return None
            number = fresh[0].number
        if not 0 <= number < len(self._files):
            return None
        self._opened.add(number)
        file = self._files[number]
        return file.name, file.read_bytes()

    def unseen(self) -> list[int]:
        return [number for number in range(len(self._files)) if number not in self._unsure]

    def judge(self, number: int, predictor: Predictor) -> None:
        """Let the model look; a photo that cannot be read is the last to be shown.

        Takes the predictor's photo: whoever asks next must turn to theirs.
        """
        try:
            photo = open_photo(self._files[number], self._max_pixels)
        except UserError:
            self._unsure[number] = 0.0
            return
        predictor.set_image(photo)
        self._unsure[number] = round(how_unsure(predictor.panoptic()), 4)

    @property
    def looked_at(self) -> int:
        return len(self._unsure)
