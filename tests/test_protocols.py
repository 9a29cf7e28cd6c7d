"""The published grids, on small trees of each corpus's true shape that really speak."""

import contextlib
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
import yaml
from conftest import TINY, TRAINING
from filelock import FileLock

from unipool.audio import read_audio
from unipool.corpora.synthetic import synthesize

ROOT = Path(__file__).parent.parent
SPEAKERS, UTTERANCES = 18, 6


@pytest.fixture(scope="session")
def spoken(made_once):
    """Let espeak-ng say some sentences; the files of each voice."""

    def say(folder):
        synthesize(
            root=folder,
            speakers=SPEAKERS,
            utterances_per_speaker=UTTERANCES,
            seed=1,
        )

    voices = sorted(
        path for path in made_once("spoken", say).iterdir() if path.is_dir()
    )
    return [sorted(voice.glob("*.flac")) for voice in voices]


@pytest.fixture
def project_of(spoken, made_once):
    """Lay a corpus out once, and hold its project, where it may be prepared already."""
    with contextlib.ExitStack() as held:

        def hold(lay_out):
            def fill(folder):
                roots = lay_out(folder / "dïsk 1", spoken)
                named = {name: str(root) for name, root in roots.items()}
                (folder / "roots.json").write_text(json.dumps(named))

            folder = made_once(lay_out.__name__, fill)
            held.enter_context(FileLock(folder / "project.lock"))
            named = json.loads((folder / "roots.json").read_text())
            return folder / "project", {name: Path(named[name]) for name in named}

        yield hold


