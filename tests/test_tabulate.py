"""The tables of all cells."""

import json

import numpy as np
import pandas as pd
import pytest

from unipool.tabulate import tabulate

TABLES = ("table", "systems", "comparisons", "conditions")


def write_cell(folder, backbone, backend, seed, *, eer=0.2, **changes):
    """Write what `score` would: the metrics of one cell, and their draws."""
    generator = np.random.default_rng(7)  # the same speakers are drawn for all
    noise = generator.normal(0, 0.01, size=200)
    path = folder / f"{backbone}-{backend}-{seed}.json"
    key = {
        "corpus": "demo",
        "view": "full",
        "backbone": backbone,
        "backend": backend,
        "scoring": "cosine",
        "seed": seed,
        "trials": "demo-test",
    }
    facts = {
        "key": key | changes.get("key", {}),
        "metrics": {
            **{"num_trials": 100, "num_targets": 40},
            **{"num_speakers": 30, "fewest_speakers": 20},
            **{"eer": eer, "eer_low": eer / 2, "eer_high": 2 * eer},
            **{"cllr": 0.5, "cllr_low": 0.4, "cllr_high": 0.6},
        },
        "conditions": changes.get("conditions", []),
        "costs": {
            "backend_parameters": 100,
            "train_seconds": 3.0,
            "train_memory_bytes": None,
            "embed_seconds": 1.0,
            "score_seconds": 0.5,
            **changes.get("costs", {}),
        },
        "caches": changes.get(
            "caches",
            {f"{backbone}/demo/test/full": {"extract_seconds": 12.0, "bytes": 2048}},
        ),
        "versions": {"trained_with": {"git_commit": "abc"}},
    }
    path.write_text(json.dumps(facts), encoding="utf-8")
    draws = pd.DataFrame({"eer": eer + noise, "cllr": 0.5 + noise})
    draws[: changes.get("draws", 200)].to_csv(
        path.with_suffix(".draws.csv"), index=False
    )
    return path


def tables_of(folder, metrics):
    files = {name: folder / f"{name}.csv" for name in TABLES}
    tabulate(metrics=metrics, markdown=folder / "table.md", **files)
    return {name: pd.read_csv(path) for name, path in files.items()}


def test_there_is_a_row_for_each_cell_sorted_by_its_key(tmp_path):
    metrics = [
        write_cell(tmp_path, "b", "y", 0),
        write_cell(tmp_path, "a", "z", 10),
        write_cell(tmp_path, "a", "z", 2, eer=0.3),
    ]

    table = tables_of(tmp_path, metrics)["table"]

    assert list(zip(table["backbone"], table["seed"], strict=True)) == [
        ("a", 2),
        ("a", 10),
        ("b", 0),
    ]
    assert list(table["eer"]) == [0.3, 0.2, 0.2]
    assert list(table)[:7] == [
        *("corpus", "view", "backbone", "backend", "scoring", "seed", "trials")
    ]


def test_extraction_is_shared_by_the_runs_that_used_the_same_cache(tmp_path):
    metrics = [
        write_cell(tmp_path, "a", "y", 0),
        write_cell(tmp_path, "a", "z", 0),
        write_cell(tmp_path, "a", "z", 1),
        write_cell(tmp_path, "b", "y", 0),
    ]
    # Scored in another way it is the same run: it has its share but once.
    again = json.loads(metrics[0].read_text())
    again["key"]["scoring"] = "as-norm"
    metrics.append(tmp_path / "again.json")
    metrics[-1].write_text(json.dumps(again))
    draws = metrics[0].with_suffix(".draws.csv").read_text()
    (tmp_path / "again.draws.csv").write_text(draws)

    table = tables_of(tmp_path, metrics)["table"].set_index(["backbone", "scoring"])

    assert (table.loc["a", "extract_seconds_shared"] == 4.0).all()
    assert (table.loc["b", "extract_seconds_shared"] == 12.0).all()
    assert (table["extract_seconds"] == 12.0).all()
    assert (table["cache_bytes"] == 2048).all()


def test_a_fusion_takes_no_share_of_the_extraction_from_its_runs(tmp_path):
    cache = {"a/demo/test/full": {"extract_seconds": 12.0, "bytes": 2048}}
    fused = {"key": {"backbone": "fused", "scoring": "fused"}, "caches": cache}
    metrics = [
        write_cell(tmp_path, "a", "y", 0),
        write_cell(tmp_path, "a", "z", 0),
        write_cell(tmp_path, "b", "both", 0, **fused),
    ]

    table = tables_of(tmp_path, metrics)["table"]

    assert (table["extract_seconds_shared"] == 6.0).all()


