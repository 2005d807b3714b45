"""Tasks whose data are computed: published definitions, nothing downloaded."""

from snnx.data.generated._mackey_glass import mackey_glass as mackey_glass
from snnx.data.generated._mackey_glass import mackey_glass_series as mackey_glass_series
from snnx.data.generated._memory_tasks import adding as adding
from snnx.data.generated._memory_tasks import copy_memory as copy_memory
from snnx.data.generated._memory_tasks import delayed_match_to_sample as delayed_match_to_sample
from snnx.data.generated._memory_tasks import sequential_digits as sequential_digits
from snnx.data.generated._memory_tasks import store_recall as store_recall
from snnx.data.generated._patterns import randman as randman
from snnx.data.generated._patterns import random_patterns as random_patterns
from snnx.data.generated._yin_yang import yin_yang as yin_yang
from snnx.data.generated._yin_yang import yin_yang_points as yin_yang_points

__all__ = [
    "adding",
    "copy_memory",
    "delayed_match_to_sample",
    "mackey_glass",
    "mackey_glass_series",
    "randman",
    "random_patterns",
    "sequential_digits",
    "store_recall",
    "yin_yang",
    "yin_yang_points",
]
