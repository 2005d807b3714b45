"""Pictures: rasters, learning curves of training and evolution, confusion matrices, graphs (extra `plot`)."""

from snnx.plot._figures import confusion as confusion
from snnx.plot._figures import learning_curve as learning_curve
from snnx.plot._figures import raster as raster
from snnx.plot._figures import sample as sample
from snnx.plot._graph import graph as graph

__all__ = ["confusion", "graph", "learning_curve", "raster", "sample"]
