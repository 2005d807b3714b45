"""Networks that act: environments, policies, rollouts of one in the other."""

from snnx.control._adapters import from_brax as from_brax
from snnx.control._adapters import from_gymnax as from_gymnax
from snnx.control._brax_policy import as_brax_policy as as_brax_policy
from snnx.control._decoders import FirstSpikeDecoder as FirstSpikeDecoder
from snnx.control._decoders import PopulationVectorDecoder as PopulationVectorDecoder
from snnx.control._decoders import RateDecoder as RateDecoder
from snnx.control._encoders import LatencyEncoder as LatencyEncoder
from snnx.control._encoders import PopulationEncoder as PopulationEncoder
from snnx.control._encoders import RateEncoder as RateEncoder
from snnx.control._environment import Environment as Environment
from snnx.control._environment import Transition as Transition
from snnx.control._policy import Policy as Policy
from snnx.control._rollout import Rollout as Rollout
from snnx.control._rollout import RolloutState as RolloutState
from snnx.control._rollout import Trajectory as Trajectory
from snnx.control._rollout import rollout as rollout
from snnx.control._toys import pendulum as pendulum
from snnx.control._toys import point_mass as point_mass

__all__ = [
    "Environment",
    "FirstSpikeDecoder",
    "LatencyEncoder",
    "Policy",
    "PopulationEncoder",
    "PopulationVectorDecoder",
    "RateDecoder",
    "RateEncoder",
    "Rollout",
    "RolloutState",
    "Trajectory",
    "Transition",
    "as_brax_policy",
    "from_brax",
    "from_gymnax",
    "pendulum",
    "point_mass",
    "rollout",
]
