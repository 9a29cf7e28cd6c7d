"""The backbone: a frozen encoder from a Hugging Face folder, and its hidden states.

Two laws hold here, for every family and every version of transformers:

- An utterance's hidden states are those of encoding it alone, whatever is in its batch.
  The group norm of wav2vec2-base, HuBERT-base and WavLM-base looks at padding even with
  a mask; it is replaced by one that does not. Whether a model then stands padding is
  not believed but measured when it is loaded; one that does not gets batches of equal
  length.
- Layer 0 is what enters the first block, the last layer the encoder's final output
  after its final norm. (``hidden_states[-1]`` of transformers 5.17 lies before that
  norm for the large models, that of 4.57 behind it.)
"""

import transformers

from unipool.backbone.encoder import Backbone
from unipool.backbone.source import (
    copy_backbone,
    download_backbone,
    make_backbone,
)

__all__ = ["Backbone", "copy_backbone", "download_backbone", "make_backbone"]

transformers.utils.logging.disable_progress_bar()
