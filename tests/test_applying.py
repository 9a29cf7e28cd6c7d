"""A trained run applied to audio files that are of no corpus."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import BACKBONE, TINY, data_of, run_of, split_of, train_run, voice

import unipool
from unipool.applying import embed_files, verify_files
from unipool.cell import CellFiles
from unipool.checkpoint import read_info, stop_at_other_backbone
from unipool.cli import main
from unipool.embed import embed
from unipool.embeddings import read_embeddings
from unipool.facts import read_facts
from unipool.fetch import fetch_backbone
from unipool.score import score
from unipool.train import train

PLAIN = {"kind": "cosine", "options": {}, "calibration": "score"}


@pytest.fixture(scope="module")
def project(cached, tmp_path_factory):
    """Make a project's results of one run: trained, embedded and scored."""
    results = tmp_path_factory.mktemp("project") / "results"
    folder = results / "runs/own/tiny/unipool/seed-0"
    run = run_of(cached, folder)
    of_valid = {"own-valid": {"corpus": "own", "split": "valid"}}
    run = run._replace(definition=run.definition | {"valid_trials": of_valid})
    train(run, **data_of(cached))
    shutil.copytree(cached / "backbone", results / "backbones/tiny")
    (results / "trials").mkdir()
    for split in ("valid", "test"):
        for end in (".csv", ".enrolments.csv"):
            shutil.copy(cached / (split + end), results / f"trials/own-{split}{end}")
        embed(
            run=folder,
            split=split_of(cached, split),
            embeddings=folder / f"embeddings/own-{split}.h5",
            device="cpu",
            num_threads=1,
            embed_batch_seconds=4,
        )
    score(
        embeddings=folder / "embeddings/own-test.h5",
        trials=results / "trials/own-test.csv",
        valid_embeddings=folder / "embeddings/own-valid.h5",
        valid_trials=results / "trials/own-valid.csv",
        cohort=None,
        scoring=PLAIN,
        p_targets=[0.01],
        published=False,
        draws=0,
        files=CellFiles(*(folder / name for name in ("s.csv", "m.json", "d.csv"))),
        key={},
    )
    return results


@pytest.fixture
def run(project):
    return project / "runs/own/tiny/unipool/seed-0"


@pytest.fixture(scope="module")
def tested(cached):
    """Give the path of each test utterance."""
    rows = pd.read_csv(cached / "utterances.csv").query("split == 'test'")
    return rows.set_index("utterance")["path"]


def test_files_get_the_embeddings_that_the_workflow_makes_of_them(run, tested):
    content = embed_files(run, tested.tolist())

    made = read_embeddings(run / "embeddings/own-test.h5")
    assert content.utterances == tested.tolist()
    assert content.seconds == pytest.approx(made.seconds)
    assert tested.index.tolist() == made.utterances
    np.testing.assert_allclose(
        content.embeddings, made.embeddings, rtol=1e-3, atol=1e-4
    )


def test_a_file_is_scored_as_the_workflow_scores_its_trial(run, tested):
    scored = pd.read_csv(run / "s.csv")
    for trial in scored.drop_duplicates("target").itertuples():
        found = verify_files(run, [tested[trial.enrolment]], [tested[trial.test]])

        assert found.scores == pytest.approx([trial.score], abs=1e-3)
        assert found.llr == pytest.approx([trial.llr], abs=1e-2)


def test_the_threshold_is_where_both_errors_are_equal_in_validation(run, tested):
    found = verify_files(run, tested[:1], tested[1:])

    info = json.loads((run / "model.json").read_text("utf-8"))
    threshold = found.reference.threshold
    assert found.reference.trials == "own-valid"
    assert found.reference.eer == pytest.approx(info["valid_eer"], abs=1e-6)
    assert found.same.tolist() == [score >= threshold for score in found.scores]
    assert found.test == tested[1:].tolist()


def test_embeddings_of_an_earlier_training_decide_nothing(project, tested, tmp_path):
    results = shutil.copytree(project, tmp_path / "results")
    again = results / "runs/own/tiny/unipool/seed-0"
    info = json.loads((again / "model.json").read_text("utf-8"))
    text = json.dumps(info | {"identity": "of other settings"})
    (again / "model.json").write_text(text, "utf-8")

    assert verify_files(again, tested[:1], tested[1:2]).reference is None


