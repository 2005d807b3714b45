"""Augmentations: random changes of an example's input, made anew in every step of training."""

from snnx.augment._augmentation import AbstractAugmentation as AbstractAugmentation
from snnx.augment._augmentation import AbstractMixing as AbstractMixing
from snnx.augment._augmentation import Sometimes as Sometimes
from snnx.augment._channels import ChannelShift as ChannelShift
from snnx.augment._drop import DropBlock as DropBlock
from snnx.augment._drop import DropChannels as DropChannels
from snnx.augment._drop import DropEvents as DropEvents
from snnx.augment._drop import DropSteps as DropSteps
from snnx.augment._jitter import Jitter as Jitter
from snnx.augment._mix import Blend as Blend
from snnx.augment._mix import CutMix as CutMix
from snnx.augment._mix import MixUp as MixUp
from snnx.augment._space import Flip as Flip
from snnx.augment._space import FlipPolarity as FlipPolarity
from snnx.augment._space import Rotate as Rotate
from snnx.augment._space import Translate as Translate
from snnx.augment._time import TimeCrop as TimeCrop
from snnx.augment._time import TimeShift as TimeShift
from snnx.augment._time import TimeStretch as TimeStretch

__all__ = [
    "AbstractAugmentation",
    "AbstractMixing",
    "Blend",
    "ChannelShift",
    "CutMix",
    "DropBlock",
    "DropChannels",
    "DropEvents",
    "DropSteps",
    "Flip",
    "FlipPolarity",
    "Jitter",
    "MixUp",
    "Rotate",
    "Sometimes",
    "TimeCrop",
    "TimeShift",
    "TimeStretch",
    "Translate",
]
