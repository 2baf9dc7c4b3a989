"""Put the photographs of the example beside their annotations.

    python examples/photos/make.py FOLDER

The six photographs ship with scikit-image (``skimage.data``) and are CC0 or in the public domain; they are
copied from the installed package, not kept here. The LabelMe files in ``annotations/`` were drawn by hand.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

PHOTOS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "rocket.jpg")


def main() -> None:
    parser = argparse.ArgumentParser(description="Collect the photographs and annotations of the example.")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    import skimage.data

    bundled = Path(skimage.data.__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    for name in PHOTOS:
        shutil.copyfile(bundled / name, folder / name)
        annotation = Path(name).with_suffix(".json").name
        shutil.copyfile(Path(__file__).parent / "annotations" / annotation, folder / annotation)
    print(f"Copied {len(PHOTOS)} photographs and their annotations into {folder}")


if __name__ == "__main__":
    main()
