"""The version of both packages, read by the build of the distribution."""

__version__ = "0.1.0"
