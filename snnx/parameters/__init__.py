"""Parameters and their constraints."""

from snnx.parameters._check import check_not_negative as check_not_negative
from snnx.parameters._check import check_number as check_number
from snnx.parameters._check import check_parameter_shape as check_parameter_shape
from snnx.parameters._check import check_positive as check_positive
from snnx.parameters._heterogeneous import gamma as gamma
from snnx.parameters._heterogeneous import log_uniform as log_uniform
from snnx.parameters._parameter import AbstractParameter as AbstractParameter
from snnx.parameters._parameter import Frozen as Frozen
from snnx.parameters._parameter import Parameter as Parameter
from snnx.parameters._parameter import at_least_float32 as at_least_float32
from snnx.parameters._parameter import trainable as trainable
from snnx.parameters._parameter import value as value
from snnx.parameters._positive import Bounded as Bounded
from snnx.parameters._positive import Positive as Positive

__all__ = [
    "AbstractParameter",
    "Bounded",
    "Frozen",
    "Parameter",
    "Positive",
    "gamma",
    "log_uniform",
    "trainable",
    "value",
]
