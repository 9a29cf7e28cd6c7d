"""A mistake in config.yaml is found, and says which key."""

import copy
import inspect
from pathlib import Path

import pytest
import yaml

from unipool.backends import BACKENDS
from unipool.corpora import CORPORA
from workflow.config import problems_found_apart, problems_of
from workflow.sources import missing_files, with_home
from workflow.starting import complete

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
JOINT = {
    "kind": "finetune-lora",
    "options": {"encoder": "tiny-wavlm", "backend": "mhfa"},
}


def problems_after(path, value):
    """Set one key of the shipped config, ``a.b.0.c``; list the problems."""
    config = copy.deepcopy(CONFIG)
    *above, last = path.split(".")
    place = config
    for step in above:
        place = place[int(step) if isinstance(place, list) else step]
    if value is REMOVED:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return problems_of(config, SCHEMA)


REMOVED = object()


def test_the_shipped_config_has_none():
    assert problems_of(CONFIG, SCHEMA) == []


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        # Keys that are not known.
        ("gird", [], "gird: unknown key; did you mean 'grid'?"),
        (
            "backends.unipool.processes",
            3,
            "backends.unipool.processes: 3 cannot share a batch of 32",
        ),
        (
            "backends.unipool.train",
            {"loss": "binary-cross-entropy", "loss_options": {}},
            "backends.unipool.train.loss: 'binary-cross-entropy' is of pairs of"
            " utterances, which 'unipool' does not give; known are: aam-softmax,",
        ),
        (
            "backends.pairs",
            {"kind": "finetune-pairs", "options": {"encoder": "tiny-wavlm"}},
            "backends.pairs.train.loss: 'aam-softmax' is of embeddings, which"
            " 'finetune-pairs' does not give; known are: binary-cross-entropy",
        ),
        (
            "backends.pairs",
            {
                "kind": "finetune-pairs",
                "options": {"encoder": "tiny-wavlm"},
                "processes": 2,
                "train": {
                    "loss": "binary-cross-entropy",
                    "loss_options": {},
                    "batch_size": 6,
                },
            },
            "backends.pairs.train.batch_size: is 6, which is not whole pairs of crops"
            " for each process; make it a multiple of 4",
        ),
        (
            "scorings",
            {"pairwise": {"kind": "cosine"}},
            "scorings.pairwise: this name is taken; choose another",
        ),
        (
            "scorings",
            {"pairwise.2": {"kind": "cosine"}},
            "scorings.pairwise.2: this name is taken; choose another",
        ),
        ("backends.unipool.processes", 0, "backends.unipool.processes: 0 is less than"),
        ("backends.unipool.processes", "2", "backends.unipool.processes: '2' is not"),
        (
            "machine.memroy_gb",
            4,
            "machine.memroy_gb: unknown key; did you mean 'memory_gb'?",
        ),
        (
            "corpora.demo.options.speaker",
            48,
            "corpora.demo.options.speaker: unknown key; did you mean 'speakers'?",
        ),
        (
            "backends.unipool.options.conv_dims",
            8,
            "backends.unipool.options.conv_dims: unknown key; did you mean 'conv_dim'?",
        ),
        (
            "train.stpes",
            8,
            "train.stpes: unknown key; did you mean 'steps'?",
        ),
        (
            "backends.unipool.train",
            {"loss_option": {}},
            "backends.unipool.train.loss_option: unknown key; did you mean"
            " 'loss_options'?",
        ),
        (
            "train.loss",
            "aam_softmax",
            "train.loss: unknown 'aam_softmax'; did you mean 'aam-softmax'?",
        ),
        (
            "train.loss_options.sclae",
            3,
            "train.loss_options.sclae: unknown key; did you mean 'scale'?",
        ),
        (
            "train.optimizer",
            "adm",
            "train.optimizer: unknown 'adm'; did you mean 'adam'?",
        ),
        (
            "train.optimizer_options",
            {"wieght_decay": 1e-5},
            "train.optimizer_options.wieght_decay: unknown key; did you mean"
            " 'weight_decay'?",
        ),
        (
            "train.optimizer_options",
            {"loss_weight_decay": -1},
            "train.optimizer_options.loss_weight_decay: is -1, must be at least 0",
        ),
        (
            "train.schedule",
            "onecycle",
            "train.schedule: unknown 'onecycle'; did you mean 'one-cycle'?",
        ),
        (
            "train.schedule",
            "constant",
            "train.schedule_options.warmup_fraction: unknown key; known are: nothing",
        ),
        (
            "train.schedule_options.warmup_fraction",
            1,
            "train.schedule_options.warmup_fraction: is 1, must lie between 0 and 1",
        ),
        (
            "backends.unipool.train",
            {"schedule": "cyclic", "schedule_options": {"cycles": 0.5}},
            "backends.unipool.train.schedule_options.cycles: 0.5 is not of type",
        ),
        (
            "train.optimizer",
            "rmsprop",
            "train.schedule_options.cycle_momentum: is true, but the optimizer has no",
        ),
        ("train.accumulate", 0, "train.accumulate: is 0, must be at least 1"),
        (
            "views",
            {"v": {"crops": {"count": 1, "seed": 0}}},
            "views.v.crops.seconds: missing",
        ),
        (
            "views",
            {"full": {"crops": {"count": 1, "seconds": 1, "seed": 0}}},
            "views.full: is there already, whole utterances; choose another name",
        ),
        (
            "views",
            {
                "v": {"augmented": {"copies": 2, "seed": 0}},
                "v-2": {"crops": {"count": 1, "seconds": 1, "seed": 0}},
            },
            "views.v-2: is a copy of 'v' already; choose another name",
        ),
        (
            "grid.0.view",
            "nowhere",
            "grid[0].view: 'nowhere' is not defined under views",
        ),
        (
            "train.precision",
            "float16",
            "train.precision: 'float16' is not one of ['float32', 'bfloat16']",
        ),
        ("train.masking", ["span-out"], "train.masking: ['span-out'] is not of type"),
        (
            "train.masking",
            {"span-out": [0.3]},
            "train.masking.span-out: [0.3] is no mapping; write `name: value`",
        ),
        ("train.loss_options", [1], "train.loss_options: [1] is not of type 'object'"),
        (
            "train.loss_options.num_heads",
            0,
            "train.loss_options: num_heads is 0, it must divide",
        ),
        (
            "train.masking",
            {"span-uot": {}},
            "train.masking: unknown 'span-uot'; did you mean 'span-out'?",
        ),
        (
            "train.masking",
            {"span-out": {"probability": 0.3, "start": 0.05}},
            "train.masking.span-out.frames: missing",
        ),
        (
            "backends.unipool.options.layer_pool",
            "max",
            "backends.unipool.options.layer_pool: 'max' is not one of"
            " ['attention-max', 'attention-mean', 'weighted-sum', 'mean', 'last']",
        ),
        # Scorings and fusions.
        (
            "scorings",
            {"cosine": {"kind": "cosine"}},
            "scorings.cosine: this name is taken; choose another",
        ),
        (
            "backbones.fused",
            {"path": "/m"},
            "backbones.fused: this name is taken; choose another",
        ),
        (
            "scorings",
            {"norm": {"kind": "asnorm"}},
            "scorings.norm.kind: unknown 'asnorm'; did you mean 'as-norm'?",
        ),
        (
            "scorings",
            {"norm": {"kind": "as-norm", "options": {"tpo": 3}}},
            "scorings.norm.options.tpo: unknown key; did you mean 'top'?",
        ),
        (
            "scorings",
            {"norm": {"kind": "as-norm", "options": {"top": 0}}},
            "scorings.norm.options.top: is 0",
        ),
        (
            "scorings",
            {"norm": {"kind": "as-norm", "options": {"top": 3.0}}},
            "scorings.norm.options.top: 3.0 is not of type 'integer'; write 3",
        ),
        (
            "grid.0.scorings",
            ["cosnie"],
            "grid[0].scorings: 'cosnie' is not defined under scorings; did you mean"
            " 'cosine'?",
        ),
        (
            "grid.0.fusions",
            ["all"],
            "grid[0].fusions: 'all' is not defined under fusions",
        ),
        (
            "fusions",
            {"all": [{"backbone": "tiny-hubert", "backend": "unipol"}] * 2},
            "fusions.all: ",
        ),
        (
            "fusions",
            {
                "all": [
                    {"backbone": "tiny-hubert", "backend": "unipool"},
                    {"backbone": "tiny-hubert", "backend": "unipol"},
                ]
            },
            "fusions.all[1].backend: 'unipol' is not defined under backends; did you"
            " mean 'unipool'?",
        ),
        ("metrics", {"p_targets": [0]}, "metrics.p_targets[0]: 0 is less than or eq"),
        # A backend that cannot be built on a backbone of the grid.
        (
            "backends.unipool.options.layer_pool_heads",
            7,
            "backends.unipool.options: on tiny-hubert, layer_pool_heads is 7, it must",
        ),
        (
            "backends.unipool.layers",
            [1, 9],
            "backends.unipool.layers: tiny-hubert has no layer 9 in its cache, which",
        ),
        (
            "grid.0.backbones",
            ["fbank-80"],
            "backends.unipool.options: on fbank-80, num_layers is 1 and layer 0 is",
        ),
        (
            "backends.last-layer.train",
            {"loss_options": {"margin": 0.2, "scale": 30.0, "num_heads": 7}},
            "backends.last-layer.options: on tiny-hubert, num_heads is 7, it must",
        ),
        # Keys that are missing.
        ("grid.0.seeds", REMOVED, "grid[0].seeds: missing"),
        ("corpora.demo.options.root", REMOVED, "corpora.demo.options.root: missing"),
        ("train.loss", REMOVED, "train.loss: missing"),
        (
            "corpora.demo.valid_trials",
            REMOVED,
            "corpora.demo.valid_trials: missing; grid[0] trains on this corpus, and its"
            " weights are chosen by a trial list",
        ),
        # Names without a definition.
        (
            "grid.0.backends",
            ["unipol"],
            "grid[0].backends: 'unipol' is not defined under backends; did you mean"
            " 'unipool'?",
        ),
        (
            "grid.0.train",
            "vox",
            "grid[0].train: 'vox' is not defined under corpora; known are: demo",
        ),
        (
            "corpora.demo.valid_trials",
            "demo-vald",
            "corpora.demo.valid_trials: 'demo-vald' is not defined under trials; did"
            " you mean 'demo-valid'?",
        ),
        (
            "backends.unipool.kind",
            "unipol",
            "backends.unipool.kind: unknown 'unipol'; did you mean 'unipool'?",
        ),
        (
            "corpora.demo.kind",
            "nist",
            f"corpora.demo.kind: unknown 'nist'; known are: {', '.join(CORPORA)}",
        ),
        # Wrong types and values.
        (
            "grid.0.seeds",
            ["0"],
            "grid[0].seeds[0]: '0' is not of type 'integer' (to YAML this is text;"
            " write 0)",
        ),
        (
            "train.learning_rate",
            "1e-3",
            "train.learning_rate: '1e-3' is not of type 'number' (to YAML this is"
            " text; write 0.001)",
        ),
        (
            "backends.unipool.options.conv_dim",
            "big",
            "backends.unipool.options.conv_dim: 'big' is not of type 'integer'",
        ),
        (
            "backends.unipool.options.use_layer_zero",
            1,
            "backends.unipool.options.use_layer_zero: 1 is not of type 'boolean'",
        ),
        ("train.batch_size", 1, "train.batch_size: is 1, must be at least 2"),
        (
            "backends.unipool.train",
            {"steps": -4},
            "backends.unipool.train.steps: is -4, must be at least 0",
        ),
        (
            "machine.device",
            "gpu",
            "machine.device: 'gpu' is not one of ['auto', 'cpu', 'cuda']",
        ),
        (
            "backbones.tiny-wavlm.path",
            "/models/x",
            "backbones.tiny-wavlm: needs either model (with revision), or path, or"
            " config and seed",
        ),
        (
            "trials.demo-test.file",
            "x.txt",
            "trials.demo-test: needs either file (perhaps with checksum, enrolments,"
            " unknown), or num_targets and seed (perhaps with num_nontargets, balance,"
            " same_session, rounding)",
        ),
        (
            "trials.demo-test",
            {"corpus": "demo", "split": "test", "file": "https://x.org/a.txt"},
            "trials.demo-test.checksum: missing; a list from the network is used only"
            " if it is the one that was meant (`sha256:` and what `sha256sum` says of a"
            " copy you trust)",
        ),
        # Trials that training has seen.
        (
            "grid.0.test",
            ["demo-valid"],
            "grid[0].test: 'demo-valid' chooses the weights"
            " (corpora.demo.valid_trials), so its errors would be too low; test on"
            " other trials",
        ),
        (
            "trials.demo-test.split",
            "train",
            "grid[0].test: 'demo-test' is of the speakers that are trained on; test on"
            " another split",
        ),
        (
            "backends.unipool",
            {"kind": "finetune-cls"},
            "backends.unipool.options.encoder: missing",
        ),
        (
            "backends.unused",
            {"kind": "finetune-cls", "options": {"encoder": "tiny-wavlmm"}},
            "backends.unused.options.encoder: 'tiny-wavlmm' is not defined under"
            " backbones; did you mean 'tiny-wavlm'?",
        ),
        (
            "backends.unused",
            {"kind": "finetune-cls", "options": {"encoder": 3}},
            "backends.unused.options.encoder: 3 is not of type 'string'",
        ),
        # A run that starts from another.
        (
            "backends.finer",
            {"start": "unipol"},
            "backends.finer.start: 'unipol' is not defined under backends; did you mean"
            " 'unipool'?",
        ),
        (
            "backends.finer",
            {"start": "finer"},
            "backends.finer.start: comes round to 'finer' again (finer from finer);",
        ),
        (
            "backends.finer",
            {"start": "unipool", "kind": "unipool"},
            "backends.finer: needs either kind (with options, layers), or start,",
        ),
        (
            "backends.finer",
            {"train": {"steps": 10}},
            "backends.finer: needs either kind (with options, layers), or start,",
        ),
        (
            "backends.finer",
            {"start": "unipool", "train": {"margn": 1}},
            "backends.finer.train.margn: unknown key; did you mean 'margin_ramp'?",
        ),
        # The backend that learns with an encoder.
        (
            "backends.unused",
            JOINT | {"options": JOINT["options"] | {"backend": "unipol"}},
            "backends.unused.options.backend: unknown 'unipol'; did you mean"
            " 'unipool'?",
        ),
        (
            "backends.unused",
            JOINT | {"options": JOINT["options"] | {"backend": "sincnet"}},
            "backends.unused.options.backend: unknown 'sincnet'; known are: unipool,",
        ),
        (
            "backends.unused",
            JOINT | {"options": JOINT["options"] | {"backend_options": {"heds": 2}}},
            "backends.unused.options.backend_options.heds: unknown key; did you mean"
            " 'num_heads'?",
        ),
        (
            "backends.unused",
            JOINT | {"options": JOINT["options"] | {"targets": "q_proj"}},
            "backends.unused.options.targets: 'q_proj' is not valid under any of",
        ),
    ],
)
def test_a_mistake_says_which_key_and_what_was_meant(path, value, problem):
    (found,) = problems_after(path, value)
    assert found.startswith(problem)


