"""The backbone that a folder's backbone.json describes."""

from pathlib import Path

import torch

from unipool.backbone.encoder import Encoder
from unipool.backbone.features import Features, FramedWaveform
from unipool.backbone.interface import Backbone
from unipool.backbone.spectral import LogMel, Mfcc
from unipool.facts import read_facts

FEATURES: dict[str, type[Features]] = {
    "log-mel": LogMel,
    "mfcc": Mfcc,
    "waveform": FramedWaveform,
}
"""By their name in the config. Their options are their keyword-only arguments."""


def load_backbone(folder: Path, device: torch.device) -> Backbone:
    """Load what ``fetch_backbone`` made, with the settings that it noted."""
    facts = read_facts(folder)
    if "features" in facts:
        return FEATURES[facts["features"]](device, **facts["options"])
    return Encoder(
        folder,
        device=device,
        dtype=getattr(torch, facts["dtype"]),
        normalize=facts["normalize"],
        window_seconds=facts["window_seconds"],
        overlap_seconds=facts["overlap_seconds"],
    )
