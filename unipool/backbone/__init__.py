"""The backbone: a frozen encoder from a Hugging Face folder, and its hidden states.

Two laws hold here, for every family and every version of transformers:

- An utterance's hidden states are those of encoding it alone, whatever is in its batch.
  Layers that would look at padding in spite of a mask are kept from it; that it helps
  is not believed but measured when a part is begun.
- Layer 0 is what enters the first block, the last layer the encoder's final output
  after its final norm. (``hidden_states[-1]`` of transformers 5.17 lies before that
  norm for the large models, that of 4.57 behind it.)
"""

import transformers

from unipool.backbone.encoder import Backbone, Window
from unipool.backbone.source import (
    copy_backbone,
    download_backbone,
    make_backbone,
)

__all__ = [
    "Backbone",
    "Window",
    "copy_backbone",
    "download_backbone",
    "make_backbone",
]

transformers.utils.logging.disable_progress_bar()
