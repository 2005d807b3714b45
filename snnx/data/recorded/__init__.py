"""Recorded data sets: from the files that tonic downloads, read here."""

from snnx.data.recorded._audio import from_audio as from_audio
from snnx.data.recorded._audio import fsdd as fsdd
from snnx.data.recorded._files import Options as Options
from snnx.data.recorded._gestures import asldvs as asldvs
from snnx.data.recorded._gestures import dvs_gesture as dvs_gesture
from snnx.data.recorded._pictures import cifar10dvs as cifar10dvs
from snnx.data.recorded._pictures import ncaltech101 as ncaltech101
from snnx.data.recorded._pictures import nmnist as nmnist
from snnx.data.recorded._smnist import smnist as smnist
from snnx.data.recorded._speech import shd as shd
from snnx.data.recorded._speech import ssc as ssc

__all__ = [
    "Options",
    "asldvs",
    "cifar10dvs",
    "dvs_gesture",
    "from_audio",
    "fsdd",
    "ncaltech101",
    "nmnist",
    "shd",
    "smnist",
    "ssc",
]
