"""The table."""

import json

import pandas as pd

from unipool.tabulate import COLUMNS, tabulate


def write_metrics(folder, backbone, backend, seed, eer, train_seconds):
    path = folder / f"{backbone}-{backend}-{seed}.json"
    facts = {
        "key": {
            "corpus": "demo",
            "view": "full",
            "backbone": backbone,
            "backend": backend,
            "seed": seed,
            "trials": "demo-test",
        },
        "metrics": {
            "num_trials": 10,
            "num_speakers": 4,
            **{"eer": eer, "eer_low": eer / 2, "eer_high": 2 * eer},
            **{"min_dcf_p01": 0.5, "min_dcf_p01_low": 0.4, "min_dcf_p01_high": 0.6},
            **{"min_dcf_p05": 0.25, "min_dcf_p05_low": 0.2, "min_dcf_p05_high": 0.3},
        },
        "costs": {
            "backend_parameters": 100,
            "extract_seconds": 1.5,
            "train_seconds": train_seconds,
            "cache_bytes": 2048,
        },
        "versions": {"trained_with": {"git_commit": "abc"}},
    }
    path.write_text(json.dumps(facts))
    return path


def test_table_is_sorted_and_has_all_columns(tmp_path):
    metrics = [
        write_metrics(tmp_path, "b", "y", 0, 0.2, 3),
        write_metrics(tmp_path, "a", "z", 10, 0.1, 5),
        write_metrics(tmp_path, "a", "z", 2, 0.3, 4),
    ]

    tabulate(metrics=metrics, table=tmp_path / "t.csv", markdown=tmp_path / "t.md")

    table = pd.read_csv(tmp_path / "t.csv")
    assert tuple(table.columns) == COLUMNS
    assert list(zip(table["backbone"], table["seed"], strict=True)) == [
        ("a", 2),
        ("a", 10),
        ("b", 0),
    ]
    assert list(table["eer"]) == [0.3, 0.1, 0.2]


def test_markdown_marks_the_best_value_of_each_column(tmp_path):
    metrics = [
        write_metrics(tmp_path, "a", "y", 0, 0.25, 3),
        write_metrics(tmp_path, "a", "z", 0, 0.125, 5),
    ]

    tabulate(metrics=metrics, table=tmp_path / "t.csv", markdown=tmp_path / "t.md")

    header, _, first, second = (tmp_path / "t.md").read_text().splitlines()
    cells = [
        dict(zip(header.split(" | "), line.split(" | "), strict=True))
        for line in (first, second)
    ]
    assert [row["eer %"] for row in cells] == [
        "25.00 [12.50, 50.00]",
        "**12.50 [6.25, 25.00]**",
    ]
    assert [row["train_seconds"] for row in cells] == ["**3.0**", "5.0"]
