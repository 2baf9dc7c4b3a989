"""What cannot be encoded or decoded is refused here, in one sentence each."""

from __future__ import annotations

import torch
from torch import Tensor

from seem_train.errors import UserError
from seem_train.model.language import TextEmbeddings
from seem_train.model.prompts import ImagePrompts


def check_image(image: Tensor) -> None:
    """Refuse what is not [3, H, W], uint8 or float, with at least one pixel."""
    if not isinstance(image, Tensor):
        raise UserError(f"an image must be a torch tensor [3, H, W], not {type(image).__name__}")
    if image.dim() != 3 or image.shape[0] != 3:
        raise UserError(f"an image must be [3, H, W] (RGB first), this one is {list(image.shape)}")
    if 0 in image.shape:
        raise UserError(f"an image of {list(image.shape)} holds no pixel")
    if image.dtype != torch.uint8 and not image.dtype.is_floating_point:
        raise UserError(f"an image must be uint8 or float with values 0 to 255, this one is {image.dtype}")


def check_prompts(
    prompts: ImagePrompts, number: int, size: tuple[int, int], padded: tuple[int, int], mask_features: Tensor
) -> None:
    """Refuse prompts that do not fit image `number` of the batch, whose (height, width) is `size`."""
    where = f"prompts of image {number}"
    if prompts.negative is not None and prompts.positive is None:
        raise UserError(f"{where}: negative masks need positive ones; give empty positive masks beside them")
    for name in ("positive", "negative"):
        masks = getattr(prompts, name)
        if masks is None:
            continue
        if not isinstance(masks, Tensor):
            raise UserError(f"{where}: {name} masks must be a torch tensor, not {type(masks).__name__}")
        if masks.dim() != 3 or tuple(masks.shape[-2:]) not in (size, padded):
            raise UserError(
                f"{where}: {name} masks must be [K, {size[0]}, {size[1]}], as the image is; "
                f"these are {list(masks.shape)}"
            )
        if len(masks) != prompts.objects:
            raise UserError(f"{where}: {len(masks)} {name} masks for {prompts.objects} objects")
    h, w = mask_features.shape[-2:]
    previous = prompts.previous
    if previous is not None and (len(previous) < prompts.objects or tuple(previous.shape[1:]) != (h, w)):
        raise UserError(
            f"{where}: previous masks must be [{prompts.objects}, {h}, {w}] logits, as `refine` gives them; "
            f"these are {list(previous.shape)}"
        )
    if isinstance(prompts.texts, str):
        raise UserError(f"{where}: texts must be a list of strings, not one string: [{prompts.texts!r}]")
    for text in () if isinstance(prompts.texts, TextEmbeddings) else prompts.texts:
        if not isinstance(text, str):
            raise UserError(f"{where}: a text must be a string, not {type(text).__name__}: {text!r}")
    if isinstance(prompts.texts, TextEmbeddings):
        check_device(f"{where}: the texts' embeddings", prompts.texts.vectors, mask_features)
    if prompts.reference is not None:
        check_device(f"{where}: the reference's tokens", prompts.reference.positive, mask_features)


def check_device(what: str, tensor: Tensor, features: Tensor) -> None:
    if tensor.device != features.device:
        raise UserError(f"{what} are on {tensor.device}, the image's features on {features.device}")
