"""Names of images in a dataset: flat, unique, safe on every file system, and the same in every build.

``kitchen/001.jpg`` becomes ``kitchen_001``: where an image lies decides its name, not which others there
are. Only where two still meet (``a.jpg`` and ``a.png``, ``A.jpg`` and ``a.jpg``) the later one in the scan
gets a number (`files.free_stem`).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import PurePosixPath

_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\/\ud800-\udfff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # Windows devices
_LONGEST = 180  #: bytes; leaves room for numbers, endings and temporary names below the usual 255


def safe_stem(image: str) -> str:
    """The image's path without ending as one name: folders joined by ``_``, odd characters replaced by it."""
    stem = unicodedata.normalize("NFC", str(PurePosixPath(image).with_suffix("")).replace("/", "_"))
    stem = _UNSAFE.sub("_", stem).strip(". ")
    if not stem or _RESERVED.match(stem):
        stem = f"image_{stem}".rstrip("_")
    encoded = stem.encode()
    if len(encoded) <= _LONGEST:
        return stem
    digest = hashlib.sha256(encoded).hexdigest()[:12]
    return f"{encoded[: _LONGEST - 13].decode(errors='ignore')}-{digest}"
