"""Fine-tune, evaluate and use SEEM on the dataset layout that ``seem_data`` writes."""

from seem_data import __version__

__all__ = ["__version__"]
