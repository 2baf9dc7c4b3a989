"""Files of named tensors, `.pt` and `.safetensors`: read without running code, written atomically."""

from __future__ import annotations

import errno
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from seem_data.common.files import atomic_path
from seem_train.errors import UserError
from seem_train.weights.checkpoints import CHECKPOINTS

#: what trainers put around a state dict, and before every name in it
_DEEPEST = 10  #: wrappers around wrappers
_CONTAINERS = ("model", "state_dict", "module")
_PREFIXES = ("module.", "model.")

_AGAIN = "download it again (seem-train weights get continues where it stopped)"


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says beside its tensors; nothing for other and for unreadable files."""
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError):
        return {}


def read_tensors(path: Path, remedy: str = _AGAIN) -> dict[str, Tensor]:
    """Name ─▶ tensor on the CPU, without wrappers and common prefixes; memory-mapped where the format allows.

    `remedy`: what to advise where the file is incomplete. The format is told by the content, not by the
    suffix. Raises UserError, one sentence, for a folder, an empty or incomplete file, a web page saved as a
    checkpoint, and a pickle that holds more than tensors.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; name the .pt or .safetensors file itself")
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{path} is empty (0 bytes); {remedy}")
    with path.open("rb") as file:
        head = file.read(512)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27:
        return _without_prefixes(_read_safetensors(path, remedy))
    if head[:2] == b"PK" or head[:1] == b"\x80":
        return _without_prefixes(_tensors_in(_read_torch(path, head, remedy), path))
    raise UserError(f"{path} {_what_it_is(head)}")


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write `.safetensors` or `.pt`, under a temporary name first; `metadata` goes into safetensors only."""
    if path.suffix not in (".safetensors", ".pt"):
        raise UserError(f"{path}: the name must end in .safetensors or .pt")
    # Safetensors stores no views: every tensor gets memory of its own.
    layout = torch.contiguous_format if path.suffix == ".safetensors" else torch.preserve_format
    owned = {name: tensor.clone(memory_format=layout) for name, tensor in tensors.items()}
    with atomic_path(path) as new, library_errors(path):
        if path.suffix == ".pt":
            torch.save(owned, new)
        else:
            save_file(owned, new, dict(metadata or {}))


@contextmanager
def library_errors(path: Path) -> Iterator[None]:
    """Failures to write `path` as OSError; safetensors and torch have a type of their own each."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        if "No space left" in str(error) or "unexpected pos" in str(error):  # torch: bytes are missing
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise OSError(errno.EIO, str(error), str(path)) from error


def _read_safetensors(path: Path, remedy: str) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(path, remedy, f" ({error})") from None


def _read_torch(path: Path, head: bytes, remedy: str) -> object:
    zipped = head[:2] == b"PK"
    try:
        if zipped and not zipfile.is_zipfile(path):
            raise EOFError("its end is missing")
        with warnings.catch_warnings():  # about pickle protocols that are refused below anyhow
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(str(path), map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL\s+([\w.]+)|Unsupported (?:operand|class)", str(error))
        if refused is None:
            raise _damaged(path, remedy) from None
        what = refused[1] or "a plain pickle"
        raise UserError(
            f"{path} holds more than tensors ({what}) and is not opened, since that could run code; "
            "ask its author for a plain state dict or a .safetensors file"
        ) from None
    except (EOFError, RuntimeError, ValueError, KeyError, OSError, AttributeError):
        raise _damaged(path, remedy) from None


def _damaged(path: Path, remedy: str, why: str = "") -> UserError:
    size, known = path.stat().st_size, CHECKPOINTS.get(path.name)
    share = "" if known is None or size == known.size else f": {size:,} of {known.size:,} bytes"
    return UserError(f"{path} is incomplete or damaged{why}{share}; {remedy}")


def _what_it_is(head: bytes) -> str:
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n").lower()
    if text.startswith(("<!doctype", "<html", "<?xml", "<head")):
        return "is a web page, not a checkpoint: the address answered with a page; fetch the file itself"
    if text.startswith("version https://git-lfs"):
        return (
            "is a Git LFS pointer, not the file it points to; run `git lfs pull`, or download the file itself"
        )
    return "is neither a PyTorch nor a safetensors file"


def _tensors_in(loaded: object, path: Path) -> dict[str, Tensor]:
    for _ in range(_DEEPEST):
        if not isinstance(loaded, Mapping):
            break
        inside = next((n for n in _CONTAINERS if isinstance(loaded.get(n), Mapping)), None)
        if inside is None:
            tensors = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
            if not tensors:
                break
            return _plain(tensors, path)
        loaded = loaded[inside]  # a step counter beside it may be a tensor, too
    raise UserError(f"{path} holds no state dict (a mapping of names to tensors)")


def _plain(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The same, if all of them are plain numbers in memory."""
    for name, tensor in tensors.items():
        odd = "quantised" if tensor.is_quantized else str(tensor.layout).removeprefix("torch.")
        if tensor.is_quantized or tensor.layout != torch.strided or tensor.device.type != "cpu":
            odd = odd if odd != "strided" else f"{tensor.device.type} (without values)"
            raise UserError(
                f"{path}: {name} is {odd}; only plain tensors are read. Save the weights before they are "
                "quantised or made sparse (tensor.dequantize(), tensor.to_dense())"
            )
    return tensors


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        while tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors
