"""The whole workflow through Snakemake, in a folder of its own."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import TINY, TRAINING, write_corpus

ROOT = Path(__file__).parent.parent

CONFIG = {
    "machine": {"device": "cpu", "max_batch_seconds": 4, "embed_batch_seconds": 4},
    "corpora": {
        "own": {
            "kind": "folder",
            "options": {"root": "audio"},
            "split": {"valid": 2, "test": 3, "seed": 0},
            "valid_trials": "own-valid",
            "parts": {"train": 2},
        }
    },
    "trials": {
        "own-valid": {"corpus": "own", "split": "valid", "num_targets": 10, "seed": 0},
        "own-test": {"corpus": "own", "split": "test", "num_targets": 15, "seed": 0},
    },
    "backbones": {
        "tiny": {
            "seed": 0,
            "config": {"model_type": "wav2vec2", "feat_extract_norm": "group", **TINY},
        }
    },
    "backends": {
        "unipool": {"kind": "unipool", "options": {"conv_dim": 4, "embedding_size": 8}},
        "mean": {
            "kind": "combined",
            "options": {"layer_pool": "one", "network": "mean", "embedding_size": 8},
        },
    },
    "train": TRAINING,
    "grid": [
        {
            "train": "own",
            "test": ["own-test"],
            "backbones": ["tiny"],
            "backends": ["unipool", "mean"],
            "seeds": [0],
        }
    ],
}


def command(folder, *arguments, code=ROOT):
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(code / "Snakefile")),
        *("--directory", str(folder), "--cores", "2"),
        *arguments,
    ]


def snakemake(folder, *arguments, code=ROOT):
    return subprocess.run(
        command(folder, *arguments, code=code),
        capture_output=True,
        text=True,
        check=False,
    )


def write_config(folder, config):
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def changed(**sections):
    config = json.loads(json.dumps(CONFIG))
    config.update(json.loads(json.dumps(sections)))
    return config


def jobs(run):
    """Count the jobs of each rule that a run announces, be it a dry one."""
    lines = (run.stdout + run.stderr).splitlines()
    if "Job stats:" not in lines:
        return {}
    counts = {}
    for line in lines[lines.index("Job stats:") + 3 :]:
        words = line.split()
        if not words or words[0] == "total":
            break
        counts[words[0]] = int(words[1])
    return counts


def results(folder):
    """Read what a run must reproduce to the bit."""
    runs = folder / "results" / "runs"
    scores = {
        path.relative_to(runs): path.read_bytes()
        for path in runs.glob("**/scores/*.csv")
    }
    metrics = {
        path.relative_to(runs): json.loads(path.read_text("utf-8"))["metrics"]
        for path in runs.glob("**/metrics/*.json")
    }
    return scores, metrics


@pytest.fixture(scope="module")
def finished(made_once):
    """Run the whole grid once; tests look at it, or run in a copy of it."""

    def run_all(folder):
        write_corpus(folder / "audio", speakers=9, utterances=5)
        write_config(folder, CONFIG)
        run = snakemake(folder, "results/table.csv")
        assert run.returncode == 0, run.stderr + run.stdout

    return made_once("finished with späce", run_all)


@pytest.fixture(scope="module")
def reported(finished, made_once):
    """Go on to the report once; tests look at it, or run in a copy of it."""

    def report(folder):
        shutil.copytree(finished, folder, copy_function=shutil.copy2)
        run = snakemake(folder)
        assert run.returncode == 0, run.stderr + run.stdout

    return made_once("reported", report)


@pytest.fixture
def project(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder, copy_function=shutil.copy2)
    return folder


@pytest.fixture
def project_with_report(reported, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(reported, folder, copy_function=shutil.copy2)
    return folder


def test_the_table_has_a_row_for_each_cell_of_the_grid(finished):
    table = pd.read_csv(finished / "results" / "table.csv")

    assert list(table["backend"]) == ["mean", "unipool"]
    assert (table["num_trials"] == 30).all()
    assert table["eer"].between(0, 1).all()
    assert (table["cache_bytes"] > 0).all()
    assert (finished / "results" / "table.md").exists()


def test_a_second_run_has_nothing_to_do(project):
    again = snakemake(project, "results/table.csv")

    assert "Nothing to be done" in again.stderr + again.stdout


def test_each_job_leaves_a_log_that_can_be_read(finished):
    logs = {path.parts[-1] for path in (finished / "logs").glob("*")}
    rules = {"prepare_corpus", "fetch_backbone", "extract", "train", "embed", "score"}
    text = (finished / "logs/train/own/tiny/unipool/seed-0.log").read_text("utf-8")

    assert logs >= rules
    assert "6/6 steps, loss" in text
    assert "\r" not in text


def test_a_fresh_checkout_of_the_code_redoes_nothing(project, tmp_path):
    checkout = tmp_path / "checkout"
    for name in ("workflow", "profiles", "unipool"):
        shutil.copytree(ROOT / name, checkout / name)
    shutil.copy(ROOT / "Snakefile", checkout)
    for path in checkout.rglob("*"):
        os.utime(path)  # as git leaves them: all new
    script = checkout / "workflow/scripts/train.py"
    script.write_text(script.read_text("utf-8") + "# a comment\n", "utf-8")

    again = snakemake(project, "-n", "results/table.csv", code=checkout)

    assert "Nothing to be done" in again.stderr + again.stdout


def test_an_option_of_one_backend_redoes_only_its_own_rows(project):
    backends = json.loads(json.dumps(CONFIG["backends"]))
    backends["mean"]["options"]["embedding_size"] = 6
    write_config(project, changed(backends=backends))

    dry = snakemake(project, "-n", "results/table.csv")

    assert jobs(dry) == {"train": 1, "embed": 2, "score": 1, "tabulate": 1}
    assert "tiny/unipool" not in dry.stdout.split("rule tabulate")[0]


def test_after_the_cache_is_deleted_a_new_seed_trains_only_the_new_runs(project):
    shutil.rmtree(project / "cache")
    shutil.rmtree(project / "results" / "backbones")
    old = project / "results/runs/own/tiny/unipool/seed-0/model.json"
    trained = old.stat().st_mtime_ns
    block = CONFIG["grid"][0] | {"backends": ["unipool"], "seeds": [0, 1]}
    write_config(project, changed(grid=[block]))

    run = snakemake(project, "results/table.csv")
    again = snakemake(project, "results/table.csv")

    assert jobs(run) == {
        "fetch_backbone": 1,
        "extract": 4,
        "train": 1,
        "embed": 2,
        "score": 1,
        "tabulate": 1,
    }
    assert run.returncode == 0, run.stderr + run.stdout
    assert old.stat().st_mtime_ns == trained
    assert "Nothing to be done" in again.stderr + again.stdout
    table = pd.read_csv(project / "results" / "table.csv")
    assert list(table["seed"]) == [0, 1]


def test_runs_that_share_a_cache_are_trained_by_one_job(finished, project):
    """One was trained already, as the first of a grid that is larger now."""
    grid = [CONFIG["grid"][0] | {"seeds": [0, 1]}]
    machine = CONFIG["machine"] | {"runs_per_job": 3}
    write_config(project, changed(grid=grid, machine=machine))
    runs = project / "results/runs/own/tiny"
    shutil.rmtree(runs / "mean/seed-0")
    old = runs / "unipool/seed-0/model.json"
    trained = old.stat().st_mtime_ns

    done = snakemake(project, "results/table.csv")
    again = snakemake(project, "--dry-run", "results/table.csv")

    assert jobs(done)["train_together"] == 1
    assert jobs(done)["train"] == 3
    assert done.returncode == 0, done.stderr
    receipt = project / "results/together/own/tiny/0.json"
    assert json.loads(receipt.read_text("utf-8"))["trained"] == [
        "results/runs/own/tiny/mean/seed-0",
        "results/runs/own/tiny/unipool/seed-1",
    ]
    by_others = "was trained together with others"
    log = project / "logs/train/own/tiny"
    assert by_others in (log / "mean/seed-0.log").read_text("utf-8")
    assert by_others not in (log / "mean/seed-1.log").read_text("utf-8")  # the fourth
    assert old.stat().st_mtime_ns == trained
    assert not list(runs.rglob("ahead"))
    assert "Nothing to be done" in again.stderr + again.stdout
    scores = "mean/seed-0/scores/own-test.csv"
    of_before = finished / "results/runs/own/tiny" / scores
    assert (runs / scores).read_bytes() == of_before.read_bytes()


def test_runs_are_trained_together_that_fine_tune_the_same_encoder(project):
    """A job for both would begin before the second one's encoder is there."""
    tiny = CONFIG["backbones"]["tiny"]
    backbones = {"tiny": tiny, "other": tiny | {"seed": 1}}
    fine = {
        name: {"kind": "finetune-pooled", "options": {"encoder": name}}
        for name in backbones
    }
    backbones["waveform"] = {"features": "waveform"}
    block = CONFIG["grid"][0] | {"backbones": ["waveform"], "backends": list(fine)}
    machine = CONFIG["machine"] | {"runs_per_job": 4}

    def planned(seeds):
        grid = [block | {"seeds": seeds}]
        config = changed(backbones=backbones, backends=fine, grid=grid, machine=machine)
        write_config(project, config)
        return jobs(snakemake(project, "--dry-run", "results/table.csv"))

    alone = planned([0])
    assert alone["train"] == 2
    assert "train_together" not in alone
    assert planned([0, 1])["train_together"] == 2


