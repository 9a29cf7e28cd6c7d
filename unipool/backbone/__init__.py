"""The backbone: a frozen encoder from a Hugging Face folder, or acoustic features.

Two laws hold here, for every family and every version of transformers:

- An utterance's hidden states are those of encoding it alone, whatever is in its batch.
  Layers that would look at padding in spite of a mask are kept from it; that it helps
  is not believed but measured when a part is begun.
- Layer 0 is what enters the first block, the last layer the encoder's final output
  after its final norm. (``hidden_states[-1]`` of transformers 5.17 lies before that
  norm for the large models, that of 4.57 behind it.)
"""

import transformers

from unipool.backbone.encoder import Encoder
from unipool.backbone.features import options_of
from unipool.backbone.interface import Backbone, Window
from unipool.backbone.loading import FEATURES, load_backbone
from unipool.backbone.source import (
    copy_backbone,
    download_backbone,
    make_backbone,
)
from unipool.backbone.trainable import TrainableEncoder

__all__ = [
    "FEATURES",
    "Backbone",
    "Encoder",
    "TrainableEncoder",
    "Window",
    "copy_backbone",
    "download_backbone",
    "load_backbone",
    "make_backbone",
    "options_of",
]

transformers.utils.logging.disable_progress_bar()
