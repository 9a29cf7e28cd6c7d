"""One table of all runs of the grid.

REQUIRED INPUTS:
    results/runs/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}/metrics/{trials}.json

OUTPUTS:
    results/table.csv
    results/table.md
"""


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
