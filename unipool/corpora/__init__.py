"""The corpora: one function for each way in which a corpus lies on disk.

Each takes keyword arguments, the ``options`` of config.yaml, and returns a ``Corpus``:
the utterances as they lie there, and what the makers say of them. A new kind is one
module and one line here.
"""

from collections.abc import Callable

from unipool.corpora.cnceleb import list_cnceleb
from unipool.corpora.corpus import Corpus, shortfalls
from unipool.corpora.folder import list_folder
from unipool.corpora.kaldi import list_kaldi
from unipool.corpora.lhotse import list_lhotse
from unipool.corpora.librispeech import list_librispeech, list_mini_librispeech
from unipool.corpora.synthetic import synthesize
from unipool.corpora.table import read_table
from unipool.corpora.vctk import list_vctk
from unipool.corpora.voxceleb import list_voxceleb1, list_voxceleb2

CORPORA: dict[str, Callable[..., Corpus]] = {
    "cnceleb": list_cnceleb,
    "csv": read_table,
    "folder": list_folder,
    "kaldi": list_kaldi,
    "lhotse": list_lhotse,
    "librispeech": list_librispeech,
    "mini-librispeech": list_mini_librispeech,
    "synthetic": synthesize,
    "vctk": list_vctk,
    "voxceleb1": list_voxceleb1,
    "voxceleb2": list_voxceleb2,
}

__all__ = ["CORPORA", "Corpus", "shortfalls"]