def test_systems_have_the_intervals_of_their_cells(tmp_path):
    """Both by the speakers of the class that has fewer of them."""
    metrics = [write_cell(tmp_path, "a", "y", 0, eer=0.0)]

    systems = tables_of(tmp_path, metrics)["systems"]

    assert systems["eer_high"][0] == pytest.approx(1 - 0.025 ** (1 / 20))


def test_seeds_are_averaged_with_their_standard_deviation(tmp_path):
    metrics = [
        write_cell(tmp_path, "a", "y", 0, eer=0.2),
        write_cell(tmp_path, "a", "y", 1, eer=0.3, costs={"train_seconds": 5.0}),
        write_cell(tmp_path, "a", "z", 0, eer=0.1),
    ]

    systems = tables_of(tmp_path, metrics)["systems"].set_index("backend")

    assert list(systems["num_seeds"]) == [2, 1]
    assert systems.loc["y", "eer"] == pytest.approx(0.25)
    assert systems.loc["y", "eer_std"] == pytest.approx(np.std([0.2, 0.3], ddof=1))
    assert np.isnan(systems.loc["z", "eer_std"])
    assert systems.loc["y", "train_seconds"] == 4.0
    assert systems.loc["y", "eer_low"] < 0.25 < systems.loc["y", "eer_high"]


def test_each_two_systems_are_compared_and_p_values_corrected(tmp_path):
    metrics = [
        write_cell(tmp_path, "a", "x", 0, eer=0.2),
        write_cell(tmp_path, "a", "y", 0, eer=0.2),
        write_cell(tmp_path, "a", "z", 0, eer=0.25),
    ]

    found = tables_of(tmp_path, metrics)["comparisons"]

    eers = found[found["metric"] == "eer"].reset_index(drop=True)
    assert list(zip(eers["first"], eers["second"], strict=True)) == [
        ("demo/a/x/cosine", "demo/a/y/cosine"),
        ("demo/a/x/cosine", "demo/a/z/cosine"),
        ("demo/a/y/cosine", "demo/a/z/cosine"),
    ]
    # The draws differ by a constant: the difference has no error at all.
    assert list(eers["difference"]) == pytest.approx([0, 0.05, 0.05])
    assert eers["p_value"][0] == 1
    assert (eers["p_corrected"] >= eers["p_value"]).all()
    assert set(found["metric"]) == {"eer", "cllr"}


def test_one_cell_alone_is_compared_with_nothing(tmp_path):
    tables = tables_of(tmp_path, [write_cell(tmp_path, "a", "x", 0)])

    assert len(tables["comparisons"]) == 0
    assert len(tables["systems"]) == 1


def test_conditions_have_rows_of_their_own(tmp_path):
    row = {"condition": "same_gender", "value": "1", "num_trials": 60, "eer": 0.3}
    metrics = [
        write_cell(tmp_path, "a", "x", 0, conditions=[row]),
        write_cell(tmp_path, "a", "y", 0, conditions=[row | {"eer": None}]),
    ]

    conditions = tables_of(tmp_path, metrics)["conditions"]

    assert list(conditions["backend"]) == ["x", "y"]
    assert conditions["eer"][0] == 0.3
    assert np.isnan(conditions["eer"][1])


def test_cells_of_other_trials_under_the_same_name_are_not_compared(tmp_path):
    metrics = [
        write_cell(tmp_path, "a", "x", 0),
        write_cell(tmp_path, "a", "y", 0, draws=100),
    ]

    with pytest.raises(ValueError, match="measured on other trials or draws"):
        tables_of(tmp_path, metrics)


def test_markdown_marks_the_best_value_of_each_column(tmp_path):
    metrics = [
        write_cell(tmp_path, "a", "y", 0, eer=0.25),
        write_cell(tmp_path, "a", "z", 0, eer=0.125, costs={"train_seconds": 5.0}),
    ]

    tables_of(tmp_path, metrics)

    header, _, first, second = (tmp_path / "table.md").read_text().splitlines()
    cells = [
        dict(zip(header.split(" | "), line.split(" | "), strict=True))
        for line in (first, second)
    ]
    assert [row["eer %"] for row in cells] == [
        "25.00 [12.50, 50.00]",
        "**12.50 [6.25, 25.00]**",
    ]
    assert [row["train_seconds"] for row in cells] == ["**3.0**", "5.0"]


def test_markdown_has_a_second_table_where_there_are_several_seeds(tmp_path):
    metrics = [
        write_cell(tmp_path, "a", "y", 0, eer=0.2),
        write_cell(tmp_path, "a", "y", 1, eer=0.3),
    ]

    tables_of(tmp_path, metrics)

    text = (tmp_path / "table.md").read_text()
    assert "Mean ± standard deviation over the seeds:" in text
    assert "25.00 ± 7.07 [" in text
