"""What all rules share: the checked config, where files are, who waits for what."""

import atexit
import gc
import json
import os
import shlex
import shutil
import sys
from itertools import product
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from unipool.ahead import is_imported, was_made_with
from workflow.config import problems_found_apart
from workflow.sources import missing_files, with_home
from workflow.starting import complete

SCHEMA = Path(workflow.basedir) / "workflow/schemas/config.schema.yaml"

# The network is for local rules (fetch_*): a job on another machine has all it needs.
if workflow.remote_exec:
    os.environ |= {"HF_HUB_OFFLINE": "1"}

config |= with_home(config)

# Only the process that plans the jobs looks for mistakes; the jobs start quicker.
if workflow.is_main_process:
    # A plan of thousands of jobs is millions of objects that stay to the end; looking
    # for garbage among them, at the end again, would take a fifth of its time.
    gc.set_threshold(100_000, 50, 100)
    atexit.register(gc.freeze)
    problems = problems_found_apart(config, SCHEMA)
    if Path(config.get("cache_dir", ".")).is_file():
        problems.append(f"cache_dir: {config['cache_dir']} is a file; name a folder")
    problems = problems or missing_files(config)
    if problems:
        raise WorkflowError("the config has mistakes:\n  " + "\n  ".join(problems))
validate(config, str(SCHEMA))  # fills in the defaults
config["backends"] = complete(config["backends"])

# Snakemake starts jobs through a shell and leaves this unquoted, so that they would not
# start from an environment whose path has a space.
sys.executable = shlex.quote(sys.executable)

# Raised by hand when a change of a stage's code changes its results: they are then
# made again. Snakemake's own trigger would make everything again after each fresh
# checkout, and nothing after a change in the package.
CORPUS_VERSION = 2
EXTRACT_VERSION = 3
TRAIN_VERSION = 5
EMBED_VERSION = 3
PROBE_VERSION = 1
TABLE_VERSION = 1
MAP_VERSION = 1
REPORT_VERSION = 1
SCORE_VERSION = 4
PAIRS_VERSION = 2


wildcard_constraints:
    corpus="[^/]+",
    train_corpus="[^/@]+",
    train_view="(@[^/]+)?",
    view="[^/]+",
    backbone="(?!fused/)[^/]+",
    backend="[^/]+",
    fusion="[^/]+",
    trials=r"[^/@]+(?<!\.enrolments)",
    scoring=r"(@(?!pairwise\.)[^/]+)?",
    split="train|valid|test",
    list="[^/]+",
    seed="[0-9]+",
    group="[0-9]+",
    part="[0-9]+",
    num_parts="[0-9]+",


# Each level of a path is a column of the table.
MANIFEST = "results/corpora/{corpus}/utterances.csv"
EXCLUDED = "results/corpora/{corpus}/excluded.csv"
LIST = "results/lists/{list}"
TRIALS = "results/trials/{trials}.csv"
ENROLMENTS = "results/trials/{trials}.enrolments.csv"
BACKBONE = "results/backbones/{backbone}/backbone.json"
CACHE = f"{config['cache_dir']}/{{backbone}}/{{corpus}}/{{split}}"
RECEIPT = f"{CACHE}/{{view}}/part-{{part}}-of-{{num_parts}}.json"
# Trained on a view that is not `full`, a run stands under corpus@view.
RUN = "results/runs/{train_corpus}{train_view}/{backbone}/{backend}/seed-{seed}"
MODEL = f"{RUN}/model.json"
WEIGHTS = f"{RUN}/model.safetensors"
HISTORY = f"{RUN}/history.csv"
EMBEDDINGS = f"{RUN}/embeddings/{{corpus}}-{{split}}.h5"
# Scored otherwise than by the plain cosine, a trial list stands under trials@scoring.
SCORES = f"{RUN}/scores/{{trials}}{{scoring}}.csv"
METRICS = f"{RUN}/metrics/{{trials}}{{scoring}}.json"
DRAWS = f"{RUN}/metrics/{{trials}}{{scoring}}.draws.csv"
# What compares utterances two by two has no other scoring, and no embeddings.
PAIRWISE = "@pairwise"
PAIRWISE_FILES = [
    pattern.replace("{scoring}", PAIRWISE) for pattern in (SCORES, METRICS, DRAWS)
]
TOGETHER = "results/together/{train_corpus}{train_view}/{backbone}/{group}.json"
MAP = f"{RUN}/maps/{{corpus}}-{{split}}.csv"
# A fusion's scores stand where those of a run would.
FUSED = RUN.format(
    train_corpus="{train_corpus}",
    train_view="{train_view}",
    backbone="fused",
    backend="{fusion}",
    seed="{seed}",
)
FUSED_SCORES = f"{FUSED}/scores/{{trials}}.csv"
FUSED_METRICS = f"{FUSED}/metrics/{{trials}}.json"
FUSED_DRAWS = f"{FUSED}/metrics/{{trials}}.draws.csv"
PLOTS = (
    *("errors", "differences", "conditions", "det", "scores"),
    *("cost", "training", "probes", "layers", "attention", "maps"),
)
PROBE = "results/probes/{train_corpus}/{backbone}/{trials}.csv"
PROBE_DESCRIBED = "results/probes/{train_corpus}/{backbone}/{trials}.json"