def test_a_deleted_cache_alone_is_not_missed(project):
    shutil.rmtree(project / "cache")

    again = snakemake(project, "results/table.csv")

    assert "Nothing to be done" in again.stderr + again.stdout


def test_a_row_taken_out_of_the_grid_leaves_the_table(project):
    write_config(project, changed(grid=[CONFIG["grid"][0] | {"backends": ["mean"]}]))

    run = snakemake(project, "results/table.csv")

    assert run.returncode == 0
    table = pd.read_csv(project / "results" / "table.csv")
    assert list(table["backend"]) == ["mean"]


def start_and_kill(folder, *arguments, when):
    """Start the workflow; kill it, with all its jobs, as soon as a file is there."""
    running = subprocess.Popen(
        command(folder, "results/table.csv", *arguments),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not when.exists():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def test_killed_and_started_again_it_ends_in_the_same_scores(finished, project):
    grid = [CONFIG["grid"][0] | {"backends": ["unipool"]}]
    write_config(project, changed(grid=grid))
    for name in ("results/runs", "results/table.csv", "cache"):
        path = project / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run = project / "results/runs/own/tiny/unipool/seed-0"

    # Once before Snakemake knows that a job is done, once in the middle of one.
    start_and_kill(
        project, when=project / "cache/tiny/own/train/full/part-000-of-002.json"
    )
    start_and_kill(project, "--nolock", when=run / "state.pt")
    assert not (run / "model.json").exists()
    snakemake(project, "--unlock")
    last = snakemake(project, "results/table.csv")

    assert last.returncode == 0, last.stderr + last.stdout
    for found, expected in zip(results(project), results(finished), strict=True):
        assert len(found) == 1
        assert found.items() <= expected.items()
    assert (project / "results" / "table.csv").exists()


def test_an_imported_run_is_tested_and_never_trained_over(project):
    """It was there before anything else was made."""
    run = project / "results/runs/own/tiny/unipool/seed-0"
    files = ("model.json", "model.safetensors", "history.csv")
    contents = {name: (run / name).read_bytes() for name in files}
    model = json.loads(contents["model.json"])
    model |= {"definition": {"imported": "model_best.pt"}, "caches": {}}
    contents["model.json"] = json.dumps(model).encode()
    for folder in ("results", "cache", ".snakemake"):
        shutil.rmtree(project / folder)
    run.mkdir(parents=True)
    for name, content in contents.items():
        (run / name).write_bytes(content)
    grid = [CONFIG["grid"][0] | {"backends": ["unipool"]}]
    write_config(project, changed(grid=grid))

    done = snakemake(project, "results/table.csv")

    assert "train" not in jobs(done)
    assert jobs(done)["extract"] == 2  # of the splits that calibrate and test
    assert done.returncode == 0, done.stderr
    assert {name: (run / name).read_bytes() for name in files} == contents
    assert len(pd.read_csv(project / "results/table.csv")) == 1
    # Nor does a job that would train it with another wait for less than that needs.
    machine = CONFIG["machine"] | {"runs_per_job": 2}
    write_config(project, changed(machine=machine))
    planned = jobs(snakemake(project, "--dry-run", "results/table.csv"))
    assert (planned["train_together"], planned["train"]) == (1, 1)
    assert planned["extract"] == 2  # of the training split


def test_other_scorings_and_fusions_train_nothing(project):
    scorings = {
        "norm": {"kind": "as-norm", "options": {"top": 3}},
        "quality": {"kind": "cosine", "calibration": "quality"},
    }
    both = [
        {"backbone": "tiny", "backend": "unipool", "scoring": "norm"},
        {"backbone": "tiny", "backend": "mean"},
    ]
    block = CONFIG["grid"][0] | {
        "scorings": ["cosine", "norm", "quality"],
        "fusions": ["both"],
    }
    fusions = {"both": both}
    write_config(project, changed(scorings=scorings, fusions=fusions, grid=[block]))

    run = snakemake(project, "results/table.csv")
    again = snakemake(project, "results/table.csv")

    # The cohort is embedded; the fusion needs two more scores of validation trials.
    assert jobs(run) == {"embed": 2, "score": 6, "fuse": 1, "tabulate": 1}
    assert run.returncode == 0, run.stderr + run.stdout
    assert "Nothing to be done" in again.stderr + again.stdout
    table = pd.read_csv(project / "results/table.csv")
    assert sorted(zip(table["backend"], table["scoring"], strict=True)) == [
        ("both", "fused"),
        *(("mean", name) for name in ("cosine", "norm", "quality")),
        *(("unipool", name) for name in ("cosine", "norm", "quality")),
    ]
    assert table["cllr"].notna().all()
    comparisons = pd.read_csv(project / "results/comparisons.csv")
    assert (comparisons["metric"] == "eer").sum() == 7 * 6 / 2


def test_the_report_is_made(reported):
    page = (reported / "results/report.html").read_text("utf-8")
    assert "tiny" in page
    probe = pd.read_csv(reported / "results/probes/own/tiny/own-test.csv")
    assert list(probe["layer"]) == [0, 1, 2]
    plots = {path.name for path in (reported / "results/plots").iterdir()}
    assert {"det.svg", "maps.svg", "probes.svg"} <= plots
    maps = sorted((reported / "results/runs").glob("**/maps/own-test.csv"))
    assert len(maps) == 2


def test_the_report_does_not_miss_the_cache(project_with_report):
    shutil.rmtree(project_with_report / "cache")

    again = snakemake(project_with_report)

    assert "Nothing to be done" in again.stderr + again.stdout


def test_the_report_of_snakemake_has_the_same_charts(project_with_report):
    own = snakemake(project_with_report, "--report", "snakemake.html")

    assert own.returncode == 0, own.stderr
    page = (project_with_report / "snakemake.html").read_text("utf-8")
    assert "det.svg" in page


def test_a_probe_of_another_backbone_waits_for_its_cache(project_with_report):
    project = project_with_report
    described = project / "results/probes/own/tiny/own-test.json"
    assert described.exists()
    backbones = json.loads(json.dumps(CONFIG["backbones"]))
    backbones["tiny"]["seed"] = 1
    write_config(project, changed(backbones=backbones))
    shutil.rmtree(project / "cache")

    run = snakemake(project, "results/probes/own/tiny/own-test.csv")

    assert run.returncode == 0, run.stderr
    definition = json.loads(described.read_text("utf-8"))["definition"]
    assert definition["backbone"]["seed"] == 1


def test_a_cohort_of_crops_is_what_a_run_on_crops_was_trained_on(project):
    """Whole utterances of the training split are not cached then, and not asked for."""
    write_config(
        project,
        changed(
            views={"short": {"crops": {"count": 2, "seconds": 0.5, "seed": 0}}},
            scorings={"norm": {"kind": "as-norm", "options": {"top": 3}}},
            grid=[
                CONFIG["grid"][0]
                | {"backends": ["mean"], "view": "short", "scorings": ["norm"]}
            ],
        ),
    )
    shutil.rmtree(project / "cache/tiny/own/train")

    run = snakemake(project, "results/table.csv", "results/plan.csv")

    assert run.returncode == 0, run.stderr + run.stdout
    assert not (project / "cache/tiny/own/train/full").exists()
    table = pd.read_csv(project / "results/table.csv")
    assert list(table["view"]) == ["short"]
    assert list(table["scoring"]) == ["norm"]
    plan = pd.read_csv(project / "results/plan.csv")
    assert set(plan["view"]) == {"full", "short"}


def test_views_layers_and_int8_through_the_whole_way(project):
    write_corpus(project / "noise" / "music", speakers=1, utterances=2)
    views = {
        "noisy": {
            "augmented": {
                "copies": 2,
                "noise": "noise",
                "speed": [0.9, 1.1],
                "seed": 0,
            }
        },
    }
    backbones = CONFIG["backbones"] | {
        "small": CONFIG["backbones"]["tiny"]
        | {"cache": {"layers": [0, 2], "dtype": "int8"}}
    }
    backends = CONFIG["backends"] | {"one-layer": CONFIG["backends"]["mean"]}
    backends["one-layer"] = backends["one-layer"] | {"layers": [2]}
    block = CONFIG["grid"][0] | {"backends": ["one-layer"]}
    grid = [
        block | {"backbones": ["tiny", "small"]},
        block | {"view": "noisy"},
    ]
    write_config(
        project,
        changed(views=views, backbones=backbones, backends=backends, grid=grid),
    )

    run = snakemake(project, "results/table.csv", "results/plan.csv")
    again = snakemake(project, "results/table.csv", "results/plan.csv")

    assert run.returncode == 0, run.stderr + run.stdout
    assert "Nothing to be done" in again.stderr + again.stdout
    table = pd.read_csv(project / "results" / "table.csv")
    assert len(table) == 3
    assert set(table["view"]) == {"full", "noisy"}
    sizes = table.groupby(["view", "backbone"])["cache_bytes"].first()
    assert sizes["full", "small"] * 3 == sizes["full", "tiny"]  # 2 of 3 layers, halved
    assert sizes["noisy", "tiny"] > 1.5 * sizes["full", "tiny"]
    runs = project / "results/runs"
    info = json.loads(
        (runs / "own@noisy/tiny/one-layer/seed-0/model.json").read_text("utf-8")
    )
    assert info["layers"] == [2]
    assert info["num_speakers"] > 4  # another speed is another speaker
    assert (project / "cache/tiny/own/train/noisy-2/part-001-of-002.json").exists()
    plan = pd.read_csv(project / "results" / "plan.csv")
    assert set(plan["view"]) == {"full", "noisy-1", "noisy-2"}


def test_a_mistake_in_the_config_stops_before_any_job(tmp_path):
    train = CONFIG["train"] | {"crop_secs": 3}
    write_config(tmp_path, changed(train=train))

    run = snakemake(tmp_path, "results/table.csv")

    assert run.returncode != 0
    assert "train.crop_secs: unknown key; did you mean 'crop_seconds'?" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "results").exists()


