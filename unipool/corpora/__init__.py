"""The corpora: one function for each way in which a corpus lies on disk.

Each takes keyword arguments, the ``options`` of config.yaml, and returns a ``Corpus``:
the utterances as they lie there, and what the makers say of them. A new kind is one
module and one line here.
"""

from collections.abc import Callable

from unipool.corpora.corpus import Corpus
from unipool.corpora.folder import list_folder
from unipool.corpora.synthetic import synthesize
from unipool.corpora.table import read_table

CORPORA: dict[str, Callable[..., Corpus]] = {
    "csv": read_table,
    "folder": list_folder,
    "synthetic": synthesize,
}
