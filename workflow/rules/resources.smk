"""What a job asks a scheduler for: memory (MB), time (minutes), processors.

Reckoned from hours of audio and the size of the encoder, as soon as the files that say
so are there; on the safe side of what was measured, and more with each attempt, so a job
that was ended for too little has more the next time. None of it makes a result again.
"""

import csv
import math
from collections import defaultdict
from functools import lru_cache

# By one core of a CPU; by a GPU of some years ago.
HOURS_ENCODED_AN_HOUR = (1.5, 100)  # with an encoder of the size of wav2vec2-base
SECONDS_TRAINED_A_SECOND = (5, 300)  # crops of its states, with UniPool
BASE = {
    "parameters": 95e6,
    "layers": list(range(13)),
    "hidden_size": 768,
    "frame_shift": 0.02,
}

# Python, torch and its libraries; those of CUDA are most of it.
MB_OF_PROCESS = 4000


def all_cores(of_a_node):
    """Those that Snakemake was given; a cluster gives it none, but each job its own."""
    try:
        return workflow.cores
    except WorkflowError:
        return of_a_node


def growing(need):
    """A resource of which a job asks for once more with each attempt."""
    return lambda wildcards, input, attempt: math.ceil(need(wildcards, input) * attempt)


def takes(wildcards, attempt):
    """Whether a run's job has only to take what was trained with others.

    Should it have to train after all, its next attempt asks for what that needs.
    """
    return attempt == 1 and bool(together_of(wildcards))


def of_training(need, to_take):
    """A resource of `train`: as for others, or that of a job which only takes."""
    return lambda wildcards, input, attempt: (
        to_take
        if takes(wildcards, attempt)
        else growing(need)(wildcards, input, attempt)
    )


@lru_cache
def hours_of_splits(manifest, modified):
    """The audio of each split of a manifest, as it was when it was modified so."""
    hours = defaultdict(float)
    with open(manifest, encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            hours[row["split"]] += float(row["seconds"]) / 3600
    return hours


def hours_of(manifest, split):
    """The audio of a split; none where a job does not ask for its manifest.

    Of a file that is still to be made, FileNotFoundError; Snakemake asks again then.
    """
    if not manifest:
        return 0.0
    return hours_of_splits(manifest, os.path.getmtime(manifest))[split]


def facts_of(backbone, input):
    """The sizes of an encoder; of any, where a finished product asks for none."""
    file = BACKBONE.format(backbone=backbone)
    if file not in input:
        return BASE
    with open(file, encoding="utf-8") as facts:
        return json.load(facts)


def floats_of_second(facts):
    """The hidden states of a second of audio."""
    return len(facts["layers"]) * facts["hidden_size"] / facts["frame_shift"]


def mb_of_batch(facts, seconds):
    """The hidden states of a batch in float32."""
    return seconds * floats_of_second(facts) * 4 / 1e6


def speed_of_encoding(facts):
    """Seconds of audio in a second."""
    size = max(facts["parameters"] / BASE["parameters"], 0.1)
    return HOURS_ENCODED_AN_HOUR[gpus_of_job()] / size


def speed_of_training(wildcards, input):
    """Seconds of crops in a second."""
    if (encoder := encoder_of(wildcards.backend)) is not None:
        return speed_of_encoding(facts_of(encoder, input)) / 3  # there and back
    facts = facts_of(wildcards.backbone, input)
    size = floats_of_second(facts) / floats_of_second(BASE)
    return SECONDS_TRAINED_A_SECOND[gpus_of_job()] / size


def mb_to_extract(wildcards, input):
    facts = facts_of(wildcards.backbone, input)
    batch = mb_of_batch(facts, config["machine"]["max_batch_seconds"])
    return MB_OF_PROCESS + facts["parameters"] * 8 / 1e6 + 3 * batch


def minutes_to_extract(wildcards, input):
    hours = hours_of(input.manifest, wildcards.split) / int(wildcards.num_parts)
    return 20 + 60 * hours / speed_of_encoding(facts_of(wildcards.backbone, input))


def minutes_to_plan(wildcards, input):
    return 15 + 5 * len(input.backbones)


def mb_to_train(wildcards, input):
    """With the splits that are held in memory: those of at most `memory_gb`."""
    facts = facts_of(wildcards.backbone, input)
    mb_of_hour = 3600 * floats_of_second(facts) * 2 / 1e6
    views = len(part_sets(train_view(wildcards)))
    _, listed = valid_trials_of(wildcards)
    splits = (
        hours_of(input.manifest, "train") * views * mb_of_hour,
        hours_of(input.valid_manifest, listed["split"]) * mb_of_hour,
    )
    limit = config["machine"]["memory_gb"] * 1000
    training = training_of(wildcards.backend)
    if (encoder := encoder_of(wildcards.backend)) is not None:
        facts = facts_of(encoder, input)
    batch = mb_of_batch(facts, training["batch_size"] * training["crop_seconds"])
    # What the forward pass leaves for the gradient is in the GPU, if there is one.
    batches = batch * (2 if gpus_of_job() else 10)
    of_each = MB_OF_PROCESS + sum(mb for mb in splits if mb <= limit)
    if encoder is not None:  # weights, gradients, the optimizer's two, the best
        of_each += facts["parameters"] * 20 / 1e6
    return processes_of(wildcards) * of_each + batches


def seconds_of_pairs(trials):
    """Both sides of all trials, of 20 s together or less."""
    with open(trials, encoding="utf-8") as lines:
        return 20 * sum(1 for _ in lines)


def minutes_of_crops(wildcards, input):
    training = training_of(wildcards.backend)
    crops = training["steps"] * training["batch_size"] * training.get("accumulate", 1)
    seconds = crops * training["crop_seconds"]
    if is_pairwise(wildcards.backend):
        validations = 2 + training["steps"] // training["validate_every"]
        seconds += validations * seconds_of_pairs(input.valid_trials) / 3
    return seconds / speed_of_training(wildcards, input) / 60


def minutes_to_train(wildcards, input):
    return 30 + minutes_of_crops(wildcards, input)


def mb_to_train_together(wildcards, input):
    """They are trained one after the other."""
    return max(mb_to_train(member, input) for member in members_of_group(wildcards))


def minutes_to_train_together(wildcards, input):
    """Of all; those that are there already are passed over."""
    runs = members_of_group(wildcards)
    return 30 + sum(minutes_of_crops(run, input) for run in runs)


def mb_to_embed(wildcards, input):
    facts = facts_of(encoder_of(wildcards.backend) or wildcards.backbone, input)
    return MB_OF_PROCESS + 5 * mb_of_batch(
        facts, config["machine"]["embed_batch_seconds"]
    )


def minutes_to_embed(wildcards, input):
    hours = hours_of(input.manifest, wildcards.split)
    return 15 + 60 * hours / (3 * speed_of_training(wildcards, input))


def minutes_to_score_pairs(wildcards, input):
    seconds = seconds_of_pairs(input.trials) + seconds_of_pairs(input.valid_trials)
    return 15 + seconds / (3 * speed_of_training(wildcards, input)) / 60


def minutes_to_probe(wildcards, input):
    """Reading the states is most of it."""
    listed = config["trials"][wildcards.trials]
    return 15 + 60 * hours_of(input.manifest, listed["split"]) / 300


def mb_to_read(wildcards, input):
    """Tables and embeddings, as a whole."""
    return 2000 + 20 * sum(os.path.getsize(file) for file in input) / 1e6
