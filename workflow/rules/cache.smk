"""Stage 1: the hidden states of all layers of a frozen encoder, once.

REQUIRED INPUTS:
    results/corpora/{corpus}/utterances.csv

OUTPUTS:
    results/backbones/{backbone}/backbone.json
    {cache_dir}/{backbone}/{corpus}/{split}/{view}/part-{part}-of-{num_parts}.json
    results/plan.csv

The Zarr stores and the model files lie beside these, at paths that are no outputs:
Snakemake deletes the outputs of a job that failed or starts again.
"""


localrules:
    fetch_backbone,


rule fetch_backbone:
    """Download, copy or make an encoder."""
    input:
        source=source_of_backbone,
    output:
        facts=BACKBONE,
    log:
        "logs/fetch_backbone/{backbone}.log",
    benchmark:
        "benchmarks/fetch_backbone/{backbone}.tsv"
    conda:
        "../envs/unipool.yaml"
    params:
        version=EXTRACT_VERSION,
        source=lambda wildcards: config["backbones"][wildcards.backbone],
    script:
        "../scripts/fetch_backbone.py"


rule extract:
    """Encode one part of a split, all layers."""
    input:
        manifest=MANIFEST,
        backbone=BACKBONE,
    output:
        receipt=RECEIPT,
    log:
        "logs/extract/{backbone}/{corpus}/{split}/{view}/part-{part}-of-{num_parts}.log",
    benchmark:
        "benchmarks/extract/{backbone}/{corpus}/{split}/{view}/part-{part}-of-{num_parts}.tsv"
    conda:
        "../envs/unipool.yaml"
    resources:
        gpu=gpus_of_job(),
        cpus_per_task=3,  # one decodes, one encodes, one writes
        mem_mb=growing(mb_to_extract),
        runtime=growing(minutes_to_extract),
    params:
        version=EXTRACT_VERSION,
        view=lambda wildcards: view_of_set(wildcards.view),
    script:
        "../scripts/extract.py"


rule plan:
    """Reckon what the cache of the grid takes; refuse it when it does not fit."""
    input:
        manifests=sorted({str(planned["manifest"]) for planned in sets_of_grid()}),
        backbones=sorted(
            {f"{planned['backbone']}/backbone.json" for planned in sets_of_grid()}
        ),
    output:
        table="results/plan.csv",
    log:
        "logs/plan/plan.log",
    benchmark:
        "benchmarks/plan/plan.tsv"
    conda:
        "../envs/unipool.yaml"
    resources:
        gpu=gpus_of_job(),
        mem_mb=growing(lambda wildcards, input: 2 * MB_OF_PROCESS),
        runtime=growing(minutes_to_plan),
    params:
        sets=lambda wildcards, input: sets_of_grid(),
        cache_dir=config["cache_dir"],
    script:
        "../scripts/plan.py"