def write(path, source, *, rate=16_000):
    """Write what was spoken in another format, by the path's extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = soxr.resample(read_audio(source), 16_000, rate)
    if path.suffix == ".m4a":
        with av.open(str(path), "w", format="ipod") as container:
            stream = container.add_stream("aac", rate=rate)
            frame = av.AudioFrame.from_ndarray(
                samples[None].astype(np.float32), format="fltp", layout="mono"
            )
            frame.rate = rate
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    else:
        kind = path.suffix[1:].upper()
        soundfile.write(path, samples, rate, format=kind)


def vctk(root, spoken):
    """Six published speakers of each split, in 0.92's layout, at 48 kHz."""
    published = pd.read_csv(ROOT / "unipool/corpora/vctk_speakers.csv")
    some = published.groupby("split").head(6)["speaker"].tolist()
    table = ["ID  AGE  GENDER  ACCENTS  REGION COMMENTS"]
    for number, (speaker, files) in enumerate(zip(some, spoken, strict=True)):
        gender = "FM"[number % 2]
        accent = ["English    Southern  England", "Scottish  Fife"][number // 2 % 2]
        table.append(f"{speaker}  {20 + number}  {gender}    {accent}")
        for i, file in enumerate(files):
            name = f"wav48_silence_trimmed/{speaker}/{speaker}_{24 + i:03d}_mic1.flac"
            write(root / name, file, rate=48_000)
    (root / "speaker-info.txt").write_bytes("\r\n".join(table).encode() + b"\r\n")
    (root / "wav48_silence_trimmed" / some[0] / f"._{some[0]}_025_mic1.flac").touch()
    return {"vctk": root}


def librispeech(
    root, spoken, *, subsets=("train-clean-100", "dev-clean", "test-clean")
):
    table = ["; ID |SEX| SUBSET | MINUTES | NAME"]
    for number, files in enumerate(spoken):
        reader, subset = 100 + number, subsets[number % len(subsets)]
        gender = "FM"[number // len(subsets) % 2]
        table.append(f"{reader} | {gender} | {subset} | 0.30 | |Ä|Reader {number}")
        for i, file in enumerate(files):
            chapter = f"{reader}/{1000 * reader + i // 3}"
            name = f"{chapter}/{chapter.replace('/', '-')}-{i:04d}"
            write(root / subset / f"{name}.flac", file)
            text = root / subset / chapter / f"{chapter.replace('/', '-')}.trans.txt"
            with text.open("a") as lines:
                lines.write(f"{name.rpartition('/')[2]} A SENTENCE\n")
    (root / "SPEAKERS.TXT").write_text("\n".join(table), "utf-8")
    return {"librispeech": root}


def mini_librispeech(root, spoken):
    librispeech(root, spoken, subsets=("train-clean-5", "dev-clean-2"))
    return {"mini-librispeech": root}


def voxceleb(root, spoken):
    """Development and test speakers of both, the second as it is published, in AAC."""
    for number, files in enumerate(spoken):
        half, i = number % 4, number // 4
        place, speaker, suffix = [
            ("1/dev/wav", f"id1{i + 1:04d}", "wav"),
            ("1/test/wav", f"id{10270 + i}", "wav"),
            ("2/dev/aac", f"id{12 + i:05d}", "m4a"),
            ("2/test/aac", TEST_OF_VOXCELEB2[i], "m4a"),
        ][half]
        for j, file in enumerate(files):
            video = f"vid-{j // 2}_ÄbcdeF"
            write(root / place / speaker / video / f"{j % 2 + 1:05d}.{suffix}", file)
    return {
        "voxceleb1": root / "1",
        "voxceleb1-all": root / "1",
        "voxceleb2": root / "2",
    }


TEST_OF_VOXCELEB2 = ["id00017", "id00061", "id00081", "id00154", "id00562"]


def cnceleb(root, spoken):
    """Speakers that train; and some with joined and single enrolments, and tests."""
    first = root / "CN-Celeb_flac"
    (first / "dev").mkdir(parents=True)
    (first / "eval" / "lists").mkdir(parents=True)
    trials, joined, single, tests = [], [], [], []
    for number, files in enumerate(spoken):
        speaker = f"id{number:05d}" if number < 13 else f"id008{number:02d}"
        recordings = [f"{GENRES[i % 2]}-{i // 2:02d}-001" for i in range(len(files))]
        for name, file in zip(recordings, files, strict=True):
            write(first / "data" / speaker / f"{name}.flac", file)
        if number >= 13:
            write(first / "eval" / "enroll" / f"{speaker}-enroll.flac", files[0])
            write(first / "eval" / "test" / f"{speaker}-singing-01-001.flac", files[5])
            joined.append(f"{speaker}-enroll enroll/{speaker}-enroll.wav")
            names = " ".join(f"{speaker}/{name}.wav" for name in recordings[:3])
            single.append(f"{speaker}-enroll {names}")
            tests.append(speaker)
    (first / "dev" / "dev.lst").write_text("".join(f"id{n:05d}\n" for n in range(13)))
    for one in tests:
        trials += [
            f"{one}-enroll test/{other}-singing-01-001.wav {int(one == other)}"
            for other in tests
        ]
    lists = {"trials.lst": trials, "enroll.lst": joined, "enroll.map": single}
    for name, lines in lists.items():
        (first / "eval/lists" / name).write_text("\n".join(lines) + "\n")
    return {"cnceleb": first}


GENRES = ["interview", "singing"]


def lists_of_cnceleb(roots):
    lists = roots["cnceleb"] / "eval" / "lists"
    return {
        name: {"file": str(lists / "trials.lst"), "enrolments": str(lists / enrolments)}
        for name, enrolments in (
            ("cnceleb-joined", "enroll.lst"),
            ("cnceleb-averaged", "enroll.map"),
        )
    }


def command(folder, *arguments):
    return subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "snakemake",
                "--snakefile",
                str(ROOT / "Snakefile"),
            ),
            *("--directory", str(folder), "--cores", "2", *arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def configfiles(folder, experiment, roots, **changes):
    """Give the arguments for an experiment whose corpora are the small ones."""
    defined = yaml.safe_load(
        (ROOT / f"experiments/{experiment}.yaml").read_text("utf-8")
    )
    corpora = {}
    for name, corpus in defined["corpora"].items():
        options = {
            **dict.fromkeys({"second"} & set(corpus["options"])),
            "root": str(roots[name]),
        }
        one = dict.fromkeys(corpus["parts"], 1)
        corpora[name] = {"options": options, "incomplete": "allow", "parts": one}
        if "split" in corpus:
            corpora[name]["split"] = {"valid": 3}
    small = folder / "small.yaml"
    folder.mkdir(exist_ok=True)
    small.write_text(yaml.safe_dump({"corpora": corpora, **changes}), "utf-8")
    files = [ROOT / "config.yaml", ROOT / f"experiments/{experiment}.yaml", small]
    return ["--configfile", *map(str, files)]


FEW = {"num_targets": 12, "num_nontargets": 60}


@pytest.mark.parametrize(
    ("experiment", "lay_out", "trials"),
    [
        ("vctk", vctk, ["vctk-test-made"]),
        ("librispeech", librispeech, ["librispeech-test-two-chapters"]),
        ("mini-librispeech", mini_librispeech, ["mini-valid", "mini-test"]),
        ("voxceleb1", voxceleb, ["vox2-test"]),
        ("voxceleb2", voxceleb, ["vox2-test"]),
        ("voxceleb2-field", voxceleb, ["vox2-test"]),
        ("cnceleb", cnceleb, ["cnceleb-valid"]),
    ],
)
def test_a_published_grid_is_prepared_and_planned(
    project_of, experiment, lay_out, trials
):
    project, roots = project_of(lay_out)
    few = dict.fromkeys(trials, FEW)
    if experiment == "cnceleb":
        few |= lists_of_cnceleb(roots)
    files = configfiles(project, experiment, roots, trials=few)
    used = yaml.safe_load((ROOT / f"experiments/{experiment}.yaml").read_text("utf-8"))
    manifests = [f"results/corpora/{name}/utterances.csv" for name in used["corpora"]]
    lists = [f"results/trials/{name}.csv" for name in trials]

    done = command(project, *manifests, *lists, *files)
    planned = command(project, "--dry-run", "results/table.csv", *files)

    assert done.returncode == 0, done.stderr
    assert planned.returncode == 0, planned.stdout + planned.stderr
    for name in manifests:
        manifest = pd.read_csv(project / name)
        assert manifest["seconds"].between(1.5, 8).all()
        assert manifest.groupby("speaker")["utterance"].count().between(4, 6).all()
    for name in lists:
        made = pd.read_csv(project / name)
        assert made["target"].sum() >= 12
        assert set(made.filter(like="same_").stack()) <= {0, 1}


TINY_ENCODER = {"model_type": "wav2vec2", "feat_extract_norm": "group", **TINY}
SMALL = {
    "backbones": {"tiny": {"seed": 0, "config": TINY_ENCODER}},
    "train": TRAINING,
}
BLOCK = {"backbones": ["tiny"], "backends": ["last-layer"], "seeds": [0]}


def test_mini_librispeech_fills_a_table(project_of):
    project, roots = project_of(mini_librispeech)
    files = configfiles(
        project,
        "mini-librispeech",
        roots,
        trials={name: {"num_targets": 20} for name in ("mini-valid", "mini-test")},
        grid=[BLOCK | {"train": "mini-librispeech", "test": ["mini-test"]}],
        **SMALL,
    )

    done = command(project, "results/table.csv", *files)

    assert done.returncode == 0, done.stderr
    table = pd.read_csv(project / "results/table.csv")
    assert table["num_trials"].tolist() == [40]


def test_enrolments_of_several_utterances_fill_a_table(project_of):
    project, roots = project_of(cnceleb)
    published = lists_of_cnceleb(roots)
    files = configfiles(
        project,
        "cnceleb",
        roots,
        trials=published | {"cnceleb-valid": FEW},
        grid=[BLOCK | {"train": "cnceleb", "test": list(published)}],
        **SMALL,
    )

    done = command(project, "results/table.csv", *files)

    assert done.returncode == 0, done.stderr
    table = pd.read_csv(project / "results/table.csv").set_index("trials")
    assert table["num_trials"].tolist() == [25, 25]
    scores = [
        pd.read_csv(path)["score"]
        for path in sorted((project / "results/runs").rglob("scores/*.csv"))
    ]
    assert not np.allclose(*scores)


def test_a_list_that_comes_by_url_is_fetched_once_and_verified(tmp_path, project_of):
    project, roots = project_of(librispeech)
    utterances = sorted(
        path.stem for path in (roots["librispeech"]).rglob("*-0000.flac")
    )
    (tmp_path / "a list.txt").write_text(
        "".join(
            f"{int(i == 0)} {utterances[2]} {u}\n"
            for i, u in enumerate(utterances[2::3])
        )
    )
    content = (tmp_path / "a list.txt").read_bytes()
    url = (tmp_path / "a list.txt").as_uri()

    def fetched(checksum):
        trials = {"librispeech-test": {"file": url, "checksum": checksum}}
        files = configfiles(project, "librispeech", roots, trials=trials)
        target = "results/trials/librispeech-test.csv"
        return command(project, target, *files)

    wrong = fetched(f"md5:{0:032}")
    right = fetched(f"sha256:{hashlib.sha256(content).hexdigest()}")
    (tmp_path / "a list.txt").unlink()
    again = fetched(f"sha256:{hashlib.sha256(content).hexdigest()}")

    assert wrong.returncode != 0
    assert "needed is md5:0000" in wrong.stderr
    assert "Traceback" not in wrong.stderr.replace(
        "Traceback (most recent call last)", ""
    )
    assert right.returncode == 0, right.stderr
    assert again.returncode == 0, again.stderr
    made = pd.read_csv(project / "results/trials/librispeech-test.csv")
    assert made["target"].tolist() == [1, 0, 0, 0, 0, 0]
