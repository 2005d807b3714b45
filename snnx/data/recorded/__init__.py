"""Recorded data sets: from the files that tonic downloads, read here."""

from snnx.data.recorded._asldvs import asldvs as asldvs
from snnx.data.recorded._audio import from_audio as from_audio
from snnx.data.recorded._cifar10dvs import cifar10dvs as cifar10dvs
from snnx.data.recorded._dvs_gesture import dvs_gesture as dvs_gesture
from snnx.data.recorded._fsdd import fsdd as fsdd
from snnx.data.recorded._ncaltech101 import ncaltech101 as ncaltech101
from snnx.data.recorded._nmnist import nmnist as nmnist
from snnx.data.recorded._options import Options as Options
from snnx.data.recorded._shd import shd as shd
from snnx.data.recorded._shd import ssc as ssc
from snnx.data.recorded._smnist import smnist as smnist

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
