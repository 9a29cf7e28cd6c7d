"""How fast audio becomes hidden states, as ratios within one run.

    python benchmarks/extract.py [--minutes 6] [--hidden-size 384] [--layers 6]

An encoder of that size with random weights, on audio of 2 to 14 s. On a GPU where there
is one.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import soundfile
import torch
import transformers
from torch.nn.utils.rnn import pad_sequence

from unipool.audio import SAMPLE_RATE, Waveform, read_audio
from unipool.backbone import Encoder
from unipool.extract import extract
from unipool.fetch import fetch_backbone
from unipool.manifest import write_manifest


def lasts(action: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


class Stage:
    """A corpus of noise and an encoder.

    Args:
        folder: where the files go.
        options: of the command line.
    """

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.batch_seconds = folder, options.batch_seconds
        self.threads = torch.get_num_threads()
        generator = np.random.default_rng(0)
        rows, total = [], 0.0
        while total < 60 * options.minutes:
            size = int(generator.uniform(2, 14) * SAMPLE_RATE)
            path = folder / f"{len(rows)}.flac"
            soundfile.write(path, generator.normal(0, 0.1, size), SAMPLE_RATE)
            rows.append((f"u{len(rows)}", "s", "train", str(path), size / SAMPLE_RATE))
            total += size / SAMPLE_RATE
        columns = ["utterance", "speaker", "split", "path", "seconds"]
        self.rows = pd.DataFrame(rows, columns=columns)
        write_manifest(self.rows, folder / "utterances.csv")
        fetch_backbone(
            folder=folder / "backbone",
            config={
                "model_type": "wav2vec2",
                "feat_extract_norm": "group",
                "hidden_size": options.hidden_size,
                "num_hidden_layers": options.layers,
                "num_attention_heads": options.hidden_size // 64,
                "intermediate_size": 4 * options.hidden_size,
                "conv_dim": [options.hidden_size] * 7,
            },
            seed=0,
            normalize="checkpoint",
            dtype="float32",
            window_seconds=60,
            overlap_seconds=10,
            cache={"dtype": "float16"},
        )
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        print(f"{total / 60:.1f} min of audio in {len(rows)} files, on {self.device}")

    def extract(self, max_batch_seconds: float) -> None:
        store = self.folder / "cache" / "part-000-of-001.zarr"
        shutil.rmtree(store.parent, ignore_errors=True)
        extract(
            manifest=self.folder / "utterances.csv",
            split="train",
            part=0,
            num_parts=1,
            backbone=self.folder / "backbone",
            store=store,
            receipt=store.with_suffix(".json"),
            view={},
            max_batch_seconds=max_batch_seconds,
            device=self.device,
            num_threads=self.threads,
        )

    def batches(self) -> list[list[Waveform]]:
        """Give the batches that ``extract`` makes, its self-check left out."""
        seen: list[list[Waveform]] = []
        whole = Encoder.hidden_states

        def record(
            encoder: Encoder, waveforms: list[Waveform], **wanted: Any
        ) -> list[torch.Tensor]:
            seen.append(list(waveforms))
            return whole(encoder, waveforms, **wanted)

        with (
            mock.patch.object(Encoder, "hidden_states", record),
            mock.patch.object(Encoder, "check_batching"),
        ):
            self.extract(self.batch_seconds)
        return seen

    def padded(self, batches: list[list[Waveform]]) -> Callable[[], None]:
        """Run the model alone, on batches that are in its memory already."""
        model = transformers.AutoModel.from_pretrained(self.folder / "backbone")
        model.eval().to(self.device)
        inputs = []
        for waves in batches:
            lengths = torch.tensor([len(wave) for wave in waves])
            batch = pad_sequence([torch.from_numpy(w) for w in waves], batch_first=True)
            mask = (torch.arange(batch.shape[1]) < lengths[:, None]).long()
            inputs.append((batch.to(self.device), mask.to(self.device)))

        @torch.inference_mode()
        def forward() -> None:
            for batch, mask in inputs:
                model(batch, attention_mask=mask, output_hidden_states=True)

        return forward


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--minutes", type=float, default=6)
    arguments.add_argument("--hidden-size", type=int, default=384)
    arguments.add_argument("--layers", type=int, default=6)
    arguments.add_argument("--batch-seconds", type=float, default=60)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), options)
        batches = stage.batches()
        waves = [read_audio(Path(path)) for path in stage.rows["path"]]
        size = max(1, round(len(waves) / len(batches)))
        at_random = [waves[i : i + size] for i in range(0, len(waves), size)]
        ours = lasts(lambda: stage.extract(options.batch_seconds))
        for name, action in (
            ("the bare forward pass of the same batches", stage.padded(batches)),
            ("one utterance at a time", lambda: stage.extract(0)),
            ("forward of unsorted batches, padded", stage.padded(at_random)),
        ):
            theirs = [lasts(action), lasts(action)]
            again = lasts(lambda: stage.extract(options.batch_seconds))
            ratio = min(theirs) / min(ours, again)
            print(f"extraction, against {name:44} {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    main()
