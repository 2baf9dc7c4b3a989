"""A demo on the small model of these tests, and photos to put on its table."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from toy import MICRO, NAMES, micro

from seem_train import Predictor
from seem_train.demo.album import Album
from seem_train.demo.keeping import KeptFolder
from seem_train.demo.limits import Limits
from seem_train.demo.models import DemoModel
from seem_train.demo.session import DemoSession
from seem_train.demo.workplace import Offer
from seem_train.model.config import PostprocessConfig

WIDTH, HEIGHT, SIDE = 140, 90, 64


def photo(
    width: int = WIDTH, height: int = HEIGHT, seed: int = 0, form: str = "PNG", turned: int = 1
) -> bytes:
    """An encoded photo; `turned` is its EXIF orientation."""
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))
    encoded, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = turned
    image.save(encoded, form, exif=exif)
    return encoded.getvalue()


def demo_model(seed: int = 0, room: int = 1 << 30) -> DemoModel:
    """It knows nothing and is sure of nothing; little is asked for that "everything" is something."""
    config = replace(MICRO, postprocess=PostprocessConfig(object_threshold=0.2, overlap_threshold=0.1))
    return DemoModel(Predictor(micro(config, seed), NAMES, size=SIDE), f"toy {seed}", room)


def demo_session(model: DemoModel | None = None, base: DemoModel | None = None) -> DemoSession:
    return DemoSession(model or demo_model(), photo(), "shelf.png", base)


def offer(keep: Path, limits: Limits | None = None, album: list[Path] | None = None) -> Offer:
    model = demo_model()
    kept = KeptFolder(keep, model.predictor.categories)
    return Offer(model, demo_model(1), Album(album or [], kept.has), kept, limits or Limits())
