"""Augmentations: random changes of an example's input, made anew in every step of training."""

from snnx.augment._augmentation import AbstractAugmentation as AbstractAugmentation
from snnx.augment._augmentation import AbstractMixing as AbstractMixing
from snnx.augment._blend import Blend as Blend
from snnx.augment._channel_shift import ChannelShift as ChannelShift
from snnx.augment._cut_mix import CutMix as CutMix
from snnx.augment._drop_block import DropBlock as DropBlock
from snnx.augment._drop_channels import DropChannels as DropChannels
from snnx.augment._drop_events import DropEvents as DropEvents
from snnx.augment._drop_steps import DropSteps as DropSteps
from snnx.augment._flip import Flip as Flip
from snnx.augment._flip_polarity import FlipPolarity as FlipPolarity
from snnx.augment._jitter import Jitter as Jitter
from snnx.augment._mix_up import MixUp as MixUp
from snnx.augment._rotate import Rotate as Rotate
from snnx.augment._sometimes import Sometimes as Sometimes
from snnx.augment._time_crop import TimeCrop as TimeCrop
from snnx.augment._time_shift import TimeShift as TimeShift
from snnx.augment._time_stretch import TimeStretch as TimeStretch
from snnx.augment._translate import Translate as Translate

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
