"""The corpora: one function for each way in which a corpus lies on disk.

Each takes keyword arguments, the ``options`` of config.yaml, and returns a table of
utterance, speaker, path and origin (what to name when a row is at fault), with split
and metadata where the corpus has them. A new kind is one module and one line here.
"""

from collections.abc import Callable

import pandas as pd

from unipool.corpora.folder import list_folder
from unipool.corpora.synthetic import synthesize
from unipool.corpora.table import read_table

CORPORA: dict[str, Callable[..., pd.DataFrame]] = {
    "csv": read_table,
    "folder": list_folder,
    "synthetic": synthesize,
}
