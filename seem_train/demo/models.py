"""A model at work for many sessions: what it saw in a photo is kept as long as there is room."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass

import numpy as np
from torch import Tensor

from seem_train.prediction.embedding import EmbeddedPhoto
from seem_train.prediction.predictor import Predictor


@dataclass(frozen=True)
class PhotoLook:
    """A photo that the model has looked at."""

    photo: EmbeddedPhoto
    labels: np.ndarray  #: [h, w] int32 index into the predictor's categories, coarse
    ms: float  #: how long the look took


class DemoModel:
    """One predictor and the photos it saw; to be used by one thread at a time.

    Args:
        room: bytes for what was seen; the longest unused is forgotten first, the last one never.
        min_text_score: from which on what a text means counts as found.
    """

    def __init__(self, predictor: Predictor, name: str, room: int, min_text_score: float = 0.0) -> None:
        self.predictor, self.name, self.min_text_score = predictor, name, min_text_score
        self._room = room
        self._seen: OrderedDict[str, tuple[PhotoLook, int]] = OrderedDict()

    def look(self, key: str, photo: Callable[[], np.ndarray], file_name: str) -> PhotoLook:
        """Turn to a photo: the predictor's next answers are about it.

        Args:
            key: by which the photo is known again.
            photo: gives its pixels, where it has to be looked at.
        """
        found = self._seen.pop(key, None)
        if found is None:
            start = time.perf_counter()
            (embedded,) = self.predictor.embed([photo()])
            embedded = EmbeddedPhoto(embedded.photo, embedded.features, file_name)
            self.predictor.set_image(embedded)
            labels = self.predictor.coarse_semantic()
            looked = PhotoLook(embedded, labels, (time.perf_counter() - start) * 1000)
            found = looked, embedded.photo.nbytes + labels.nbytes + _bytes(embedded.features)
        else:
            self.predictor.set_image(found[0].photo)
        self._seen[key] = found
        while len(self._seen) > 1 and self.held > self._room:
            self._seen.popitem(last=False)
        return found[0]

    def forget(self, key: str) -> None:
        self._seen.pop(key, None)

    @property
    def held(self) -> int:
        """Bytes of all that was seen."""
        return sum(size for _, size in self._seen.values())

    def __contains__(self, key: str) -> bool:
        return key in self._seen


def _bytes(value: object) -> int:
    """Of all tensors in it."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, tuple | list):
        return sum(_bytes(entry) for entry in value)
    if is_dataclass(value):
        return sum(_bytes(getattr(value, field.name)) for field in fields(value))
    return 0