def test_an_encoder_is_fine_tuned_on_the_waveform_only():
    config = copy.deepcopy(CONFIG)
    config["backends"]["fine"] = {
        "kind": "finetune-pooled",
        "options": {"encoder": "tiny-wavlm"},
    }
    block = config["grid"][0] | {"backends": ["fine"]}
    config["fusions"]["both"] = [
        {"backbone": "waveform", "backend": "fine"},
        {"backbone": "mfcc-24", "backend": "fine"},
    ]
    config["grid"] = [
        block | {"backbones": ["waveform", "fbank-80"], "fusions": ["both"]}
    ]

    of_block, of_member = problems_of(config, SCHEMA)

    assert of_block == (
        "grid[0].backbones: 'fbank-80' is no waveform, on which 'fine' fine-tunes its"
        " encoder (tiny-wavlm); name a backbone with `features: waveform`, in a block"
        " of its own"
    )
    assert of_member.startswith("fusions.both[1].backbone: 'mfcc-24' is no waveform")


def test_what_starts_from_a_run_has_its_kind_options_layers_and_training():
    given = {
        "first": {
            "kind": "mhfa",
            "options": {"num_heads": 8},
            "layers": [1, 2],
            "train": {"steps": 5, "loss": "softmax"},
        },
        "second": {"start": "first", "train": {"steps": 3}},
        "third": {"start": "second"},
        "plain": {"kind": "unipool"},
    }

    found = complete(given)

    first = given["first"] | {"processes": 1}
    train = {"steps": 3, "loss": "softmax"}
    assert found == {
        "first": first,
        "second": first | {"start": "first", "train": train},
        "third": first | {"start": "second", "train": train},
        "plain": {"kind": "unipool", "options": {}, "train": {}, "processes": 1},
    }


