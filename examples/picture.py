"""The picture of the README: polygons of a photo, and what a model makes of all of it, of a text, of a click.

    python examples/picture.py RUN SCENES NUMBER PICTURE.png

RUN is what `make train` left; SCENES are photos with LabelMe files, as examples/tabletop/make.py makes them.
The README's is number 2 of `make.py SCENES --images 40 --seed 9`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from seem_train import Predictor
from seem_train.output.draw import contact_sheet, draw_marks

HEIGHT = 260  #: of each panel, pixels


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the picture of the README.")
    parser.add_argument("run", type=Path)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("number", type=int, help="which photo of the folder, from 0")
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    annotation = sorted(given.scenes.glob("*.json"))[given.number]
    shapes = json.loads(annotation.read_text(encoding="utf-8"))["shapes"]
    photo = np.asarray(Image.open(annotation.with_suffix(".jpg")).convert("RGB"))
    predictor = Predictor(str(given.run))
    predictor.set_image(photo)
    sentence = max((shape.get("description") or "" for shape in shapes), key=len)
    x, y = middle_of(next(shape for shape in shapes if shape.get("description") == sentence))
    panels = {
        "labelled polygons": with_polygons(photo, shapes),
        "everything": predictor.panoptic().draw(),
        f"“{sentence}”": predictor.segment(text=sentence).draw(),
        "one click": draw_marks(predictor.segment(points=[(x, y)]).draw(), points=[(x, y, True)]),
    }
    sheet = contact_sheet(list(panels.values()), list(panels), height=HEIGHT)
    Image.fromarray(sheet).save(given.picture, optimize=True)
    print(f"Wrote {given.picture}, {sheet.shape[1]} × {sheet.shape[0]} pixels")


def with_polygons(photo: np.ndarray, shapes: list[dict[str, list[list[float]]]]) -> np.ndarray:
    canvas = photo.copy()
    for shape in shapes:
        ring = np.round(np.array(shape["points"]) * 16).astype(np.int32)
        cv2.polylines(canvas, [ring], True, (255, 255, 255), 1, cv2.LINE_AA, shift=4)
    return canvas


def middle_of(shape: dict[str, list[list[float]]]) -> tuple[float, float]:
    x, y = np.array(shape["points"]).mean(axis=0)
    return float(x), float(y)


if __name__ == "__main__":
    main()
