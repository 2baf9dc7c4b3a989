"""``python -m seem_data`` and ``seem-data``: the process is set up first, then the rest is imported."""

from __future__ import annotations

from seem_data.engines.settle import settle


def main() -> None:
    settle()
    from seem_data.cli import app

    app()


if __name__ == "__main__":
    main()
