"""From audio to a manifest, and to trial lists.

REQUIRED INPUTS:
    the audio that config.yaml names under corpora

OUTPUTS:
    results/corpora/{corpus}/utterances.csv
    results/corpora/{corpus}/excluded.csv
    results/trials/{trials}.csv
"""


def tables_of_corpus(wildcards):
    """The tables that the user may edit; their change makes the manifest again."""
    options = config["corpora"][wildcards.corpus]["options"]
    return [options["file"]] if "file" in options else []


rule prepare_corpus:
    """Check every recording of {wildcards.corpus}; list speaker, split, duration."""
    input:
        tables=tables_of_corpus,
    output:
        manifest=MANIFEST,
        excluded="results/corpora/{corpus}/excluded.csv",
    log:
        "logs/prepare_corpus/{corpus}.log",
    benchmark:
        "benchmarks/prepare_corpus/{corpus}.tsv"
    conda:
        "../envs/unipool.yaml"
    threads: workflow.cores or 1
    params:
        version=CORPUS_VERSION,
        kind=lambda wildcards: config["corpora"][wildcards.corpus]["kind"],
        options=lambda wildcards: config["corpora"][wildcards.corpus]["options"],
        split=lambda wildcards: config["corpora"][wildcards.corpus].get("split"),
        bad_audio=lambda wildcards: config["corpora"][wildcards.corpus]["bad_audio"],
        min_seconds=lambda wildcards: config["corpora"][wildcards.corpus][
            "min_seconds"
        ],
    script:
        "../scripts/prepare_corpus.py"


rule prepare_trials:
    """List the trials of {wildcards.trials}."""
    input:
        manifest=lambda wildcards: MANIFEST.format(
            corpus=config["trials"][wildcards.trials]["corpus"]
        ),
        file=lambda wildcards: config["trials"][wildcards.trials].get("file", []),
    output:
        trials=TRIALS,
    log:
        "logs/prepare_trials/{trials}.log",
    benchmark:
        "benchmarks/prepare_trials/{trials}.tsv"
    conda:
        "../envs/unipool.yaml"
    params:
        version=CORPUS_VERSION,
        split=lambda wildcards: config["trials"][wildcards.trials]["split"],
        num_targets=lambda wildcards: config["trials"][wildcards.trials].get(
            "num_targets"
        ),
        seed=lambda wildcards: config["trials"][wildcards.trials].get("seed"),
    script:
        "../scripts/prepare_trials.py"
