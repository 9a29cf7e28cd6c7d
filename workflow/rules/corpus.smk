"""From audio to a manifest, and to trial lists.

REQUIRED INPUTS:
    the audio that config.yaml names under corpora

OUTPUTS:
    results/corpora/{corpus}/utterances.csv
    results/corpora/{corpus}/excluded.csv
    results/lists/{list}
    results/trials/{trials}.csv
    results/trials/{trials}.enrolments.csv
"""


localrules:
    fetch_list,
    prepare_trials,


rule prepare_corpus:
    """Check every recording; list speaker, split and duration."""
    input:
        tables=tables_of_corpus,
        speakers=list_of_speakers,
    output:
        manifest=MANIFEST,
        excluded=EXCLUDED,
    log:
        "logs/prepare_corpus/{corpus}.log",
    benchmark:
        "benchmarks/prepare_corpus/{corpus}.tsv"
    conda:
        "../envs/unipool.yaml"
    threads: all_cores(of_a_node=8)
    resources:
        mem_mb=growing(lambda wildcards, input: MB_OF_PROCESS),
        runtime=growing(lambda wildcards, input: 240),
    params:
        version=CORPUS_VERSION,
        kind=corpus_setting("kind"),
        options=corpus_setting("options"),
        tables=tables_of_corpus,
        split=corpus_setting("split"),
        bad_audio=corpus_setting("bad_audio"),
        # What these change shows in the manifest, if in anything.
        check=lambda wildcards, threads: config["corpora"][wildcards.corpus]["check"],
        incomplete=lambda wildcards, threads: config["corpora"][wildcards.corpus][
            "incomplete"
        ],
        min_seconds=corpus_setting("min_seconds"),
    script:
        "../scripts/prepare_corpus.py"


rule fetch_list:
    """Download a published list, and verify that it is the one that is meant."""
    output:
        list=LIST,
    log:
        "logs/fetch_list/{list}.log",
    benchmark:
        "benchmarks/fetch_list/{list}.tsv"
    conda:
        "../envs/unipool.yaml"
    params:
        url=list_setting("url"),
        checksum=list_setting("checksum"),
    script:
        "../scripts/fetch_list.py"


rule prepare_trials:
    """Make a trial list, or take one over."""
    input:
        manifest=lambda wildcards: MANIFEST.format(
            corpus=config["trials"][wildcards.trials]["corpus"]
        ),
        file=list_of_trials,
        enrolments=trials_setting("enrolments", default=[]),
    output:
        trials=TRIALS,
        enrolments=ENROLMENTS,
    log:
        "logs/prepare_trials/{trials}.log",
    benchmark:
        "benchmarks/prepare_trials/{trials}.tsv"
    conda:
        "../envs/unipool.yaml"
    params:
        version=CORPUS_VERSION,
        # As params, since another input alone does not make a file again.
        source=lambda wildcards: [
            config["trials"][wildcards.trials].get(name)
            for name in ("corpus", "file", "enrolments")
        ],
        split=trials_setting("split"),
        checksum=trials_setting("checksum"),
        unknown=trials_setting("unknown", default="error"),
        conditions=trials_setting("conditions", default=[]),
        num_targets=trials_setting("num_targets"),
        num_nontargets=trials_setting("num_nontargets"),
        seed=trials_setting("seed"),
        balance=trials_setting("balance", default=[]),
        same_session=trials_setting("same_session", default=0.0),
        rounding=trials_setting("rounding", default="exact"),
    script:
        "../scripts/prepare_trials.py"
