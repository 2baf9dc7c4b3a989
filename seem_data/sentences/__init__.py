"""Sentences for segments: generated from what is seen, or read from a file."""
