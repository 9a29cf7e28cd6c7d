"""What several tests make: small real audio, small real encoders."""

import numpy as np
import pytest
import soundfile
import torch

TINY = {
    "conv_dim": [16] * 7,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
"""Keys of a Hugging Face config that make any of the families small."""


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


def voice(speaker, utterance, *, seconds=1.0, rate=16_000):
    """Make a buzz whose pitch and resonance are the speaker's own."""
    of_speaker = np.random.default_rng([speaker, 0])
    of_utterance = np.random.default_rng([speaker, 1, utterance])
    pitch = of_speaker.uniform(80, 250) * of_utterance.uniform(0.95, 1.05)
    resonance = of_speaker.uniform(400, 3000)
    time = np.arange(int(seconds * rate)) / rate
    harmonics = pitch * np.arange(1, 20)
    gains = 1 / (1 + ((harmonics - resonance) / 300) ** 2)
    phases = of_utterance.uniform(0, 2 * np.pi, size=len(harmonics))
    buzz = gains @ np.sin(2 * np.pi * np.outer(harmonics, time) + phases[:, None])
    noise = of_utterance.normal(0, 0.02, size=len(time))
    return (0.3 * buzz / np.abs(buzz).max() + noise).astype(np.float32)


def write_corpus(root, *, speakers, utterances):
    """Write ``<root>/<speaker>/<utterance>.wav`` of about a second each."""
    for speaker in range(speakers):
        folder = root / f"spk {speaker:02d}"
        folder.mkdir(parents=True)
        for utterance in range(utterances):
            seconds = 0.6 + 0.1 * (utterance % 5)
            soundfile.write(
                folder / f"ütt {utterance}.wav",
                voice(speaker, utterance, seconds=seconds),
                16_000,
            )
