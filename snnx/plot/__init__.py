"""Pictures: rasters, learning curves, confusion matrices (extra `plot`)."""

from snnx.plot._figures import confusion as confusion
from snnx.plot._figures import learning_curve as learning_curve
from snnx.plot._figures import raster as raster
from snnx.plot._figures import sample as sample

__all__ = ["confusion", "learning_curve", "raster", "sample"]