KALDI = ("wav.scp", "segments", "utt2spk", "spk2gender", "utt2session")


def gpus_of_job(processes=1):
    """One for each process, unless it is known that the job will run on the CPU.

    A scheduler's login node has no GPU though its jobs have: a cluster profile says
    `machine: {device: cuda}`.
    """
    device = config["machine"]["device"]
    here = shutil.which("nvidia-smi") is not None
    return processes * int(device == "cuda" or (device == "auto" and here))


def tables_of_corpus(wildcards):
    """The tables that the user may edit; their change makes the manifest again."""
    options = config["corpora"][wildcards.corpus]["options"]
    named = [
        options[name]
        for name in ("file", "cuts", "recordings", "supervisions")
        if name in options
    ]
    kaldi = (
        [Path(options["folder"], name) for name in KALDI] if "folder" in options else []
    )
    return [*named, *(str(path) for path in kaldi if path.exists())]


def corpus_setting(name):
    """A param of `prepare_corpus` that stands in the config under the same name."""
    return lambda wildcards: config["corpora"][wildcards.corpus].get(name)


def trials_setting(name, default=None):
    """A param of `prepare_trials` that stands in the config under the same name."""
    return lambda wildcards: config["trials"][wildcards.trials].get(name, default)


def name_of_list(listed):
    """What a list from the network is kept as; the same list has the same name."""
    digest = listed["checksum"].partition(":")[2]
    return f"{digest[:12]}-{listed['file'].rpartition('/')[2]}"


# The lists that come from the network: where from, and what they must be.
LISTS = {
    name_of_list(listed): {"url": listed["file"], "checksum": listed["checksum"]}
    for listed in [
        *config["trials"].values(),
        *(corpus.get("split", {}) for corpus in config["corpora"].values()),
    ]
    if "://" in listed.get("file", "")
}


def list_setting(name):
    """A param of `fetch_list`."""
    return lambda wildcards: LISTS[wildcards.list][name]


def list_file(listed):
    """Where a published list is, if there is one: fetched, or the user's own file."""
    if "://" in listed.get("file", ""):
        return LIST.format(list=name_of_list(listed))
    return listed.get("file", [])


def list_of_trials(wildcards):
    """The list that trials are taken from, if they are."""
    return list_file(config["trials"][wildcards.trials])


def list_of_speakers(wildcards):
    """The list that says who is in which split, if there is one."""
    return list_file(config["corpora"][wildcards.corpus].get("split", {}))


def source_of_backbone(wildcards):
    """The local folder that a backbone is taken from, if it is."""
    path = config["backbones"][wildcards.backbone].get("path")
    return [] if path is None else f"{path}/config.json"


def num_parts(corpus, split):
    return config["corpora"][corpus]["parts"][split]


def part_sets(view):
    """What is encoded for a view: each copy of an augmented one is a set of its own."""
    if view == "full":
        return {"full": {}}
    ((kind, options),) = config["views"][view].items()
    if kind == "crops":
        return {view: {kind: options}}
    drawn = {name: value for name, value in options.items() if name != "copies"}
    copies = range(1, options["copies"] + 1)
    return {"full": {}} | {
        f"{view}-{copy}": {kind: drawn | {"copy": copy}} for copy in copies
    }


def view_of_set(name):
    """What is encoded for a set of parts."""
    for view in ["full", *config["views"]]:
        if name in part_sets(view):
            return part_sets(view)[name]
    raise WorkflowError(f"the cache's view {name} is not defined under views")


