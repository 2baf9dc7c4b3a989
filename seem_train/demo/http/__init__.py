"""The HTTP side: what is asked and answered, who may ask, and how many at once."""
