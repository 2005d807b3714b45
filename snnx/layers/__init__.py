"""Containers and layers.

- `_container`: what all containers share; errors that name the part. `_sequential`: `Sequential`, and the branches
  `Residual`, `Parallel` with `Add`, `Concat`. `_recurrent`: `Recurrent`. `_graph`, `_wiring`: `Graph`, and what runs when.
- `_apply`: plain callables as layers; which of them have weights (`register_weights`); convolutions as products.
- `_elementwise`: `Scale`, `Threshold`, `GaussianNoise`. `_feature_maps`: `Flatten`, `SumPool2d`, `ThresholdNorm`.
  `_delay`: `Delay`.
- `_initialise`: `he`, `xavier`, `scaled_normal`. `_fluctuation_driven`: weights by the neurons that they drive.
- `_summary`: a model as a table. `_with_gradient`: exact gradients for a whole model.
"""

from snnx.layers._affine import is_linear as is_linear
from snnx.layers._affine import may_have_offset as may_have_offset
from snnx.layers._affine import register_linear as register_linear
from snnx.layers._apply import apply_step as apply_step
from snnx.layers._apply import has_weights as has_weights
from snnx.layers._apply import register_weights as register_weights
from snnx.layers._container import AbstractContainer as AbstractContainer
from snnx.layers._delay import Delay as Delay
from snnx.layers._delay import DelayState as DelayState
from snnx.layers._elementwise import GaussianNoise as GaussianNoise
from snnx.layers._elementwise import GaussianNoiseState as GaussianNoiseState
from snnx.layers._elementwise import Scale as Scale
from snnx.layers._elementwise import Threshold as Threshold
from snnx.layers._feature_maps import Flatten as Flatten
from snnx.layers._feature_maps import SumPool2d as SumPool2d
from snnx.layers._feature_maps import ThresholdNorm as ThresholdNorm
from snnx.layers._fluctuation_driven import fluctuation_driven as fluctuation_driven
from snnx.layers._graph import Graph as Graph
from snnx.layers._initialise import he as he
from snnx.layers._initialise import scaled_normal as scaled_normal
from snnx.layers._initialise import xavier as xavier
from snnx.layers._recurrent import Recurrent as Recurrent
from snnx.layers._recurrent import RecurrentState as RecurrentState
from snnx.layers._sequential import Add as Add
from snnx.layers._sequential import Concat as Concat
from snnx.layers._sequential import Identity as Identity
from snnx.layers._sequential import Parallel as Parallel
from snnx.layers._sequential import Residual as Residual
from snnx.layers._sequential import Sequential as Sequential
from snnx.layers._summary import Summary as Summary
from snnx.layers._summary import summary as summary
from snnx.layers._wiring import CycleError as CycleError
from snnx.layers._wiring import lagging_edges as lagging_edges
from snnx.layers._with_gradient import check_gradients as check_gradients
from snnx.layers._with_gradient import with_gradient as with_gradient

__all__ = [
    "AbstractContainer",
    "Add",
    "Concat",
    "Delay",
    "DelayState",
    "Flatten",
    "GaussianNoise",
    "GaussianNoiseState",
    "Graph",
    "Parallel",
    "Recurrent",
    "RecurrentState",
    "Residual",
    "Scale",
    "Sequential",
    "SumPool2d",
    "Summary",
    "Threshold",
    "ThresholdNorm",
    "fluctuation_driven",
    "he",
    "register_linear",
    "register_weights",
    "scaled_normal",
    "summary",
    "with_gradient",
    "xavier",
]
