"""One table of all runs of the grid.

REQUIRED INPUTS:
    results/runs/{train_corpus}/{backbone}/{backend}/seed-{seed}/metrics/{trials}.json

OUTPUTS:
    results/table.csv
    results/table.md
"""


def metrics_of_grid():
    """The metrics file of each row, each once though blocks may overlap."""
    files = {
        METRICS.format(
            train_corpus=block["train"],
            backbone=backbone,
            backend=backend,
            seed=seed,
            trials=trials,
        ): None
        for block in config["grid"]
        for trials in block["test"]
        for backbone in block["backbones"]
        for backend in block["backends"]
        for seed in block["seeds"]
    }
    return list(files)


localrules:
    tabulate,


rule tabulate:
    """Put all rows of the grid into one table."""
    input:
        metrics=metrics_of_grid(),
    output:
        table="results/table.csv",
        markdown="results/table.md",
    log:
        "logs/tabulate/table.log",
    benchmark:
        "benchmarks/tabulate/table.tsv"
    conda:
        "../envs/unipool.yaml"
    params:
        rows=metrics_of_grid(),
    script:
        "../scripts/tabulate.py"
