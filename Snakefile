"""Compare speaker-verification backends on frozen encoders.

audio -> manifest -> cache -> checkpoint -> embeddings -> scores -> table, report
"""

from snakemake.utils import min_version

min_version("9.9")


configfile: "config.yaml"


# GPU jobs are limited on one machine; a cluster's scheduler counts its own.
resource_scopes:
    gpu="local",


include: "workflow/rules/common.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/cache.smk"
include: "workflow/rules/backend.smk"
include: "workflow/rules/report.smk"


report: "workflow/report/workflow.rst"


rule all:
    default_target: True
    input:
        "results/table.csv",
        "results/report.html",
