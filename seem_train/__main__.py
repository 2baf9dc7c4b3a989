"""``seem-train``: says how to install the training extra where it is missing, else runs the command line."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys

NEEDED = ("torch", "torchvision", "timm", "open_clip", "safetensors", "scipy", "yaml")


def main() -> None:
    if sys.argv[1:2] == ["run"]:
        _leave_early()
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        print(
            f"error: seem-train needs {', '.join(missing)}; install with: pip install 'seem-tools[train]'",
            file=sys.stderr,
        )
        raise SystemExit(2)
    from seem_train.cli.app import app

    app()


def _leave_early() -> None:
    """A scheduler's signal while torch is still being imported: nothing to save, start again (status 75)."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: os._exit(75))


if __name__ == "__main__":
    main()