def test_a_circle_of_starts_says_how_it_goes():
    config = copy.deepcopy(CONFIG)
    config["backends"] |= {"a": {"start": "b"}, "b": {"start": "a"}}

    problems = problems_of(config, SCHEMA)

    assert problems == [
        f"backends.{one}.start: comes round to {one!r} again ({one} from {other} from"
        f" {one}); the first of them needs a `kind`"
        for one, other in ("ab", "ba")
    ]


def test_the_loss_of_what_starts_from_a_run_must_be_of_its_shape():
    config = copy.deepcopy(CONFIG)
    heads = {"margin": 0.5, "scale": 30.0, "num_heads": 2}
    config["backends"]["finer"] = {"start": "unipool", "train": {"loss_options": heads}}
    config["grid"] = [config["grid"][0] | {"backends": ["finer"]}]

    (problem,) = problems_of(config, SCHEMA)[:1]

    assert problem.startswith(
        "backends.finer.train: the weights of its loss are others than of 'unipool'"
    )


def test_the_backend_that_learns_with_an_encoder_must_fit_its_layers():
    config = copy.deepcopy(CONFIG)
    options = {"backend": "lap-astp", "backend_options": {"layer_pool_heads": 7}}
    config["backends"]["joint"] = JOINT | {"options": JOINT["options"] | options}
    config["grid"] = [
        config["grid"][0] | {"backbones": ["waveform"], "backends": ["joint"]}
    ]

    (problem,) = problems_of(config, SCHEMA)

    assert problem.startswith(
        "backends.joint.options.backend_options: on tiny-wavlm, layer_pool_heads is 7"
    )


