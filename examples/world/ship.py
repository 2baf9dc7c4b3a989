"""Make of a pretraining the weights that come with the package: half precision, with a card.

python -m examples.world.ship FOLDER [seem_train/weights/seem-tiny.safetensors]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from examples.world.recipe import Recipe
from examples.world.words import CATEGORIES, THINGS
from seem_train.adapters.layers import Placement
from seem_train.model.card import Base, Card, CardCategory
from seem_train.weights.adapter_folder import metadata_of
from seem_train.weights.choice import SHIPPED
from seem_train.weights.tensor_files import read_tensors, write_tensors


def card_of(recipe: Recipe) -> Card:
    """What the weights say about themselves: the world's categories, and the size they know pictures at."""
    side = recipe.stages[-1].side
    categories = (
        CardCategory(id=number, name=name, isthing=int(name in THINGS))
        for number, name in enumerate(CATEGORIES, start=1)
    )
    return Card(
        model=recipe.model,
        strategy="full",
        placement=Placement(),
        base=Base("", ""),
        categories=tuple(categories),
        preprocessing={"size": side, "eval_size": side},
        step=recipe.steps,
        tool="examples/world",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the weights that come with the package.")
    parser.add_argument("folder", type=Path, help="of the pretraining")
    parser.add_argument("file", type=Path, nargs="?", default=SHIPPED["seem-tiny"])
    given = parser.parse_args()
    recipe = msgspec.yaml.decode((given.folder / "recipe.yaml").read_bytes(), type=Recipe)
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in read_tensors(given.folder / "weights.safetensors").items()
    }
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise SystemExit(f"{given.folder}: holds weights too large for half precision")
    write_tensors(given.file, tensors, metadata_of(card_of(recipe)))
    print(f"{given.file}: {given.file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
