"""Stage 2: train a backend from the cache, embed with it, score and fuse trials.

REQUIRED INPUTS:
    {cache_dir}/{backbone}/{corpus}/{split}/{view}/*.json
    results/trials/{trials}.csv

OUTPUTS:
    results/together/{train_corpus}{train_view}/{backbone}/{group}.json
    results/runs/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}/
        model.safetensors, model.json, history.csv, loss.safetensors
        ahead/ (until the run's own job takes it)
        embeddings/{corpus}-{split}.h5
        scores/{trials}{scoring}.csv
        metrics/{trials}{scoring}.json, metrics/{trials}{scoring}.draws.csv
        the same three of {trials}@pairwise, without embeddings
    results/runs/{train_corpus}{train_view}/fused/{fusion}/seed-{seed}/
        scores/{trials}.csv, metrics/{trials}.json, metrics/{trials}.draws.csv
"""


rule train:
    """Train one backend on one cache with one seed."""
    input:
        unpack(inputs_of_training),
    output:
        weights=WEIGHTS,
        model=MODEL,
        history=HISTORY,
    log:
        "logs/train/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}.log",
    benchmark:
        "benchmarks/train/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}.tsv"
    conda:
        "../envs/unipool.yaml"
    threads: processes_of
    resources:
        gpu=lambda wildcards, attempt: (
            0 if takes(wildcards, attempt) else gpus_of_job(processes_of(wildcards))
        ),
        # One reads. A dry run counts the threads of this machine.
        cpus_per_task=lambda wildcards, threads: (
            1 + max(threads, processes_of(wildcards))
        ),
        mem_mb=of_training(mb_to_train, to_take=1000),
        runtime=of_training(minutes_to_train, to_take=10),
    params:
        definition=definition_of,
        splits=lambda wildcards, input: splits_of_training(wildcards),
    script:
        "../scripts/train.py"


rule train_together:
    """Train several runs of one cache in one process, each for its own job to take."""
    input:
        unpack(inputs_of_group),
    output:
        together=TOGETHER,
    log:
        "logs/train_together/{train_corpus}{train_view}/{backbone}/{group}.log",
    benchmark:
        "benchmarks/train_together/{train_corpus}{train_view}/{backbone}/{group}.tsv"
    conda:
        "../envs/unipool.yaml"
    resources:
        gpu=gpus_of_job(),
        cpus_per_task=2,
        mem_mb=growing(mb_to_train_together),
        runtime=growing(minutes_to_train_together),
    params:
        runs=lambda wildcards: [
            dict(
                folder=RUN.format_map(member),
                seed=member.seed,
                definition=definition_of(member),
            )
            for member in members_of_group(wildcards)
        ],
        splits=lambda wildcards, input: splits_of_training(
            members_of_group(wildcards)[0]
        ),
    script:
        "../scripts/train_together.py"


rule embed:
    """Embed every utterance of a split with one run."""
    input:
        model=MODEL,
        weights=WEIGHTS,
        manifest=MANIFEST,
        cache=embed_cache,
    output:
        embeddings=EMBEDDINGS,
    log:
        "logs/embed/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}/{corpus}-{split}.log",
    benchmark:
        "benchmarks/embed/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}/{corpus}-{split}.tsv"
    conda:
        "../envs/unipool.yaml"
    resources:
        gpu=gpus_of_job(),
        mem_mb=growing(mb_to_embed),
        runtime=growing(minutes_to_embed),
    params:
        version=EMBED_VERSION,
        split=lambda wildcards, input: cached_split(
            wildcards, wildcards.corpus, wildcards.split, embedded_view(wildcards)
        ),
    script:
        "../scripts/embed.py"


rule score:
    """Score a trial list with one run; measure the errors."""
    input:
        unpack(inputs_of_scoring),
    output:
        scores=SCORES,
        metrics=METRICS,
        draws=DRAWS,
    log:
        "logs/score/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}/{trials}{scoring}.log",
    benchmark:
        "benchmarks/score/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}/{trials}{scoring}.tsv"
    conda:
        "../envs/unipool.yaml"
    resources:
        mem_mb=growing(mb_to_read),
        runtime=growing(lambda wildcards, input: 30),
    params:
        version=SCORE_VERSION,
        valid_trials=lambda wildcards: valid_trials_of(wildcards)[0],
        scoring=scoring_of,
        metrics=config["metrics"],
    script:
        "../scripts/score.py"


rule score_pairs:
    """Score a trial list with one run that compares utterances two by two."""
    input:
        unpack(inputs_of_pairs),
    output:
        *PAIRWISE_FILES,
    log:
        "logs/score_pairs/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}/{trials}.log",
    benchmark:
        "benchmarks/score_pairs/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}/{trials}.tsv"
    conda:
        "../envs/unipool.yaml"
    resources:
        gpu=gpus_of_job(),
        mem_mb=growing(mb_to_embed),
        runtime=growing(minutes_to_score_pairs),
    params:
        definition=definition_of_pairs,
        splits=lambda wildcards, input: splits_of_pairs(wildcards),
    script:
        "../scripts/score_pairs.py"


rule fuse:
    """Fuse the scores of several systems; measure the errors."""
    input:
        scores=lambda wildcards: members_of(wildcards, SCORES, wildcards.trials),
        metrics=lambda wildcards: members_of(wildcards, METRICS, wildcards.trials),
        draws=lambda wildcards: members_of(wildcards, DRAWS, wildcards.trials),
        valid_scores=lambda wildcards: members_of(
            wildcards, SCORES, valid_trials_of(wildcards)[0]
        ),
        trials=TRIALS,
        enrolments=ENROLMENTS,
        manifest=lambda wildcards: MANIFEST.format(
            corpus=config["trials"][wildcards.trials]["corpus"]
        ),
    output:
        scores=FUSED_SCORES,
        metrics=FUSED_METRICS,
        draws=FUSED_DRAWS,
    log:
        "logs/fuse/{train_corpus}{train_view}/{fusion}/seed-{seed}/{trials}.log",
    benchmark:
        "benchmarks/fuse/{train_corpus}{train_view}/{fusion}/seed-{seed}/{trials}.tsv"
    conda:
        "../envs/unipool.yaml"
    resources:
        mem_mb=growing(mb_to_read),
        runtime=growing(lambda wildcards, input: 30),
    params:
        version=SCORE_VERSION,
        members=lambda wildcards: members_of(wildcards, SCORES, wildcards.trials),
        p_targets=config["metrics"]["p_targets"],
        draws=config["metrics"]["draws"],
    script:
        "../scripts/fuse.py"
