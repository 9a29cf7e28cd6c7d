"""The backends: from hidden states to an embedding.

Each is built as ``Backend(num_layers, hidden_size, **options)``, where ``num_layers``
counts all cached hidden states, layer 0 included, and called as
``backend(hidden_states, mask)`` with axes (B, L, T, D) and (B, T); it gives (B, E) and
has ``embedding_size``. Each utterance has a real frame; padding is ignored, whatever
stands there. A new backend is one module and one line here.
"""

from torch import nn

from unipool.backends.combined import (
    Combined,
    LapAstp,
    WeightedSumEcapa,
    WeightedSumXVector,
)
from unipool.backends.finetuned import FinetuneCls, FinetunePooled
from unipool.backends.ltdnn import LTDNND3Net, LTDNNEcapa
from unipool.backends.mhfa import MHFA, ContextAwareMHFA
from unipool.backends.scratch import ScratchEcapa, ScratchXVector
from unipool.backends.sincnet import SincNet
from unipool.backends.unipool import UniPool

BACKENDS: dict[str, type[nn.Module]] = {
    "unipool": UniPool,
    "ltdnn-ecapa": LTDNNEcapa,
    "ltdnn-d3net": LTDNND3Net,
    "lap-astp": LapAstp,
    "weighted-sum-ecapa": WeightedSumEcapa,
    "weighted-sum-xvector": WeightedSumXVector,
    "mhfa": MHFA,
    "ca-mhfa": ContextAwareMHFA,
    "combined": Combined,
    "xvector": ScratchXVector,
    "ecapa-tdnn": ScratchEcapa,
    "sincnet": SincNet,
    "finetune-pooled": FinetunePooled,
    "finetune-cls": FinetuneCls,
}