def receipts(backbone, corpus, split, view="full"):
    """The receipts of all parts of a split."""
    total = num_parts(corpus, split)
    split_of = dict(backbone=backbone, corpus=corpus, split=split)
    return [
        RECEIPT.format(
            view=name, part=f"{part:03d}", num_parts=f"{total:03d}", **split_of
        )
        for name, part in product(part_sets(view), range(total))
    ]


def cached_split(wildcards, corpus, split, view="full"):
    """Where a split's hidden states are, as the keyword arguments of SplitCache."""
    backbone = wildcards.backbone
    backend = config["backends"].get(wildcards.get("backend"), {})
    return dict(
        manifest=Path(MANIFEST.format(corpus=corpus)),
        split=split,
        backbone=Path(BACKBONE.format(backbone=backbone)).parent,
        folder=Path(CACHE.format(backbone=backbone, corpus=corpus, split=split)),
        num_parts=num_parts(corpus, split),
        views=part_sets(view),
        layers=backend.get("layers"),
    )


def train_view(wildcards):
    """The view that a run is trained on."""
    return wildcards.train_view.removeprefix("@") or "full"


def valid_trials_of(wildcards):
    """The trial list that chooses the weights of a run: its name, its definition."""
    name = config["corpora"][wildcards.train_corpus]["valid_trials"]
    return name, config["trials"][name]


def splits_of_training(wildcards):
    """The hidden states that a run is trained on, and those it is chosen by."""
    _, listed = valid_trials_of(wildcards)
    return dict(
        train_split=cached_split(
            wildcards, wildcards.train_corpus, "train", train_view(wildcards)
        ),
        valid_split=cached_split(wildcards, listed["corpus"], listed["split"]),
    )


def splits_of_pairs(wildcards):
    """The hidden states that trials are scored on, and those of the validation trials."""
    listed = config["trials"][wildcards.trials]
    return dict(
        split=cached_split(wildcards, listed["corpus"], listed["split"]),
        valid_split=splits_of_training(wildcards)["valid_split"],
    )


def training_of(backend):
    return config["train"] | config["backends"][backend]["train"]


def is_pairwise(backend):
    """Whether it compares utterances two by two; its loss says so."""
    return training_of(backend)["loss"] == "binary-cross-entropy"


def processes_of(wildcards):
    """How many processes train a run together."""
    return config["backends"][wildcards.backend]["processes"]


def corpora_of(names):
    """What decides the manifest of each corpus."""
    keys = ("kind", "options", "split", "bad_audio", "min_seconds")
    return {
        name: {key: config["corpora"][name].get(key) for key in keys}
        for name in sorted(names)
    }


def encoder_of(backend):
    """The backbone that a backend fine-tunes, by its name; None where it does not."""
    return config["backends"][backend]["options"].get("encoder")


def started_from(wildcards):
    """The wildcards of the run that a run starts from; None where it does not."""
    start = config["backends"][wildcards.backend].get("start")
    if start is None:
        return None
    return type(wildcards)(fromdict=dict(wildcards.items()) | {"backend": start})


def definition_of(wildcards):
    """All settings that decide what a run becomes; a change of them redoes it."""
    trials, listed = valid_trials_of(wildcards)
    backend = config["backends"][wildcards.backend]
    fine_tuned = {}
    if (encoder := encoder_of(wildcards.backend)) is not None:
        folder = str(Path(BACKBONE.format(backbone=encoder)).parent)
        backend = backend | {"options": backend["options"] | {"encoder": folder}}
        fine_tuned = {"encoder": config["backbones"][encoder]}
    started = {}
    if (first := started_from(wildcards)) is not None:
        started = {"start": definition_of(first)}
    return (
        fine_tuned
        | started
        | {
            "versions": [CORPUS_VERSION, EXTRACT_VERSION, TRAIN_VERSION],
            "corpora": corpora_of({wildcards.train_corpus, listed["corpus"]}),
            "valid_trials": {trials: listed},
            "view": part_sets(train_view(wildcards)),
            "backbone": config["backbones"][wildcards.backbone],
            "backend": {key: backend.get(key) for key in ("kind", "options", "layers")},
            "train": training_of(wildcards.backend),
        }
    )


def definition_of_probe(wildcards):
    """All settings that decide what a probe finds; a change of them redoes it."""
    trials, (valid, of_valid) = wildcards.trials, valid_trials_of(wildcards)
    listed = config["trials"][trials]
    return {
        "versions": [CORPUS_VERSION, EXTRACT_VERSION, PROBE_VERSION],
        "corpora": corpora_of({listed["corpus"], of_valid["corpus"]}),
        "trials": {trials: listed, valid: of_valid},
        "backbone": config["backbones"][wildcards.backbone],
    }