def test_a_test_file_has_a_score_as_often_as_it_is_named(run, tested):
    found = verify_files(run, [*tested[:2], tested.iloc[0]], [*tested[2:4]] * 2)

    assert found.test == [*tested[2:4]] * 2
    assert found.scores[:2].tolist() == found.scores[2:].tolist()
    assert found.enrolment == tested[:2].tolist()


def test_several_files_of_a_speaker_are_enrolled_by_their_mean(run, tested):
    content = embed_files(run, tested[:4])
    mean = content.embeddings[:3].mean(axis=0)
    vectors = [vector / np.linalg.norm(vector) for vector in (mean, content[3][3])]

    found = verify_files(run, tested[:3], tested[3:4])

    assert found.enrolment == tested[:3].tolist()
    assert found.scores == pytest.approx([vectors[0] @ vectors[1]], abs=1e-3)


def test_audio_of_any_kind_is_taken_from_files_and_folders(run, tmp_path):
    folder = tmp_path / "größe, \"a\" 'b'"
    (folder / "below").mkdir(parents=True)
    wave = voice(1, 0, seconds=1.3, rate=44_100)
    soundfile.write(folder / "ä.flac", np.stack([wave, wave], axis=1), 44_100)
    soundfile.write(folder / "below/b c.wav", voice(2, 0, rate=8_000), 8_000)
    soundfile.write(tmp_path / "one.wav", voice(3, 0, seconds=0.03), 16_000)
    (folder / "notes.txt").write_text("no audio", encoding="utf-8")

    content = embed_files(run, [tmp_path / "one.wav", folder, tmp_path / "one.wav"])

    names = [tmp_path / "one.wav", folder / "below/b c.wav", folder / "ä.flac"]
    assert sorted(content.utterances) == sorted(map(str, names))
    assert content.utterances[0] == str(tmp_path / "one.wav")
    seconds = dict(zip(content.utterances, content.seconds, strict=True))
    assert seconds[str(folder / "ä.flac")] == pytest.approx(1.3)
    assert np.isfinite(content.embeddings).all()


def test_files_that_cannot_be_used_are_all_named(run, tested, tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "short.wav", voice(1, 0, seconds=0.01), 16_000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")

    with pytest.raises(ValueError, match="3 files cannot be used") as told:
        embed_files(run, [tested.iloc[0], tmp_path])

    for why in ("silent.wav: all samples are zero", "short.wav: 0.0100 s", "broken"):
        assert why in str(told.value)


@pytest.mark.parametrize(
    ("file", "why"), [("gone.wav", "no such file"), ("empty", "no audio")]
)
def test_audio_that_is_not_there_is_said(run, tmp_path, file, why):
    (tmp_path / "empty").mkdir()

    with pytest.raises(FileNotFoundError, match=f"{file}: {why}"):
        embed_files(run, [tmp_path / file])


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ([], "no audio is named"),
        (["caf\udce9.wav"], r"rename them:\n  'caf\\udce9.wav'"),
        (["a\rb.wav"], "carriage return"),
    ],
)
def test_what_cannot_be_written_down_is_said(run, tmp_path, monkeypatch, files, why):
    monkeypatch.chdir(tmp_path)
    for file in files:
        (tmp_path / file).touch()

    with pytest.raises(ValueError, match=why):
        embed_files(run, files)


def test_one_path_is_no_list_of_files(run, tested):
    with pytest.raises(TypeError, match="give a list of files"):
        embed_files(run, tested.iloc[0])


def test_the_backbone_is_found_where_links_lead_and_where_they_do_not(
    project, run, tested, tmp_path
):
    (tmp_path / "best").symlink_to(run)
    (tmp_path / "results").mkdir()
    for name in ("backbones", "trials"):
        shutil.copytree(project / name, tmp_path / "results" / name)
    shutil.copytree(project / "runs", tmp_path / "disk/runs")
    (tmp_path / "results/runs").symlink_to(tmp_path / "disk/runs")
    linked = tmp_path / "results/runs/own/tiny/unipool/seed-0"

    for place in (tmp_path / "best", linked):
        assert verify_files(place, tested[:1], tested[1:2]).reference is not None


