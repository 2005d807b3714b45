"""From sound to spikes: recordings, mel bands, an artificial cochlea."""

from snnx.audio._cochlea import cochlea as cochlea
from snnx.audio._codes import AbstractAudioCode as AbstractAudioCode
from snnx.audio._codes import Cochlea as Cochlea
from snnx.audio._codes import MelDelta as MelDelta
from snnx.audio._codes import bin_spikes as bin_spikes
from snnx.audio._codes import events as events
from snnx.audio._log_mel import log_mel as log_mel
from snnx.audio._read import read as read
from snnx.audio._read import resample as resample

__all__ = ["AbstractAudioCode", "Cochlea", "MelDelta", "bin_spikes", "cochlea", "events", "log_mel", "read", "resample"]
