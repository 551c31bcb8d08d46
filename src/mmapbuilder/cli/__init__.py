"""The command `mmapbuilder`: a module for each of its commands, and what they share."""

from .main import main

__all__ = ["main"]