def test_an_unknown_option_lists_the_known_ones():
    (found,) = problems_after("backends.unipool.options.conv_dims", 8)

    options = "conv_dim, num_blocks, attentive_vad, channel_attention, layer_pool,"
    assert f"did you mean 'conv_dim'? known are: {options}" in found


@pytest.mark.parametrize("name", ["a/b", "..", "-x", "", "mit leerzeichen"])
def test_a_name_must_be_fit_for_a_folder(name):
    (problem,) = problems_after("corpora", CONFIG["corpora"] | {name: {"kind": "csv"}})

    assert f"{name!r} is no name; it may have a to z" in problem


def test_one_name_is_no_list():
    (problem,) = problems_after("grid.0.test", "demo-test")

    assert problem == "grid[0].test: 'demo-test' is no list; write [demo-test]"


def test_a_backend_of_ones_own_may_leave_its_options_without_types(monkeypatch):
    class Mine:
        embedding_size = 8

        def __init__(
            self, num_layers, hidden_size, *, size=3, parts: set = frozenset()
        ):
            pass

    monkeypatch.setitem(BACKENDS, "mine", Mine)
    mine = {"kind": "mine", "options": {"size": 5, "parts": [1]}}

    assert problems_after("backends.unipool", mine) == []
    (problem,) = problems_after("backends.unipool", mine | {"options": {"siez": 5}})
    assert "did you mean 'size'?" in problem


