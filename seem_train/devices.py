"""Where and how exactly a model computes, in the words that users give; read without torch."""

from __future__ import annotations

from typing import Literal, get_args

from seem_train.errors import UserError

Precision = Literal["fp32", "bf16", "fp16"]
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", *get_args(Precision))


def check_device(name: str) -> None:
    """Raises UserError: a kind of device that is not known here."""
    if name == "mps":
        raise UserError("--device mps: nothing here was tested on Apple's GPUs; use --device cpu")
    if name not in DEVICES:
        raise UserError(
            f"device {name!r}: SEEM runs on {' and '.join(DEVICES[1:])} here; auto takes cuda if there is one"
        )


def check_precision(name: str) -> None:
    """Raises UserError: a precision that is not known here."""
    if name not in PRECISIONS:
        raise UserError(f"precision {name!r}: there are {', '.join(PRECISIONS)}")