def test_a_backbone_may_be_named_by_where_one_is(project, run, tested, monkeypatch):
    (project / "backbones/tiny/here").mkdir(exist_ok=True)
    monkeypatch.chdir(project / "backbones/tiny/here")

    content = embed_files(run, tested[:1], backbone="..")

    assert [name for name in content.info["caches"] if "files" in name] == [
        "tiny/files/test/full"
    ]


def test_a_run_elsewhere_is_told_its_backbone(project, run, tested, tmp_path):
    shutil.copytree(run, tmp_path / "mine")

    with pytest.raises(FileNotFoundError, match="no backbone; name the folder of one"):
        embed_files(tmp_path / "mine", tested[:1])

    found = verify_files(
        tmp_path / "mine", tested[:1], tested[1:2], backbone=project / "backbones/tiny"
    )
    assert found.reference is found.llr is found.same is None
    assert found.scores == pytest.approx(
        verify_files(run, tested[:1], tested[1:2]).scores
    )


def test_another_backbone_of_the_same_size_is_refused(run, tested, tmp_path):
    config = {"model_type": "wav2vec2", "feat_extract_norm": "group", **TINY}
    fetch_backbone(folder=tmp_path / "other", config=config, seed=1, **BACKBONE)

    with pytest.raises(ValueError, match="not the backbone that the run"):
        embed_files(run, tested[:1], backbone=tmp_path / "other")


@pytest.mark.parametrize(
    ("changes", "fits"),
    [({}, True), ({"hidden_size": 32}, False), ({"layers": [0, 7]}, False)],
)
def test_of_a_run_that_knows_no_more_layers_and_size_are_compared(
    project, run, tmp_path, changes, fits
):
    info = read_info(run)
    del info["backbone_sha256"]
    facts = read_facts(project / "backbones/tiny")
    other = facts | {"sha256": "of another"}
    here = (run, info | changes, tmp_path, other)

    if fits:
        stop_at_other_backbone(*here)
    else:
        with pytest.raises(ValueError, match="not the backbone"):
            stop_at_other_backbone(*here)


def test_another_encoder_of_what_fine_tunes_one_is_refused(cached, tmp_path):
    train_run(cached, tmp_path / "run", kind="finetune-pooled")
    info = read_info(tmp_path / "run")
    facts = read_facts(cached / "backbone")
    here = (tmp_path / "run", info, cached / "backbone", facts)
    stop_at_other_backbone(*here)

    info["options"]["encoder"] = str(cached / "backbone")
    with pytest.raises(ValueError, match="backbone: not the backbone"):
        stop_at_other_backbone(*here)
    info["options"]["encoder"] = str(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="work in the folder of the project"):
        stop_at_other_backbone(*here)


def test_what_has_no_embeddings_is_refused_before_anything_is_done(
    cached, tested, tmp_path
):
    pairs = {"loss": "binary-cross-entropy", "loss_options": {}}
    train_run(cached, tmp_path, kind="finetune-pairs", steps=0, **pairs)

    with pytest.raises(ValueError, match="compares utterances two by two and has no"):
        embed_files(tmp_path, tested, backbone=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("backbone.json", "{}", "backbone.json: has no sha256"),
        ("backbone.json", "{", "backbone.json: damaged"),
        ("model.safetensors", "", "model.safetensors is damaged"),
    ],
)
def test_a_damaged_backbone_is_told(project, run, tested, tmp_path, file, content, why):
    shutil.copytree(project / "backbones/tiny", tmp_path / "tiny")
    (tmp_path / "tiny" / file).write_text(content)

    with pytest.raises(ValueError, match=why):
        embed_files(run, tested[:1], backbone=tmp_path / "tiny")


