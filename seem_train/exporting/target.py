"""Where an export goes, and in which form; told without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from seem_train.errors import UserError

Format = Literal["onnx", "pt2"]
FILES = (".safetensors", ".pt")  #: what a file of weights ends with
FORMATS: tuple[Format, ...] = get_args(Format)


def check_target(out: Path, form: str) -> None:
    """Raises UserError: the ending is of no file of weights, or the graphs' format is unknown."""
    if out.suffix and out.suffix not in FILES:
        raise UserError(f"--out {out}: give a file {' or '.join(FILES)} for weights, or a folder for graphs")
    if form not in FORMATS:
        raise UserError(f"--format {form}: there are {' and '.join(FORMATS)}")
