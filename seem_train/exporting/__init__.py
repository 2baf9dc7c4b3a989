"""Models to take away: plain weights, or graphs that run without this package."""
