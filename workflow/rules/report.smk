"""Tables of all cells of the grid, what the layers say, and a report to read.

REQUIRED INPUTS:
    results/runs/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}/
        metrics/{trials}{scoring}.json, metrics/{trials}{scoring}.draws.csv
        embeddings/{corpus}-{split}.h5
    {cache_dir}/{backbone}/{corpus}/{split}/full/*.json

OUTPUTS:
    results/table.csv, results/table.md
    results/systems.csv, results/comparisons.csv, results/conditions.csv
    results/probes/{train_corpus}/{backbone}/{trials}.csv, .json
    results/runs/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}/maps/{corpus}-{split}.csv
    results/report.html, results/plots/*.svg
"""


localrules:
    tabulate,


rule tabulate:
    """Put all rows of the grid into one table."""
    input:
        metrics=metrics_of_grid(),
    output:
        table=report(
            "results/table.csv", caption="../report/table.rst", category="Tables"
        ),
        markdown="results/table.md",
        systems=report(
            "results/systems.csv", caption="../report/systems.rst", category="Tables"
        ),
        comparisons="results/comparisons.csv",
        conditions="results/conditions.csv",
    log:
        "logs/tabulate/table.log",
    benchmark:
        "benchmarks/tabulate/table.tsv"
    conda:
        "../envs/unipool.yaml"
    params:
        version=TABLE_VERSION,
        rows=metrics_of_grid(),
    script:
        "../scripts/tabulate.py"


rule probe:
    """Verify with the statistics of each single layer."""
    input:
        manifest=lambda wildcards: MANIFEST.format(
            corpus=config["trials"][wildcards.trials]["corpus"]
        ),
        valid_manifest=lambda wildcards: MANIFEST.format(
            corpus=valid_trials_of(wildcards)[1]["corpus"]
        ),
        trials=TRIALS,
        enrolments=ENROLMENTS,
        cache=lambda wildcards: probe_cache(wildcards, wildcards.trials),
        valid_cache=lambda wildcards: probe_cache(
            wildcards, valid_trials_of(wildcards)[0]
        ),
    output:
        probe=PROBE,
        described=PROBE_DESCRIBED,
    log:
        "logs/probe/{train_corpus}/{backbone}/{trials}.log",
    benchmark:
        "benchmarks/probe/{train_corpus}/{backbone}/{trials}.tsv"
    conda:
        "../envs/unipool.yaml"
    resources:
        gpu=gpus_of_job(),
        mem_mb=growing(lambda wildcards, input: MB_OF_PROCESS),
        runtime=growing(minutes_to_probe),
    params:
        definition=definition_of_probe,
        test_split=lambda wildcards, input: cached_split(
            wildcards,
            config["trials"][wildcards.trials]["corpus"],
            config["trials"][wildcards.trials]["split"],
        ),
        valid_split=lambda wildcards, input: cached_split(
            wildcards,
            valid_trials_of(wildcards)[1]["corpus"],
            valid_trials_of(wildcards)[1]["split"],
        ),
    script:
        "../scripts/probe.py"


rule map_embeddings:
    """Place the embeddings of a split on a plane."""
    input:
        embeddings=EMBEDDINGS,
        manifest=MANIFEST,
    output:
        map=MAP,
    log:
        "logs/map_embeddings/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}/{corpus}-{split}.log",
    benchmark:
        "benchmarks/map_embeddings/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}/{corpus}-{split}.tsv"
    conda:
        "../envs/unipool.yaml"
    resources:
        mem_mb=growing(mb_to_read),
        runtime=growing(lambda wildcards, input: 30),
    params:
        version=MAP_VERSION,
    script:
        "../scripts/map_embeddings.py"


rule report:
    """Write one page of all that came out, and each chart as a picture."""
    input:
        table="results/table.csv",
        systems="results/systems.csv",
        comparisons="results/comparisons.csv",
        conditions="results/conditions.csv",
        models=list(runs_of_grid()),
        scores=scores_of_grid(),
        embeddings=list(tested_of_grid()),
        probes=probes_of_grid(),
        maps=maps_of_grid(),
    output:
        html=report(
            "results/report.html", caption="../report/report.rst", category="Report"
        ),
        plots=[
            report(
                f"results/plots/{name}.svg",
                caption=f"../report/{name}.rst",
                category="Charts",
                labels={"chart": name},
            )
            for name in PLOTS
        ],
    log:
        "logs/report/report.log",
    benchmark:
        "benchmarks/report/report.tsv"
    conda:
        "../envs/unipool.yaml"
    resources:
        mem_mb=growing(mb_to_read),
        runtime=growing(lambda wildcards, input: 30),
    params:
        version=REPORT_VERSION,
        runs=folders_of_grid(),
        logs="logs",
    script:
        "../scripts/report.py"
