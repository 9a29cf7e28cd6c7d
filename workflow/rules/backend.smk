"""Stage 2: train a backend from the cache, embed with it, score trials.

REQUIRED INPUTS:
    {cache_dir}/{backbone}/{corpus}/{split}/full/*.json
    results/trials/{trials}.csv

OUTPUTS:
    results/runs/{train_corpus}/{backbone}/{backend}/seed-{seed}/
        model.safetensors, model.json, history.csv
        embeddings/{corpus}-{split}.h5
        scores/{trials}.csv, metrics/{trials}.json
"""


def train_receipts(wildcards):
    files = receipts(wildcards.backbone, wildcards.train_corpus, "train")
    return still_needed(wildcards, files, RUN.format_map(wildcards) + "/model.json")


def valid_receipts(wildcards):
    _, listed = valid_trials_of(wildcards)
    files = receipts(wildcards.backbone, listed["corpus"], listed["split"])
    return still_needed(wildcards, files, RUN.format_map(wildcards) + "/model.json")


def embed_receipts(wildcards):
    files = receipts(wildcards.backbone, wildcards.corpus, wildcards.split)
    return still_needed(wildcards, files, EMBEDDINGS.format_map(wildcards))


rule train:
    """Train {wildcards.backend} on {wildcards.backbone}, {wildcards.train_corpus}, seed {wildcards.seed}."""
    input:
        manifest=MANIFEST.replace("{corpus}", "{train_corpus}"),
        valid_manifest=lambda wildcards: MANIFEST.format(
            corpus=valid_trials_of(wildcards)[1]["corpus"]
        ),
        valid_trials=lambda wildcards: TRIALS.format(
            trials=valid_trials_of(wildcards)[0]
        ),
        backbone=ancient(BACKBONE),
        receipts=ancient(train_receipts),
        valid_receipts=ancient(valid_receipts),
    output:
        weights=RUN + "/model.safetensors",
        model=RUN + "/model.json",
        history=RUN + "/history.csv",
    log:
        "logs/train/{train_corpus}/{backbone}/{backend}/seed-{seed}.log",
    benchmark:
        "benchmarks/train/{train_corpus}/{backbone}/{backend}/seed-{seed}.tsv"
    conda:
        "../envs/unipool.yaml"
    resources:
        gpu=gpus_of_job(),
    params:
        definition=definition_of,
        train_split=lambda wildcards, input: cached_split(
            wildcards.backbone, wildcards.train_corpus, "train"
        ),
        valid_split=lambda wildcards, input: cached_split(
            wildcards.backbone,
            valid_trials_of(wildcards)[1]["corpus"],
            valid_trials_of(wildcards)[1]["split"],
        ),
        machine=lambda wildcards, threads: config["machine"],
    script:
        "../scripts/train.py"


rule embed:
    """Embed {wildcards.corpus} {wildcards.split} with {wildcards.backend} on {wildcards.backbone}, seed {wildcards.seed}."""
    input:
        model=RUN + "/model.json",
        weights=RUN + "/model.safetensors",
        manifest=MANIFEST,
        receipts=ancient(embed_receipts),
    output:
        embeddings=EMBEDDINGS,
    log:
        "logs/embed/{train_corpus}/{backbone}/{backend}/seed-{seed}/{corpus}-{split}.log",
    benchmark:
        "benchmarks/embed/{train_corpus}/{backbone}/{backend}/seed-{seed}/{corpus}-{split}.tsv"
    conda:
        "../envs/unipool.yaml"
    resources:
        gpu=gpus_of_job(),
    params:
        split=lambda wildcards, input: cached_split(
            wildcards.backbone, wildcards.corpus, wildcards.split
        ),
        machine=lambda wildcards, threads: config["machine"],
    script:
        "../scripts/embed.py"


rule score:
    """Score {wildcards.trials} with {wildcards.backend} on {wildcards.backbone}, seed {wildcards.seed}."""
    input:
        model=RUN + "/model.json",
        embeddings=lambda wildcards: EMBEDDINGS.format(
            corpus=config["trials"][wildcards.trials]["corpus"],
            split=config["trials"][wildcards.trials]["split"],
            **wildcards,
        ),
        trials=TRIALS,
    output:
        scores=RUN + "/scores/{trials}.csv",
        metrics=METRICS,
    log:
        "logs/score/{train_corpus}/{backbone}/{backend}/seed-{seed}/{trials}.log",
    benchmark:
        "benchmarks/score/{train_corpus}/{backbone}/{backend}/seed-{seed}/{trials}.tsv"
    conda:
        "../envs/unipool.yaml"
    params:
        version=SCORE_VERSION,
    script:
        "../scripts/score.py"