def test_a_closed_terminal_leaves_nothing_behind(run, tested, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    command = "import sys; from unipool.cli import main; sys.exit(main())"
    job = subprocess.Popen(
        [
            *(sys.executable, "-c", command, "embed", run, *tested),
            *("--output", tmp_path / "own.h5"),
        ],
        env=os.environ | {"TMPDIR": str(place)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not any(place.glob("unipool-*")):
        assert job.poll() is None
        time.sleep(0.02)
    job.send_signal(signal.SIGHUP)

    assert "told to end before the work was done" in job.communicate()[1]
    assert job.returncode == 1
    assert not any(place.glob("unipool-*"))
    assert not (tmp_path / "own.h5").exists()


def test_more_than_the_disk_has_room_for_is_refused_at_once(run, tested, monkeypatch):
    free = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: free)

    with pytest.raises(ValueError, match=r"1e-06 GB are free.*TMPDIR"):
        embed_files(run, tested[:1])


def test_embed_writes_what_any_reader_of_embeddings_reads(
    run, tested, tmp_path, capsys
):
    file = tmp_path / "new/own.h5"

    assert main(["embed", str(run), *tested[:2], "--output", str(file)]) == 0

    assert capsys.readouterr().out == f"{file}: 2 embeddings of 8 values\n"
    assert read_embeddings(file).utterances == tested[:2].tolist()


@pytest.mark.parametrize("output", ["me.wav", "folder.h5"])
def test_embed_writes_over_no_recording_and_no_folder(
    run, tested, tmp_path, monkeypatch, capsys, output
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.h5").mkdir()
    (tmp_path / "me.wav").write_text("a recording")

    assert main(["embed", str(run), tested.iloc[0], "--output", output]) == 1

    assert f"--output {output}: name a file that ends in" in capsys.readouterr().err
    assert (tmp_path / "me.wav").read_text() == "a recording"


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("model.json", "{", "model.json: damaged"),
        ("model.json", "[1]", "model.json: damaged"),
        ("model.safetensors", "", "model.safetensors: damaged"),
    ],
)
def test_a_damaged_run_is_told(project, tested, tmp_path, capsys, file, content, why):
    results = shutil.copytree(project, tmp_path / "results")
    damaged = results / "runs/own/tiny/unipool/seed-0"
    (damaged / file).write_text(content)

    assert main(["embed", str(damaged), tested.iloc[0]]) == 1

    said = capsys.readouterr().err
    assert why in said
    assert "train the run again" in said


def test_a_run_of_other_options_than_its_weights_is_told(project, tested, tmp_path):
    results = shutil.copytree(project, tmp_path / "results")
    run = results / "runs/own/tiny/unipool/seed-0"
    info = json.loads((run / "model.json").read_text("utf-8"))
    info["options"] |= {"embedding_size": 9}
    (run / "model.json").write_text(json.dumps(info), "utf-8")

    with pytest.raises(ValueError, match=r"not of what model\.json describes"):
        embed_files(run, tested[:1])


def test_verify_tells_a_person_and_a_program(run, tested, capsys):
    command = ["verify", str(run), "--enrol", tested.iloc[0], "--test", *tested[1:3]]

    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert [test["test"] for test in told["tests"]] == tested[1:3].tolist()
    assert told["reference"].keys() == {"trials", "threshold", "eer"}
    for line, test in zip(lines, told["tests"], strict=False):
        verdict = "the same speaker" if test["same"] else "another speaker"
        assert line.startswith(f"{test['test']}: {verdict}, score {test['score']:.3f}")
    assert "both errors are equal on own-valid" in lines[2]


def test_a_mistake_ends_without_a_traceback(tmp_path, capsys):
    assert main(["verify", str(tmp_path), "--enrol", "a.wav", "--test", "b.wav"]) == 1

    said = capsys.readouterr().err
    assert said.startswith("unipool: ")
    assert "a.wav: no such file" in said


def test_what_a_person_imports_is_imported_when_it_is_used():
    loaded = "import sys, unipool; print('torch' in sys.modules)"
    said = subprocess.check_output([sys.executable, "-c", loaded], text=True)

    assert said.strip() == "False"
    assert unipool.embed_files is embed_files
    assert unipool.verify_files is verify_files
    assert not hasattr(unipool, "embed_file")
