"""The official checkpoint files: names, addresses, sizes, checksums, licence; keeping and fetching them.

Addresses: the model table in the README of https://github.com/UX-Decoder/Segment-Everything-Everywhere-All-At-Once.
Sizes and checksums: the large-file pointers in the history of https://huggingface.co/xdecoder/SEEM (the
checksum of such a pointer is the file's SHA-256). No SEEM checkpoint with a DaViT trunk was published.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from seem_data.common.files import atomic_path, publish, sha256_file
from seem_train.errors import UserError
from seem_train.weights.hub import failures

Progress: TypeAlias = Callable[[int, int], None]  #: told bytes so far, and in all


@dataclass(frozen=True)
class OfficialCheckpoint:
    """One official file."""

    file: str
    preset: str
    size: int  #: bytes
    sha256: str
    repository: str = "xdecoder/SEEM"  #: on the Hugging Face hub
    licence: str = "AFL-3.0 (as its Hugging Face repository states)"

    @property
    def url(self) -> str:
        """Where a browser gets it; a download asks the mirror in `$HF_ENDPOINT` instead, if there is one."""
        return f"https://huggingface.co/{self.repository}/resolve/main/{self.file}"


CHECKPOINTS = {
    checkpoint.file: checkpoint
    for checkpoint in (
        OfficialCheckpoint(
            "seem_focall_v1.pt",
            "focal-l",
            1365136278,
            "06cad58bde442ce4f2b3ce00e3a218791dfb060a2d7f2d709ff509669c28a705",
        ),
        OfficialCheckpoint(
            "seem_focalt_v1.pt",
            "focal-t",
            658792514,
            "675e86a033a3cc4bc6fa906e4c7e1878dd11728ef8858a457a4a45cf3f2987b2",
        ),
        OfficialCheckpoint(
            "seem_samvitb_v1.pt",
            "samvit-b",
            862528935,
            "fd6f9eb3d73917d0465dc35c4bc9f2f1019dccc0e741d31ced42f5333cbb35da",
        ),
        OfficialCheckpoint(
            "seem_samvitl_v1.pt",
            "samvit-l",
            1762490751,
            "5ef8c573b54ea820a2fe6d5b81962def9f5bf693e120b8a4778b2848d604f75c",
        ),
        OfficialCheckpoint(
            "seem_focall_v0.pt",
            "focal-l-v0",
            1365136278,
            "b907a76b74fe047507d18c1a3fda7e89c75133f97af4457767db78440ebb1761",
        ),
        OfficialCheckpoint(
            "seem_focalt_v0.pt",
            "focal-t-v0",
            658792514,
            "871a24064bc27136432f04f510fb0463ce8d2b3e0d4bd3a358b80d908f5c447f",
        ),
    )
}


def weights_folder() -> Path:
    """Where official checkpoints are kept: `$SEEM_WEIGHTS`, else `~/.cache/seem-tools/weights`."""
    chosen = os.environ.get("SEEM_WEIGHTS")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "seem-tools" / "weights"


def known_checkpoint(name: str) -> OfficialCheckpoint:
    """The official file of a preset (`focal-l`) or by its name (`seem_focall_v1.pt`); else a UserError."""
    for checkpoint in CHECKPOINTS.values():
        if name in (checkpoint.file, checkpoint.preset):
            return checkpoint
    raise UserError(
        f"no official checkpoint is known for {name!r}; there are "
        + ", ".join(f"{c.file} ({c.preset})" for c in CHECKPOINTS.values())
    )


def checkpoint_of_preset(preset: str) -> OfficialCheckpoint | None:
    return next((c for c in CHECKPOINTS.values() if c.preset == preset), None)


def find_weights(name: str | os.PathLike[str]) -> Path:
    """The file that `--weights` means: a path, or the bare name of a file in `weights_folder()`.

    Raises UserError, saying where to put or how to get the file, where neither exists.
    """
    path = Path(name).expanduser()
    try:
        if path.is_file() or path.is_dir():
            return path
        if path.exists():  # reading a named pipe would wait for ever
            raise UserError(f"{path}: is no regular file; save the weights to one")
        kept = weights_folder() / path.name
        if path.name == str(name) and kept.is_file():
            return kept
    except OSError as error:
        raise UserError(f"weights file {str(path)[:80]} cannot be looked at: {error.strerror}") from None
    message = f"weights file {path} does not exist"
    if not path.suffix and path.name == str(name):
        message = f"there is no file, folder or model named {str(name)!r}; seem-train models lists the models"
    if path.name in CHECKPOINTS:
        message += f"; get it with: seem-train weights get {path.name}, or place it in {weights_folder()}"
    raise UserError(message)


def download(
    checkpoint: OfficialCheckpoint, folder: Path | None = None, progress: Progress | None = None
) -> Path:
    """Fetch an official file into `folder` (default `weights_folder()`) and return its path.

    A file that is already there with the right size is kept, one in the shared cache of Hugging Face's tools
    is copied. Else it comes from the hub, or from its mirror in `$HF_ENDPOINT`; what an interrupted download
    left (`….part`) is continued. The file gets its name only when size and checksum are right.
    Raises UserError with the address and the place where the network does not allow it.
    """
    from huggingface_hub.errors import HfHubHTTPError  # imported late: only a download needs it

    folder = folder or weights_folder()
    target = folder / checkpoint.file
    if target.is_file() and checkpoint.size == target.stat().st_size:
        return target
    part = folder / f"{checkpoint.file}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _copied_from_shared_cache(checkpoint, target):
            return target
        _fetch(checkpoint, part, progress)
    except failures() as error:  # pyright: ignore[reportGeneralTypeIssues]
        answer = error.response if isinstance(error, HfHubHTTPError) else None
        why = str(error) if answer is None else f"the server answered {answer.status_code}"
        if part.is_file() and (done := part.stat().st_size):
            raise UserError(
                f"{checkpoint.file}: the download broke off after {done:,} of {checkpoint.size:,} bytes "
                f"({why}); run the same command again to continue"
            ) from None
        raise UserError(
            f"{checkpoint.file} cannot be downloaded here ({why}); fetch {checkpoint.url} on another machine "
            f"and place it at {target}, or name it with --weights PATH"
        ) from None
    if sha256_file(part) != checkpoint.sha256:
        part.unlink()
        raise UserError(
            f"{checkpoint.file}: what came from {checkpoint.url} has another SHA-256; it was deleted"
        )
    publish(part, target)
    return target


def _copied_from_shared_cache(checkpoint: OfficialCheckpoint, target: Path) -> bool:
    """Whether another tool on this machine had fetched the file: then it is copied."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(checkpoint.repository, checkpoint.file)
    if not isinstance(cached, str):  # not fetched yet, or known not to exist
        return False
    if checkpoint.size != Path(cached).stat().st_size or checkpoint.sha256 != sha256_file(Path(cached)):
        return False
    with atomic_path(target) as new:
        shutil.copyfile(cached, new)
    return True


