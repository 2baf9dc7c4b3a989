"""Weights in and out: names, files, and the one place where a model is opened."""