def definition_of_pairs(wildcards):
    """All settings that decide how pairs score trials; a change of them redoes it."""
    trials, (valid, of_valid) = wildcards.trials, valid_trials_of(wildcards)
    listed = config["trials"][trials]
    return {
        "versions": [SCORE_VERSION, PAIRS_VERSION],
        "run": definition_of(wildcards),
        "corpora": corpora_of({listed["corpus"], of_valid["corpus"]}),
        "trials": {trials: listed, valid: of_valid},
        "metrics": {name: config["metrics"][name] for name in ("p_targets", "draws")},
    }


def cache_needed(wildcards, corpus, split, made, view="full"):
    """The receipts of a split and its backbones, as far as `made` waits for them.

    The cache is large and may go once its runs are done. So a finished product does not
    ask for what was deleted since: Snakemake would make that again, and then the
    product, as soon as one new run needs it.
    """
    encoder = encoder_of(wildcards.backend)
    backbones = (
        [wildcards.backbone] if encoder is None else [wildcards.backbone, encoder]
    )
    files = [
        *(BACKBONE.format(backbone=backbone) for backbone in backbones),
        *receipts(wildcards.backbone, corpus, split, view),
    ]
    is_there = Path(made.format_map(wildcards)).exists()
    model = Path(MODEL.format_map(wildcards))
    if is_there and was_made_with(model, definition_of(wildcards)):
        return [file for file in files if Path(file).exists()]
    return files


def inputs_of_training(wildcards):
    """What `train` waits for: nothing where a published checkpoint was imported.

    Snakemake would delete that run, to train it, as soon as a corpus is prepared anew.
    """
    if is_imported(Path(MODEL.format_map(wildcards))):
        return dict(manifest=[], valid_manifest=[], together=[], start=[])
    trials, listed = valid_trials_of(wildcards)
    first = started_from(wildcards)
    return dict(
        manifest=MANIFEST.format(corpus=wildcards.train_corpus),
        valid_manifest=MANIFEST.format(corpus=listed["corpus"]),
        valid_trials=TRIALS.format(trials=trials),
        valid_enrolments=ENROLMENTS.format(trials=trials),
        train_cache=cache_needed(
            wildcards, wildcards.train_corpus, "train", MODEL, train_view(wildcards)
        ),
        valid_cache=cache_needed(wildcards, listed["corpus"], listed["split"], MODEL),
        start=[] if first is None else MODEL.format_map(first),
        start_weights=[] if first is None else WEIGHTS.format_map(first),
        together=together_of(wildcards),
    )


def groups_of_grid():
    """The runs that one job trains one after the other, by its receipt.

    They read the same files, and the hidden states are opened once. What starts from
    another run, and what several processes train, has a job of its own.
    """
    size = config["machine"]["runs_per_job"]
    alike = {}
    for cell in runs_of_grid().values() if size > 1 else ():
        backend = config["backends"][cell["backend"]]
        if "start" not in backend and backend["processes"] == 1:
            cache = (cell["train_corpus"], cell["train_view"], cell["backbone"])
            encoder = encoder_of(cell["backend"])
            read = json.dumps([backend.get("layers"), encoder])
            alike.setdefault(cache, {}).setdefault(read, []).append(cell)
    groups = {}
    for of_cache in alike.values():
        shares = [
            runs[first : first + size]
            for runs in of_cache.values()
            for first in range(0, len(runs), size)
        ]
        for group, runs in enumerate(shares):
            if len(runs) > 1:
                groups[TOGETHER.format(group=group, **runs[0])] = runs
    return groups


def is_trained(wildcards):
    """Whether a run is there as the config has it, or was imported."""
    model = Path(MODEL.format_map(wildcards))
    return is_imported(model) or was_made_with(model, definition_of(wildcards))


def together_of(wildcards):
    """The receipt of the job that trains a run together with others, if one does."""
    receipt = TOGETHER_OF.get(MODEL.format_map(wildcards))
    if receipt is None or is_trained(wildcards):
        return []
    # Where a job runs, what it waits for is there; a run that is made again by itself
    # has no model any more when its job is tried a second time.
    is_alone = workflow.remote_exec and not Path(receipt).exists()
    return [] if is_alone else receipt