def test_options_of_what_is_not_named_are_held_against_the_default():
    config = copy.deepcopy(CONFIG)
    del config["train"]["optimizer"], config["train"]["schedule"]
    config["train"]["optimizer_options"] = {"momentum": 0.9}
    config["train"]["schedule_options"] = {"cycles": 4}

    optimizer, schedule = problems_of(config, SCHEMA)

    assert optimizer.startswith("train.optimizer_options.momentum: unknown key")
    assert schedule.startswith("train.schedule_options.cycles: unknown key")


def test_several_mistakes_are_told_at_once():
    config = copy.deepcopy(CONFIG)
    config["machine"]["devise"] = "cpu"
    config["grid"][0]["seeds"] = []

    assert len(problems_of(config, SCHEMA)) == 2


@pytest.mark.parametrize("section", ["corpora", "backbones", "train", "grid"])
@pytest.mark.parametrize("value", [None, "text", 3])
def test_a_section_of_another_type_is_told(section, value):
    (problem,) = problems_after(section, value)

    assert problem.startswith(f"{section}: ")


def trained_and_tested(**changes):
    """Train on one corpus of an audio and test on another; list the problems."""
    config = copy.deepcopy(CONFIG)
    one = {"kind": "voxceleb1", "options": {"root": "/d/vox"}}
    config["corpora"] |= {
        "one": one | {"valid_trials": "demo-valid"},
        "other": copy.deepcopy(one) | changes,
    }
    config["trials"]["other-test"] = {"corpus": "other", "split": "test", "file": "e"}
    config["grid"][0] |= {"train": "one", "test": ["other-test"]}
    return problems_of(config, SCHEMA)


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"root": "/d/vox/", "test_only": True}},
        {"split": {"valid": 5, "seed": 1}},
    ],
)
def test_one_audio_divided_twice_is_not_trained_on_and_tested(changes):
    (problem,) = trained_and_tested(**changes)

    assert problem.startswith(
        "grid[0].test: 'other-test' is of other, which is the same"
    )