def _fetch(checkpoint: OfficialCheckpoint, part: Path, progress: Progress | None) -> None:
    """Append what is missing to `part`.

    `hf_hub_download` would throw away what it has when it is interrupted, hence its lower half.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers, disable_progress_bars

    done = part.stat().st_size if part.exists() else 0
    if done == checkpoint.size:
        return
    url = hf_hub_url(checkpoint.repository, checkpoint.file)
    get_hf_file_metadata(url)  # asked first: unlike the download it does not try again and again
    if done > checkpoint.size:  # it is something else: start anew
        part.unlink()
        done = 0
    disable_progress_bars("huggingface_hub.http_get")  # we draw our own
    headers = build_hf_headers(library_name="seem-tools")
    with _Counting(part, progress, checkpoint.size) as file:
        http_get(url, file, resume_size=done, headers=headers, expected_size=checkpoint.size)


class _Counting(io.BufferedWriter):
    """Appends to a file and tells how long it is by now."""

    def __init__(self, path: Path, progress: Progress | None, total: int) -> None:
        super().__init__(io.FileIO(path, "ab"))
        self._progress, self._total = progress, total

    def write(self, buffer: bytes, /) -> int:  # type: ignore[override]
        written = super().write(buffer)
        if self._progress is not None:
            self._progress(self.tell(), self._total)
        return written
