"""The cache: hidden states of all layers on disk, one Zarr v3 group for each part.

A part holds some utterances of one (backbone, corpus, split, view); it has one writer
and is one job. Beside ``part-007-of-064.zarr`` stands its receipt,
``part-007-of-064.json``, which is written last. docs/cache.md is the specification.

hidden_states  float16 or int8 (T_total, L, D)  all utterances' frames, in one row
scales         float16         (blocks, L, D)   of int8: what to multiply frames with
offsets        int64           (N + 1,)         utterance i owns offsets[i]:offsets[i+1]
utterances     str             (N,)             ids, in manifest order

A reader MUST refuse a part without receipt, with another fingerprint or format version,
or whose files are not all there: a chunk that is missing is never zeros.
"""

from unipool.cache.inventory import FoundSet, damage_of, find_sets, remove_part
from unipool.cache.layout import DTYPES
from unipool.cache.opening import PartSet, is_there, open_cache
from unipool.cache.part import (
    LAYER_MEANING,
    fingerprint,
    is_whole,
    write_receipt,
)
from unipool.cache.reader import Cache
from unipool.cache.states import HiddenStates
from unipool.cache.store import Content
from unipool.cache.writer import PartWriter

__all__ = [
    "DTYPES",
    "LAYER_MEANING",
    "Cache",
    "Content",
    "FoundSet",
    "HiddenStates",
    "PartSet",
    "PartWriter",
    "damage_of",
    "find_sets",
    "fingerprint",
    "is_there",
    "is_whole",
    "open_cache",
    "remove_part",
    "write_receipt",
]