def test_a_cache_dir_that_is_a_file_stops_before_any_job(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "disk").write_text("not a folder")
    write_config(tmp_path, changed(cache_dir="~/disk"))

    run = snakemake(tmp_path, "results/table.csv")

    assert run.returncode != 0
    assert f"cache_dir: {tmp_path}/disk is a file; name a folder" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_environment_may_be_in_a_folder_with_a_space(tmp_path):
    write_corpus(tmp_path / "audio", speakers=7, utterances=1)
    write_config(tmp_path, CONFIG)
    environment = tmp_path / "my ënv"
    venv.create(environment, with_pip=False, symlinks=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "this.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    arguments = command(tmp_path, "results/corpora/own/utterances.csv")[1:]

    run = subprocess.run(
        [environment / "bin" / "python", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )

    assert run.returncode == 0, run.stderr + run.stdout
    assert (tmp_path / "results/corpora/own/utterances.csv").exists()


def test_bad_audio_is_told_without_a_traceback_and_nothing_is_written(tmp_path):
    write_corpus(tmp_path / "audio", speakers=7, utterances=2)
    (tmp_path / "audio/spk 00/ütt 0.wav").write_bytes(b"RIFF")
    write_config(tmp_path, CONFIG)

    run = snakemake(tmp_path, "results/corpora/own/utterances.csv")

    log = (tmp_path / "logs/prepare_corpus/own.log").read_text("utf-8")
    assert run.returncode != 0
    assert "1 faults in the corpus" in log
    assert "ütt 0.wav" in log
    assert "Traceback" not in log
    assert not (tmp_path / "results/corpora/own/utterances.csv").exists()


@pytest.mark.parametrize("experiment", ["ablation", "rivals", "scoring", "from-audio"])
def test_an_experiment_on_the_demo_is_planned(tmp_path, experiment):
    file = ROOT / f"experiments/{experiment}.yaml"
    grid = yaml.safe_load(file.read_text("utf-8"))["grid"]
    runs = [
        len(block["backbones"]) * len(block["backends"]) * len(block["seeds"])
        for block in grid
    ]
    scored = sum(
        count * len(block["test"]) * len(block.get("scorings", ["cosine"]))
        for count, block in zip(runs, grid, strict=True)
    )
    fused = sum(len(block.get("fusions", [])) * len(block["seeds"]) for block in grid)
    files = (str(ROOT / "config.yaml"), str(file))

    planned = snakemake(
        tmp_path, "--dry-run", "results/table.csv", "--configfile", *files
    )

    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert jobs(planned)["train"] == sum(runs)
    assert jobs(planned).get("fuse", 0) == fused
    # The members of a fusion score the validation trials, too.
    found = jobs(planned)["score"] + jobs(planned).get("score_pairs", 0)
    assert found == scored or fused


def test_another_list_makes_the_trials_again_and_a_missing_one_is_named(project):
    target = "results/trials/own-test.csv"
    manifest = pd.read_csv(project / "results/corpora/own/utterances.csv")
    names = manifest["utterance"][manifest["split"] == "test"].str.split("/").str[0]
    one, other = names.unique()[:2]
    for name, ends in (("b", "01"), ("a", "02")):  # the first one named is the older
        (project / f"{name}.csv").write_text(
            "enrolment,test,target\n"
            f"{one}/ütt {ends[0]},{one}/ütt {ends[1]},1\n"
            f"{one}/ütt {ends[0]},{other}/ütt {ends[1]},0\n"
        )

    def listed(name):
        trials = CONFIG["trials"] | {
            "own-test": {"corpus": "own", "split": "test", "file": f"{name}.csv"}
        }
        write_config(project, changed(trials=trials))
        return snakemake(project, target)

    assert listed("a").returncode == 0
    assert "ütt 2" in (project / target).read_text("utf-8")
    assert listed("b").returncode == 0
    assert "ütt 2" not in (project / target).read_text("utf-8")
    missing = listed("c")
    assert missing.returncode != 0
    assert "trials.own-test.file: c.csv is not there" in missing.stderr


def test_an_encoder_is_fine_tuned_and_its_change_trains_anew(project):
    backbones = CONFIG["backbones"] | {"waveform": {"features": "waveform"}}
    fine = {"kind": "finetune-pooled", "options": {"encoder": "tiny"}}
    block = CONFIG["grid"][0] | {"backbones": ["waveform"], "backends": ["fine"]}
    config = changed(
        backbones=backbones,
        backends=CONFIG["backends"] | {"fine": fine},
        grid=[block, *CONFIG["grid"]],
    )
    write_config(project, config)

    run = snakemake(project, "results/table.csv")
    again = jobs(snakemake(project, "results/table.csv", "--dry-run"))
    config["backbones"]["tiny"] = backbones["tiny"] | {"normalize": "none"}
    write_config(project, config | {"grid": [block]})
    other = snakemake(project, "results/table.csv", "--dry-run")

    assert run.returncode == 0, run.stderr + run.stdout
    assert jobs(run)["train"] == 1
    table = pd.read_csv(project / "results" / "table.csv")
    assert list(table["backend"]) == ["mean", "unipool", "fine"]
    model = project / "results/runs/own/waveform/fine/seed-0/model.json"
    info = json.loads(model.read_text("utf-8"))
    assert info["options"] == {"encoder": "results/backbones/tiny"}
    assert info["definition"]["encoder"]["config"] == backbones["tiny"]["config"]
    assert again == {}
    assert jobs(other)["fetch_backbone"] == 1
    assert jobs(other)["train"] == 1
    assert "extract" not in jobs(other)


def test_what_compares_pairs_has_a_row_without_embeddings(project):
    pairs = {
        "kind": "finetune-pairs",
        "options": {"encoder": "tiny"},
        "train": {"loss": "binary-cross-entropy", "loss_options": {}},
    }
    block = CONFIG["grid"][0] | {"scorings": ["cosine", "norm"], "fusions": ["both"]}
    config = changed(
        backbones=CONFIG["backbones"] | {"waveform": {"features": "waveform"}},
        backends=CONFIG["backends"] | {"pairs": pairs},
        scorings={"norm": {"kind": "as-norm", "options": {"top": 3}}},
        fusions={
            "both": [
                {"backbone": "waveform", "backend": "pairs"},
                {"backbone": "tiny", "backend": "mean"},
            ]
        },
        grid=[block | {"backbones": ["waveform"], "backends": ["pairs"]}],
    )
    write_config(project, config)

    run = snakemake(project)
    again = snakemake(project, "--dry-run")

    assert run.returncode == 0, run.stderr + run.stdout
    # Its own list for the table, and the validation trials for the fusion.
    assert jobs(run)["score_pairs"] == 2
    assert "embed" not in jobs(run)
    assert "Nothing to be done" in again.stderr + again.stdout
    table = pd.read_csv(project / "results/table.csv")
    assert sorted(zip(table["backend"], table["scoring"], strict=True)) == [
        ("both", "fused"),
        ("pairs", "pairwise"),
    ]
    assert table["eer"].between(0, 1).all()
    page = (project / "results/report.html").read_text("utf-8")
    assert "pairwise" in page
    # A deleted cache is not missed, until the trials have to be scored again.
    shutil.rmtree(project / "cache/waveform")
    still = snakemake(project, "--dry-run", "results/table.csv")
    write_config(project, config | {"metrics": {"p_targets": [0.1]}})
    other = jobs(snakemake(project, "--dry-run", "results/table.csv"))
    assert "Nothing to be done" in still.stderr + still.stdout
    assert (other["score_pairs"], other["extract"]) == (2, 2)
    assert "train" not in other


def test_two_processes_train_a_run_together(project):
    mhfa = {"kind": "mhfa", "options": {"num_heads": 2, "compression": 4}}
    grid = [CONFIG["grid"][0] | {"backends": ["mhfa"]}]
    both = {"mhfa": mhfa | {"processes": 2}}
    write_config(project, changed(backends=both, grid=grid))
    model = "results/runs/own/tiny/mhfa/seed-0/model.json"

    run = snakemake(project, model)

    assert run.returncode == 0, run.stderr + run.stdout
    log = (project / "logs/train/own/tiny/mhfa/seed-0.log").read_text("utf-8")
    assert log.count("step 6: validation EER") == 1
    # How many they are is a matter of the machine.
    write_config(project, changed(backends={"mhfa": mhfa}, grid=grid))
    again = snakemake(project, "-n", model)
    assert "Nothing to be done" in again.stderr + again.stdout


def test_processes_that_cannot_train_together_say_why(project):
    both = {"unipool": CONFIG["backends"]["unipool"] | {"processes": 2}}
    grid = [CONFIG["grid"][0] | {"backends": ["unipool"], "seeds": [1]}]
    write_config(project, changed(backends=both, grid=grid))

    run = snakemake(project, "results/table.csv")

    assert run.returncode != 0
    log = (project / "logs/train/own/tiny/unipool/seed-1.log").read_text("utf-8")
    assert "error: this backend has batch norms" in log
    assert "Traceback" not in run.stderr.partition("Error in rule train")[0]


def asked_for(dry_run, rule):
    """Give what the first job of a rule asks for, as a dry run tells it."""
    of_rule = dry_run.stdout.partition(f"\nrule {rule}:")[2]
    line = of_rule.partition("resources: ")[2].partition("\n")[0]
    return dict(item.split("=") for item in line.split(", "))


def test_a_job_asks_for_more_with_more_audio_a_larger_encoder_and_each_attempt(project):
    arguments = ("-n", "results/table.csv", "--forcerun", "extract", "train")
    little = snakemake(project, *arguments)
    manifest = project / "results/corpora/own/utterances.csv"
    rows = pd.read_csv(manifest, dtype=str)
    rows["seconds"] = "360.0000000"  # 2 hours are trained on, of 1.1 GB each
    rows.to_csv(manifest, index=False)
    facts = project / "results/backbones/tiny/backbone.json"
    larger = {"parameters": 300_000_000, "hidden_size": 1024}
    facts.write_text(json.dumps(json.loads(facts.read_text("utf-8")) | larger), "utf-8")
    much = snakemake(project, *arguments)
    again = snakemake(project, *arguments, "--attempt", "2")

    asked = {
        (rule, name): [int(asked_for(dry, rule)[name]) for dry in (little, much, again)]
        for rule in ("extract", "train")
        for name in ("mem_mb", "runtime")
    }
    for first, larger, twice in asked.values():
        assert first <= larger
        assert twice == pytest.approx(2 * larger, abs=1)
    assert asked["extract", "mem_mb"][1] > 4000 + 8 * 300
    assert asked["extract", "runtime"][1] > 60
    assert asked["train", "mem_mb"][1] > 4000 + 1100 * (2 + 1)  # and validated with


def test_a_run_starts_from_another_whose_change_makes_both_anew(project):
    backends = CONFIG["backends"] | {
        "finer": {"start": "mean", "train": {"learning_rate": 0.0001}},
        "finest": {"start": "finer"},
    }
    block = CONFIG["grid"][0] | {"backends": ["finest"]}
    write_config(project, changed(backends=backends, grid=[block]))
    folder = "results/runs/own/tiny"

    run = snakemake(project, f"{folder}/finest/seed-0/model.json")
    again = jobs(snakemake(project, f"{folder}/finest/seed-0/model.json", "--dry-run"))
    slower = {"mean": backends["mean"] | {"train": {"learning_rate": 0.001}}}
    write_config(project, changed(backends=backends | slower, grid=[block]))
    anew = jobs(snakemake(project, f"{folder}/finest/seed-0/model.json", "--dry-run"))

    assert run.returncode == 0, run.stderr + run.stdout
    infos = [
        json.loads((project / folder / name / "seed-0/model.json").read_text("utf-8"))
        for name in ("mean", "finer", "finest")
    ]
    for first, second in itertools.pairwise(infos):
        assert second["definition"]["start"] == first["definition"]
        assert second["kind"] == "combined"
        assert second["start"]["loss_sha256"]
    assert infos[2]["start"]["run"] == f"{folder}/finer/seed-0"
    assert again == {}
    assert anew["train"] == 3
