"""Parameters and their constraints, a model's trained part (also as a vector), and stacks of models."""

from snnx.parameters._distributions import gamma as gamma
from snnx.parameters._distributions import log_uniform as log_uniform
from snnx.parameters._ensemble import init_ensemble as init_ensemble
from snnx.parameters._ensemble import member as member
from snnx.parameters._ensemble import members as members
from snnx.parameters._parameter import AbstractParameter as AbstractParameter
from snnx.parameters._parameter import Bounded as Bounded
from snnx.parameters._parameter import Frozen as Frozen
from snnx.parameters._parameter import NotNegativeParameter as NotNegativeParameter
from snnx.parameters._parameter import Parameter as Parameter
from snnx.parameters._parameter import ParameterIn as ParameterIn
from snnx.parameters._parameter import Positive as Positive
from snnx.parameters._parameter import PositiveParameter as PositiveParameter
from snnx.parameters._parameter import at_least_float32 as at_least_float32
from snnx.parameters._parameter import check_parameter_shape as check_parameter_shape
from snnx.parameters._parameter import known as known
from snnx.parameters._parameter import trainable as trainable
from snnx.parameters._parameter import value as value
from snnx.parameters._partition import check_params as check_params
from snnx.parameters._partition import combine as combine
from snnx.parameters._partition import flatten as flatten
from snnx.parameters._partition import partition as partition
from snnx.parameters._partition import unflatten as unflatten

__all__ = [
    "AbstractParameter",
    "Bounded",
    "Frozen",
    "NotNegativeParameter",
    "Parameter",
    "ParameterIn",
    "Positive",
    "PositiveParameter",
    "combine",
    "flatten",
    "gamma",
    "init_ensemble",
    "log_uniform",
    "member",
    "members",
    "partition",
    "trainable",
    "unflatten",
    "value",
]
