"""LabelMe itself opens and saves what we write, in an environment of its own: it brings Qt and onnxruntime.

`LABELME_PYTHON` names the python of an environment with `pip install labelme`; else this one's is tried.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from marked import CATEGORIES, built, ious, marked, painted, random_masks, size_of
from reading import make_photo

from seem_data.writers import WrittenPhoto, open_writer
from seem_data.writers.outlines import LEAST_IOU

PYTHON = os.environ.get("LABELME_PYTHON", sys.executable)

#: Opens each file with LabelMe's loader, tells what it sees in it, and saves it as its window does.
OPEN_AND_SAVE = """
import json, sys
from pathlib import Path
import numpy as np
from labelme import utils
from labelme._label_file import LabelFile

seen = {}
for path in sorted(Path(sys.argv[1]).glob("*.json")):
    file = LabelFile(str(path))
    height, width = utils.img_data_to_arr(file.image_data).shape[:2]
    seen[path.stem] = {}
    for shape in file.shapes:
        mask = utils.shape_to_mask((height, width), shape["points"], shape["shape_type"])
        runs = seen[path.stem].setdefault(shape["label"], [])
        runs.append(np.packbits(mask).tobytes().hex())
    shapes = [{**{k: v for k, v in s.items() if k != "other_data"}, **s["other_data"]} for s in file.shapes]
    file.save(str(Path(sys.argv[2]) / path.name), shapes, file.image_path, height, width)
print(json.dumps(seen))
"""


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [0.0, 1.0])
def test_labelme_opens_what_we_write_and_we_read_what_it_saves(tmp_path: Path, tolerance: float) -> None:
    if subprocess.run([PYTHON, "-c", "import labelme"], capture_output=True, check=False).returncode:
        pytest.skip("labelme is not installed: name the python of an environment that has it, LABELME_PYTHON")
    out, saved = tmp_path / "out", tmp_path / "saved"
    saved.mkdir()
    writer = open_writer("labelme", out, CATEGORIES, tolerance)
    masks = {f"photo{seed}": random_masks(seed, most=120) for seed in range(30)}
    for name, found in masks.items():
        for folder in (out, saved):
            make_photo(folder / f"{name}.png", size_of(found))
        writer.add(WrittenPhoto(f"{name}.png", size_of(found)), marked(found))
    writer.close()

    command = [PYTHON, "-c", OPEN_AND_SAVE, str(out), str(saved)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    seen = json.loads(done.stdout)
    off = 1 - LEAST_IOU if tolerance else 0.002
    assert seen.keys() == masks.keys()
    for name, found in masks.items():
        width, height = size_of(found)
        for segment, mask in zip(marked(found), found, strict=True):
            packed = [np.frombuffer(bytes.fromhex(part), np.uint8) for part in seen[name][segment.category]]
            parts = [np.unpackbits(part, count=width * height).reshape(height, width) for part in packed]
            union = np.any(parts, axis=0)
            # LabelMe paints the outline as well: a pixel more all around, and the bridges to holes.
            pixels, square = mask.astype(np.uint8), np.ones((3, 3), np.uint8)
            thinned, grown = cv2.erode(pixels, square, borderValue=0) > 0, cv2.dilate(pixels, square) > 0
            assert np.count_nonzero(thinned & ~union) <= off * mask.sum()
            assert np.count_nonzero(union & ~grown) <= off * mask.sum()
        assert {shape["score"] for shape in json.loads((saved / f"{name}.json").read_text())["shapes"]}
        (again,) = built("labelme", saved / f"{name}.json", None, size_of(found)).values()
        assert min(ious(again, painted(found))) >= (1.0 if tolerance == 0 else LEAST_IOU)