def members_of_group(wildcards):
    """The wildcards of the runs that are trained together."""
    cells = GROUPS[TOGETHER.format_map(wildcards)]
    return [type(wildcards)(fromdict=cell) for cell in cells]


def inputs_of_group(wildcards):
    """What any of the runs waits for that is still to be trained."""
    members = members_of_group(wildcards)
    waiting = [member for member in members if not is_trained(member)]
    files = inputs_of_training((waiting or members)[0])
    own = ("start", "start_weights", "together")
    return {name: file for name, file in files.items() if name not in own}


def sets_of_grid():
    """All that the grid caches, as the keyword arguments of PlannedSet."""
    sets = {}
    for block in config["grid"]:
        trials = [config["corpora"][block["train"]]["valid_trials"], *block["test"]]
        listed = [config["trials"][name] for name in trials]
        wanted = [(block["train"], "train", block["view"])]
        wanted += [(trials["corpus"], trials["split"], "full") for trials in listed]
        members = [m for name in block["fusions"] for m in config["fusions"][name]]
        encoders = {*block["backbones"], *(member["backbone"] for member in members)}
        for backbone in sorted(encoders):
            for corpus, split, view in wanted:
                for name, definition in part_sets(view).items():
                    sets[backbone, corpus, split, name] = dict(
                        manifest=Path(MANIFEST.format(corpus=corpus)),
                        corpus=corpus,
                        split=split,
                        num_parts=num_parts(corpus, split),
                        backbone=Path(BACKBONE.format(backbone=backbone)).parent,
                        view=name,
                        definition=definition,
                    )
    return list(sets.values())


def embedded_view(wildcards):
    """What of a split is embedded: the crops that a run was trained on, else all."""
    view = train_view(wildcards)
    trained_on = (wildcards.corpus, wildcards.split) == (
        wildcards.train_corpus,
        "train",
    )
    return view if trained_on and "crops" in config["views"].get(view, {}) else "full"


def embed_cache(wildcards):
    return cache_needed(
        wildcards,
        wildcards.corpus,
        wildcards.split,
        EMBEDDINGS,
        embedded_view(wildcards),
    )


def probe_cache(wildcards, name):
    """The cache of the split that a trial list is of, until it has been probed."""
    listed = config["trials"][name]
    files = receipts(wildcards.backbone, listed["corpus"], listed["split"])
    described = Path(PROBE_DESCRIBED.format_map(wildcards))
    return until_made(files, described, definition_of_probe(wildcards))


def until_made(files, described, definition):
    """Files that a product waits for; when it is made, those of them that are there."""
    if was_made_with(described, definition):
        return [file for file in files if Path(file).exists()]
    return files


def embeddings_of(wildcards, listed):
    """The embeddings of the split that a trial list is of."""
    return EMBEDDINGS.format(
        corpus=listed["corpus"], split=listed["split"], **wildcards
    )


def scoring_of(wildcards):
    """The definition of how trials are scored."""
    name = wildcards.scoring.removeprefix("@")
    cosine = {"kind": "cosine", "options": {}, "calibration": "score"}
    return config["scorings"][name] if name else cosine


def inputs_of_scoring(wildcards):
    """What `score` waits for: of the trials, and of those that chose the weights."""
    trials, listed = valid_trials_of(wildcards)
    tested = config["trials"][wildcards.trials]
    return dict(
        embeddings=embeddings_of(wildcards, tested),
        trials=TRIALS.format_map(wildcards),
        enrolments=ENROLMENTS.format_map(wildcards),
        valid_embeddings=embeddings_of(wildcards, listed),
        valid_trials=TRIALS.format(trials=trials),
        valid_enrolments=ENROLMENTS.format(trials=trials),
        cohort=cohort_of(wildcards),
    )


def cohort_of(wildcards):
    """The embeddings of the training speakers, where the scoring needs them."""
    if not wildcards.scoring:
        return []
    from unipool.scoring import SCORINGS

    scoring = scoring_of(wildcards)
    if not SCORINGS[scoring["kind"]](**scoring["options"]).needs_cohort:
        return []
    return EMBEDDINGS.format(corpus=wildcards.train_corpus, split="train", **wildcards)


