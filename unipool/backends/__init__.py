"""The backends: from hidden states to an embedding, and what compares two utterances.

Each is built as ``Backend(num_layers, hidden_size, **options)``, where ``num_layers``
counts all cached hidden states, layer 0 included, and called as
``backend(hidden_states, mask)`` with axes (B, L, T, D) and (B, T); it gives (B, E) and
has ``embedding_size``. Each utterance has a real frame; padding is ignored, whatever
stands there. A new backend is one module and one line: in ``of_layers``, or here when
it takes samples.

What is pairwise is built and called likewise, with the two utterances of each pair one
after the other; it gives (B / 2, 1), which is higher the more alike they are.
"""

from torch import nn

from unipool.backends.finetuned import FinetuneCls, FinetunePairs, FinetunePooled
from unipool.backends.joint import FinetuneLora
from unipool.backends.of_layers import OF_LAYERS
from unipool.backends.sincnet import SincNet

__all__ = ["BACKENDS", "OF_LAYERS", "PAIRWISE"]

BACKENDS: dict[str, type[nn.Module]] = {
    **OF_LAYERS,
    "sincnet": SincNet,
    "finetune-pooled": FinetunePooled,
    "finetune-cls": FinetuneCls,
    "finetune-lora": FinetuneLora,
}

PAIRWISE: dict[str, type[nn.Module]] = {"finetune-pairs": FinetunePairs}