def test_nor_chooses_one_audio_and_tests_on_it_divided_otherwise():
    config = copy.deepcopy(CONFIG)
    one = {"kind": "voxceleb1", "options": {"root": "/d/vox"}}
    config["corpora"] |= {
        "one": one,
        "all": {"kind": "voxceleb1", "options": {"root": "/d/vox", "test_only": True}},
    }
    config["trials"] |= {
        "o": {"corpus": "one", "split": "test", "file": "o.txt"},
        "e": {"corpus": "all", "split": "test", "file": "e.txt"},
    }
    config["corpora"]["demo"]["valid_trials"] = "o"
    config["grid"][0]["test"] = ["e"]

    (problem,) = problems_of(config, SCHEMA)

    assert "the same audio as one, that chooses the weights" in problem


def test_one_audio_divided_alike_may_be():
    assert trained_and_tested() == []
    assert trained_and_tested(options={"root": "/d/vox2", "test_only": True}) == []


def test_weights_are_not_chosen_by_who_trains_or_is_tested():
    config = copy.deepcopy(CONFIG)
    config["trials"]["demo-valid"]["split"] = "train"
    (trained,) = problems_of(config, SCHEMA)
    config["trials"]["demo-valid"]["split"] = "test"
    (tested,) = problems_of(config, SCHEMA)

    assert trained.startswith("corpora.demo.valid_trials: 'demo-valid' is of the speak")
    assert tested.startswith("grid[0].test: 'demo-test' is of the same speakers as")


