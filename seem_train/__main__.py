"""``seem-train``: says how to install the training extra where it is missing, else runs the command line."""

from __future__ import annotations

import importlib.util
import sys

NEEDED = ("torch", "torchvision", "timm", "open_clip", "safetensors", "scipy", "yaml")


def main() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"error: seem-train needs {', '.join(missing)}; install with: pip install 'seem-tools[train]'",
            file=sys.stderr,
        )
        raise SystemExit(2)
    from seem_train.cli import app

    app()


if __name__ == "__main__":
    main()
