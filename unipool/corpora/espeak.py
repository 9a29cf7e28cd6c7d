"""Speak sentences with one voice of espeak-ng; a program of its own.

It runs as a process of its own for two reasons. The engine keeps state from sentence to
sentence that no call of its interface resets, so only a fresh process makes the same
samples from the same request. And the engine is GPL, so no process of unipool loads it.

Reads on standard input a JSON object: ``voice``, ``pitch`` and ``range`` (0 to 100),
``words_per_minute``, ``min_seconds``, ``max_seconds``, ``keep``, ``sentences``.
Writes on standard output, for each of the first ``keep`` sentences whose speech has a
duration within the bounds: a line of JSON (``rate`` in Hz, ``samples``, ``sentence``),
then that many native 16-bit samples.
"""

import ctypes
import json
import sys
from typing import Any

SYNCHRONOUS = 2  # give the samples to the callback
UTF8 = 1
RATE, PITCH, RANGE = 1, 3, 4  # of espeak_SetParameter

Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def speak(request: dict[str, Any]) -> None:
    """Answer one request; see the module."""
    import espeakng_loader  # here, so that importing this module needs no engine

    engine = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    rate = engine.espeak_Initialize(SYNCHRONOUS, 0, data, 0)
    blocks: list[bytes] = []

    @Callback
    def collect(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            blocks.append(ctypes.string_at(samples, 2 * count))
        return 0

    engine.espeak_SetSynthCallback(collect)
    if engine.espeak_SetVoiceByName(request["voice"].encode()):
        sys.exit(f"espeak-ng has no voice {request['voice']}")
    for parameter, name in (
        (RATE, "words_per_minute"),
        (PITCH, "pitch"),
        (RANGE, "range"),
    ):
        engine.espeak_SetParameter(parameter, request[name], 0)
    kept = 0
    for sentence in request["sentences"]:
        blocks.clear()
        text = sentence.encode() + b"\0"
        engine.espeak_Synth(text, len(text), 0, 0, 0, UTF8, None, None)
        engine.espeak_Synchronize()
        speech = b"".join(blocks)
        seconds = len(speech) / 2 / rate
        if request["min_seconds"] <= seconds <= request["max_seconds"]:
            head = {"rate": rate, "samples": len(speech) // 2, "sentence": sentence}
            sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + speech)
            kept += 1
        if kept == request["keep"]:
            break


if __name__ == "__main__":
    speak(json.load(sys.stdin))