def inputs_of_pairs(wildcards):
    """What `score_pairs` waits for: the run, and the cache of both trial lists.

    Other metrics or trials need it again.
    """
    trials, listed = valid_trials_of(wildcards)
    tested = config["trials"][wildcards.trials]
    encoder = encoder_of(wildcards.backend)
    cached = [
        *(BACKBONE.format(backbone=name) for name in (wildcards.backbone, encoder)),
        *receipts(wildcards.backbone, listed["corpus"], listed["split"]),
        *receipts(wildcards.backbone, tested["corpus"], tested["split"]),
    ]
    described = Path(PAIRWISE_FILES[1].format_map(wildcards))
    return dict(
        model=MODEL.format_map(wildcards),
        weights=WEIGHTS.format_map(wildcards),
        trials=TRIALS.format_map(wildcards),
        enrolments=ENROLMENTS.format_map(wildcards),
        valid_trials=TRIALS.format(trials=trials),
        valid_enrolments=ENROLMENTS.format(trials=trials),
        manifest=MANIFEST.format(corpus=tested["corpus"]),
        valid_manifest=MANIFEST.format(corpus=listed["corpus"]),
        cache=until_made(
            list(dict.fromkeys(cached)), described, definition_of_pairs(wildcards)
        ),
    )


def members_of(wildcards, pattern, trials):
    """The files of all members of a fusion."""
    return [
        pattern.format(
            train_corpus=wildcards.train_corpus,
            train_view=wildcards.train_view,
            backbone=member["backbone"],
            backend=member["backend"],
            seed=wildcards.seed,
            trials=trials,
            scoring=suffix_of(member["scoring"], member["backend"]),
        )
        for member in config["fusions"][wildcards.fusion]
    ]


def suffix_of(scoring, backend):
    """What the files of a scoring have behind the trial list's name."""
    if is_pairwise(backend):
        return PAIRWISE
    return "" if scoring == "cosine" else f"@{scoring}"


def cells_of_grid():
    """The wildcards of each row; each once though blocks may overlap."""
    cells = {}
    for block in config["grid"]:
        for trials, seed in product(block["test"], block["seeds"]):
            shared = dict(
                train_corpus=block["train"],
                train_view="" if block["view"] == "full" else f"@{block['view']}",
                trials=trials,
                seed=seed,
            )
            for backbone, backend, scoring in product(
                block["backbones"], block["backends"], block["scorings"]
            ):
                suffix = suffix_of(scoring, backend)
                own = dict(backbone=backbone, backend=backend, scoring=suffix)
                cells[METRICS.format(**shared, **own)] = shared | own
            for fusion in block["fusions"]:
                cells[FUSED_METRICS.format(fusion=fusion, **shared)] = shared | dict(
                    fusion=fusion
                )
    return cells


def metrics_of_grid():
    return list(cells_of_grid())


def runs_of_grid():
    """The wildcards of each trained run, by its model."""
    return {
        MODEL.format_map(cell): cell
        for cell in cells_of_grid().values()
        if "fusion" not in cell
    }


def scores_of_grid():
    """The scores of each row."""
    return [
        (FUSED_SCORES if "fusion" in cell else SCORES).format_map(cell)
        for cell in cells_of_grid().values()
    ]


def folders_of_grid():
    """The folder of each run and fusion."""
    return list(dict.fromkeys(str(Path(file).parents[1]) for file in scores_of_grid()))


def tested_of_grid():
    """The embeddings of each run that trials are of, with their wildcards."""
    found = {}
    for cell in cells_of_grid().values():
        if cell.get("scoring", PAIRWISE) != PAIRWISE:
            listed = config["trials"][cell["trials"]]
            split = dict(corpus=listed["corpus"], split=listed["split"])
            found[EMBEDDINGS.format(**split, **cell)] = cell | split
    return found


def maps_of_grid():
    """Maps of embeddings: of each system, the first seed."""
    first = {}
    for cell in tested_of_grid().values():
        system = MAP.format_map(cell | dict(seed=""))
        if system not in first or cell["seed"] < first[system]["seed"]:
            first[system] = cell
    return [MAP.format_map(cell) for cell in first.values()]


def probes_of_grid():
    cells = cells_of_grid().values()
    probes = [PROBE.format_map(cell) for cell in cells if "fusion" not in cell]
    return list(dict.fromkeys(probes))


# What is trained together, by the job's receipt; and that receipt, by the run's model.
GROUPS = groups_of_grid()
TOGETHER_OF = {
    MODEL.format_map(cell): receipt
    for receipt, cells in GROUPS.items()
    for cell in cells
}
