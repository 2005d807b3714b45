"""The command line."""

from snnx.cli._main import main as main

__all__ = ["main"]
