"""``python -m seem_data``."""

from seem_data.cli import main

if __name__ == "__main__":
    main()
