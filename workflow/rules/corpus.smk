"""From audio to a manifest, and to trial lists.

REQUIRED INPUTS:
    the audio that config.yaml names under corpora

OUTPUTS:
    results/corpora/{corpus}/utterances.csv
    results/corpora/{corpus}/excluded.csv
    results/trials/{trials}.csv
"""


rule prepare_corpus:
    """Check every recording; list speaker, split and duration."""
    input:
        tables=tables_of_corpus,
    output:
        manifest=MANIFEST,
        excluded=EXCLUDED,
    log:
        "logs/prepare_corpus/{corpus}.log",
    benchmark:
        "benchmarks/prepare_corpus/{corpus}.tsv"
    conda:
        "../envs/unipool.yaml"
    threads: workflow.cores or 1
    params:
        version=CORPUS_VERSION,
        kind=corpus_setting("kind"),
        options=corpus_setting("options"),
        split=corpus_setting("split"),
        check=corpus_setting("check"),
        bad_audio=corpus_setting("bad_audio"),
        incomplete=corpus_setting("incomplete"),
        min_seconds=corpus_setting("min_seconds"),
    script:
        "../scripts/prepare_corpus.py"


rule prepare_trials:
    """Make a trial list, or take one over."""
    input:
        manifest=lambda wildcards: MANIFEST.format(
            corpus=config["trials"][wildcards.trials]["corpus"]
        ),
        file=trials_setting("file", default=[]),
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
        split=trials_setting("split"),
        num_targets=trials_setting("num_targets"),
        seed=trials_setting("seed"),
    script:
        "../scripts/prepare_trials.py"