def test_files_of_the_grid_that_are_not_there_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = copy.deepcopy(CONFIG)
    config["trials"]["demo-test"] = {"corpus": "demo", "split": "test", "file": "t.txt"}
    config["trials"]["unused"] = {"corpus": "demo", "split": "test", "file": "u.txt"}
    config["corpora"]["demo"]["split"] = {"file": "https://x.org/s.csv"}
    config["corpora"]["demo"]["options"] = {"file": "https://x.org/c.csv"}

    assert missing_files(config) == [
        "trials.demo-test.file: t.txt is not there; correct the path, or put it there",
        "corpora.demo.options.file: https://x.org/c.csv is not there; correct the path,"
        " or put it there",
    ]
    (tmp_path / "t.txt").touch()
    assert len(missing_files(config)) == 1


def test_audio_may_be_gone_once_it_is_listed_but_not_be_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = copy.deepcopy(CONFIG)
    corpus = config["corpora"]["demo"]
    corpus["options"] = {"root": "audio"}
    assert missing_files(config) == []  # the job says so, and nothing is lost

    manifest = tmp_path / "results/corpora/demo/utterances.csv"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("utterance,path\nu,audio/s/u.wav\n", "utf-8")
    assert missing_files(config) == []
    corpus["options"] = {"root": "aduio"}
    (problem,) = missing_files(config)
    assert problem.startswith("corpora.demo.options.root: aduio is not there; correct")
    (tmp_path / "aduio").mkdir()
    assert missing_files(config) == []


@pytest.mark.parametrize("fine_tuned", [False, True])
def test_an_encoder_may_be_gone_once_it_is_copied_but_not_be_another(
    tmp_path, monkeypatch, fine_tuned
):
    monkeypatch.chdir(tmp_path)
    config = copy.deepcopy(CONFIG)
    name = "tiny-wavlm"
    if fine_tuned:
        name = "other"
        config["backends"]["unipool"] = {
            "kind": "finetune-cls",
            "options": {"encoder": name},
        }
    config["backbones"][name] = {"path": "mine"}
    there = tmp_path / "mine/config.json"
    message = f"backbones.{name}.path: {Path('mine/config.json')} is not there; correct"
    (problem,) = missing_files(config)
    assert problem.startswith(message)
    there.parent.mkdir()
    there.touch()
    assert missing_files(config) == []

    there.unlink()
    facts = tmp_path / "results/backbones" / name / "backbone.json"
    facts.parent.mkdir(parents=True)
    facts.write_text('{"source": "mine"}', "utf-8")
    assert missing_files(config) == []
    facts.write_text('{"source": "yours"}', "utf-8")
    (problem,) = missing_files(config)
    assert problem.startswith(message)


def test_a_path_may_begin_in_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/anna")
    config = {"corpora": {"own": {"options": {"root": "~/own", "copies": 2}}}}
    config |= {"lists": ["~/a", "~", "a~/b"], "seed": None}

    assert with_home(config) == {
        "corpora": {"own": {"options": {"root": "/home/anna/own", "copies": 2}}},
        "lists": ["/home/anna/a", "~", "a~/b"],
        "seed": None,
    }


def test_what_libraries_print_is_not_taken_for_a_problem(tmp_path, monkeypatch):
    noise = "import atexit; print('- new'); atexit.register(print, '- old')"
    (tmp_path / "sitecustomize.py").write_text(noise)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    monkeypatch.syspath_prepend(tmp_path)

    assert problems_found_apart(CONFIG, SCHEMA) == []


@pytest.mark.parametrize("kind", CORPORA)
def test_every_option_of_a_corpus_can_be_checked(kind):
    config = copy.deepcopy(CONFIG)
    config["corpora"]["x"] = {"kind": kind, "options": {"nonsense": 1}}
    problems = problems_of(config, SCHEMA)
    known = inspect.signature(CORPORA[kind]).parameters
    config["corpora"]["x"]["options"] = {name: {"no": "value"} for name in known}

    assert any("nonsense: unknown key" in problem for problem in problems)
    assert len(problems_of(config, SCHEMA)) >= 1


def test_the_training_subsets_of_librispeech_may_be_chosen():
    config = copy.deepcopy(CONFIG)
    options = {"root": "/d", "train": ["train-clean-100"]}
    config["corpora"]["x"] = {"kind": "librispeech", "options": options}

    assert problems_of(config, SCHEMA) == []
