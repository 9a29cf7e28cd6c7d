"""The report, looked at in a real browser."""

import itertools
import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from unipool.embeddings import Embeddings, write_embeddings
from unipool.report import report

PICTURES = {
    *("errors", "differences", "conditions", "det", "scores", "cost"),
    *("training", "probes", "layers", "attention", "maps"),
}
ODD = '<b>"ä" & co'
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
KEY = ["corpus", "view", "backbone", "backend", "scoring", "seed", "trials"]
METRICS = ("eer", "min_dcf_p01", "cllr", "min_cllr")
METRICS += ("published_eer", "published_eer_star", "published_min_dcf")


def write_run(root, backbone, backend, seed, *, layers):
    run = root / "runs/demo" / backbone / backend / f"seed-{seed}"
    (run / "maps").mkdir(parents=True)
    history = {"step": [0, 100, 200], "loss": [np.nan, 4.0, 1.0]}
    history |= {"learning_rate": 1e-3, "valid_eer": [0.3, 0.2, 0.1]}
    pd.DataFrame(history).to_csv(run / "history.csv", index=False)
    facts = {
        "best_step": 200,
        "valid_eer": 0.1,
        "train_seconds": 61.5,
        "backend_parameters": 1234,
        "caches": {f"{backbone}/demo/train/full": {"extract_seconds": 9, "bytes": 2e9}},
        "definition": {"backend": {"kind": backend}, "train": {"steps": 200}},
        "versions": {"unipool": "0.1.0", "git_commit": "abc123"},
    }
    (run / "model.json").write_text(json.dumps(facts), "utf-8")
    weights = {}
    if layers:
        weights = {
            "layers": [0, 2, 4],
            "layer_weights": np.array([0.2, 0.5, 0.3], np.float32),
            "layer_weights_std": np.zeros(3, np.float32),
            "layer_attention": np.full((3, 100), 1 / 3, np.float32),
            "attention_utterance": "u1",
        }
    names = [f"u{place}" for place in range(6)]
    content = Embeddings(
        utterances=names,
        speakers=["s"] * 6,
        seconds=np.full(6, 2.5),
        embeddings=np.ones((6, 2), np.float32),
        num_heads=1,
        info={},
        **weights,
    )
    write_embeddings(run / "embeddings/demo-test.h5", content)
    points = {"utterance": names, "speaker": list("aabbcc"), "x": range(6)}
    points |= {"y": range(6), "gender.of <it>": list("fmfmfm")}
    pd.DataFrame(points).to_csv(run / "maps/demo-test.csv", index=False)
    log = root / "logs/train/demo" / backbone / backend / f"seed-{seed}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"2026 INFO line {place}" for place in range(30)]
    log.write_text("\n".join([*lines, "2026 WARNING <i>ü</i>"]), "utf-8")
    return run


def write_scores(path, shift):
    generator = np.random.default_rng(0)
    targets = np.arange(400) < 100
    scores = generator.normal(size=400) + shift * targets
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"enrolment": "a", "test": "b", "target": targets.astype(int)}
    pd.DataFrame(columns | {"score": scores, "llr": scores}).to_csv(path, index=False)


def row_of(backbone, backend, scoring, seed, trials, eer):
    values = ("demo", "full", backbone, backend, scoring, seed, trials)
    counts = {"num_trials": 400, "num_targets": 100, "num_speakers": 9}
    row = dict(zip(KEY, values, strict=True)) | counts
    for metric in METRICS:
        row |= {metric: eer, f"{metric}_low": eer / 2, f"{metric}_high": 1.5 * eer}
    fused = backbone == "fused"
    row |= {"backend_parameters": None if fused else 1234}
    row |= {"extract_seconds_shared": 4.5, "train_seconds": 61.5, "cache_bytes": 2e9}
    return row | {"git_commit": "abc123"}


def write_tables(root, rows, *, compare):
    cells = pd.DataFrame(rows)
    cells.to_csv(root / "table.csv", index=False)
    groups = cells.groupby([name for name in KEY if name != "seed"], sort=True)
    numbers = [name for name in cells if name not in (*KEY, "git_commit")]
    systems = groups[numbers].mean().reset_index()
    systems["num_seeds"] = groups.size().to_numpy()
    for metric in METRICS:
        systems[f"{metric}_std"] = groups[metric].std().to_numpy()
    systems.to_csv(root / "systems.csv", index=False)
    names = systems[["corpus", "backbone", "backend", "scoring"]].agg("/".join, axis=1)
    pairs = [
        (trials, "eer", one, other, a, b, b - a, b - a - 0.01, b - a + 0.01, 0.01, p)
        for trials, of_list in systems.assign(name=names).groupby("trials")
        for (one, a), (other, b) in itertools.combinations(
            of_list[["name", "eer"]].itertuples(index=False, name=None), 2
        )
        for p in [0.01 if abs(b - a) > 0.03 else 0.4]
        if compare
    ]
    columns = ["trials", "metric", "first", "second", "first_value", "second_value"]
    columns += ["difference", "low", "high", "p_value", "p_corrected"]
    pd.DataFrame(pairs, columns=columns).to_csv(root / "comparisons.csv", index=False)
    parts = [
        row | {"condition": "gender", "value": value, "whole_class": ""}
        for row in rows
        for value in "fm"
    ]
    columns = None if compare else [*KEY, "condition", "value"]
    parts = pd.DataFrame(parts if compare else [], columns=columns)
    parts.to_csv(root / "conditions.csv", index=False)


def write_report(root):
    report(
        table=root / "table.csv",
        systems=root / "systems.csv",
        comparisons=root / "comparisons.csv",
        conditions=root / "conditions.csv",
        runs=sorted(root.glob("runs/*/*/*/seed-*")),
        embeddings=sorted(root.glob("runs/*/*/*/*/embeddings/*.h5")),
        probes=sorted(root.glob("probes/*/*/*.csv")),
        maps=sorted(root.glob("runs/*/*/*/*/maps/*.csv")),
        logs=root / "logs",
        html=root / "report.html",
        plots=root / "plots",
    )
    return root / "report.html"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Report a grid: odd names, seeds, two trial lists, a fusion, conditions."""
    root = tmp_path_factory.mktemp("grid ü")
    rows = []
    for place, backend in enumerate((ODD, "mean")):
        for seed in (0, 1):
            run = write_run(root, "tiny", backend, seed, layers=backend == ODD)
            for trials, scoring in itertools.product(
                ("one", "two"), ("cosine", "snorm")
            ):
                eer = 0.09 + 0.02 * place + 0.001 * seed + 0.004 * (scoring == "cosine")
                eer += 0.2 * (trials == "two")
                rows.append(row_of("tiny", backend, scoring, seed, trials, eer))
                suffix = "" if scoring == "cosine" else f"@{scoring}"
                write_scores(run / f"scores/{trials}{suffix}.csv", 2 - place)
    for trials in ("one", "two"):
        rows.append(row_of("fused", "all", "cosine", 0, trials, 0.0512))
        write_scores(root / f"runs/demo/fused/all/seed-0/scores/{trials}.csv", 3)
    write_tables(root, rows, compare=True)
    probe = root / "probes/demo/tiny/one.csv"
    probe.parent.mkdir(parents=True)
    layers = {"layer": [0, 1, 2], "eer": [0.3, 0.2, 0.25], "eer_low": 0.1}
    pd.DataFrame(layers | {"eer_high": 0.4}).to_csv(probe, index=False)
    return write_report(root)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    alone = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        try:
            opened = driver.chromium.launch(executable_path=found, args=alone)
        except playwright.Error as error:
            pytest.skip(f"no Chromium that starts: {str(error).splitlines()[0]}")
        yield opened
        opened.close()


@pytest.fixture
def opened(browser):
    """Open pages; at the end none has had an error or asked the network."""
    faults, pages = [], []

    def open_page(path, *, width=1600, scheme="light"):
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        pages.append(page)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda message: message.type == "error" and faults.append(message.text),
        )
        page.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "blob:null/", "data:"))
                or faults.append(request.url)
            ),
        )
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached", timeout=20_000)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert faults == []


def test_every_chart_is_drawn_and_all_is_in_one_small_file(opened, whole):
    page = opened(whole)

    charts = page.locator("[data-chart]").evaluate_all(
        "all => all.map(one => [one.dataset.chart, one.querySelectorAll('svg').length])"
    )
    assert dict(charts) == dict.fromkeys(PICTURES, 1)
    drawn = (
        "all => all.map(one => one.querySelector('svg').getBoundingClientRect().width)"
    )
    assert min(page.locator("[data-chart]").evaluate_all(drawn)) > 600
    assert whole.stat().st_size < 5e6


def test_names_are_shown_as_they_are(opened, whole):
    page = opened(whole)

    assert page.locator("main b").count() == 0
    assert ODD in page.locator("table[data-table=systems]").inner_text()
    assert ODD in page.locator("#settings summary").first.inner_text()
    assert f"{ODD} · snorm" in page.locator("#errors svg").text_content()
    page.locator("#logs summary").first.click()
    tail = page.locator("#logs pre").first.inner_text()
    assert "<i>ü</i>" in tail
    assert len(tail.splitlines()) == 20


def test_the_headline_says_what_the_best_really_beats(opened, whole):
    page = opened(whole)

    one = page.locator(".headline").first.inner_text()
    assert "5.12 %" in one
    assert "2.56 to 7.68" in one
    assert "fused · all · cosine" in one
    assert "Better than 4 of 4 others beyond chance" in one


def first_cells(page, table, column):
    texts = page.locator(f"table[data-table={table}] tbody tr").evaluate_all(
        f"rows => rows.map(row => row.cells[{column}].innerText)"
    )
    return [text.split()[0] for text in texts]


def test_a_click_sorts_numbers_as_numbers(opened, whole):
    page = opened(whole)
    heads = page.locator("table[data-table=systems] thead th")
    place = [re.split(r"\s", text)[0] for text in heads.all_inner_texts()].index("EER")

    before = first_cells(page, "systems", place)
    heads.nth(place).click()
    heads.and_(page.locator("[aria-sort=ascending]")).wait_for()
    rising = [float(text) for text in first_cells(page, "systems", place)]
    heads.nth(place).click()
    heads.and_(page.locator("[aria-sort=descending]")).wait_for()
    falling = [float(text) for text in first_cells(page, "systems", place)]

    assert len(rising) == 10
    assert rising == sorted(rising)
    assert rising[0] < 10 < rising[-1]  # as text, 10 would come before 5
    assert falling == rising[::-1]
    assert before != [f"{value:.2f}" for value in falling]


def test_the_keyboard_sorts_too(opened, whole):
    page = opened(whole)
    head = page.locator("table[data-table=cells] thead th").nth(1)

    head.locator("[tabindex='0']").or_(
        head.and_(page.locator("[tabindex='0']"))
    ).focus()
    page.keyboard.press("Enter")

    head.and_(page.locator("[aria-sort=ascending]")).wait_for()
    backends = first_cells(page, "cells", 1)
    assert backends == sorted(backends)


def test_typing_filters_rows(opened, whole):
    page = opened(whole)
    table = page.locator("#table-cells")

    table.locator("input[type=search]").fill("snorm two")

    assert table.locator("tbody tr").count() == 4
    assert "1 to 4 of 4 (of 18)" in table.locator(".dt-info").inner_text()


def test_columns_are_shown_when_asked_for(opened, whole):
    page = opened(whole)
    table = page.locator("#table-systems")
    assert "Cache" not in table.locator("thead").inner_text()

    table.get_by_label("Show costs").check()

    assert "Cache" in table.locator("thead").inner_text()
    assert "2.00 GB" in table.locator("tbody tr").first.inner_text()


def test_published_values_are_spelled_as_they_were_published(opened, whole):
    page = opened(whole)
    table = page.locator("#table-systems")

    table.get_by_label("Show more metrics").check()

    heads = table.locator("thead").inner_text()
    for head in ("published EER (%)", "published EER* (%)", "published minDCF"):
        assert head in heads
    first = table.locator("tbody tr").first.inner_text()
    assert first.count("5.12 [2.56, 7.68]") == 3
    assert "0.05120 [0.02560, 0.07680]" in first


def test_hovering_gives_values(opened, whole):
    page = opened(whole)

    page.locator("#errors svg .mark-symbol path").first.hover()

    tip = page.locator("#vg-tooltip-element")
    tip.wait_for()
    assert "fused · all · cosine" in tip.inner_text()
    assert "5.12 % [2.56, 7.68]" in tip.inner_text()


def test_hovering_on_a_det_curve_gives_its_rates(opened, whole):
    page = opened(whole)
    page.locator("#det svg").scroll_into_view_if_needed()
    spots = page.locator("#det svg .mark-symbol.role-mark path")
    spot = spots.nth(20).bounding_box()

    page.mouse.move(spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2)

    tip = page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    for name in ("fused · all · cosine", "False acceptances", "Misses", "Threshold"):
        assert name in tip.inner_text()
    assert "undefined" not in tip.inner_text()
    lit = "all => all.filter(one => getComputedStyle(one).opacity == 1).length"
    page.wait_for_function(
        "document.querySelectorAll('#det .mark-symbol.role-mark path[opacity=\"1\"]')"
        ".length == 1"
    )
    assert spots.evaluate_all(lit) == 1


def test_charts_change_with_the_trial_list(opened, whole):
    page = opened(whole)
    before = page.locator("#errors svg").text_content()

    page.locator("#errors").get_by_label("Trial list").select_option("two")

    page.wait_for_function(
        "old => document.querySelector('#errors svg').textContent != old", arg=before
    )
    assert "29." in page.locator("#errors svg").text_content()


def test_maps_are_coloured_by_any_metadata(opened, whole):
    page = opened(whole)
    assert "gender.of <it>" not in page.locator("#maps svg").text_content()

    page.locator("#maps").get_by_label("Colour").select_option(label="gender.of <it>")

    legend = page.locator("#maps svg .role-legend-label text")
    legend.first.wait_for()
    assert legend.all_text_contents() == ["f", "m"]


@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_does_not_scroll_sideways(opened, whole, width):
    page = opened(whole, width=width)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for box in page.locator("[data-chart] svg").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().toJSON())"
    ):
        assert box["right"] <= width
        assert box["width"] > 200
    size = page.locator("main p").first.evaluate(
        "one => parseFloat(getComputedStyle(one).fontSize)"
    )
    assert size >= 14
    assert page.locator("main p").first.bounding_box()["width"] <= 900


CONTRAST = """
(all) => {
  const bright = (colour) => {
    const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (let place = one; place; place = place.parentElement) {
      const colour = getComputedStyle(place).backgroundColor;
      if (!colour.endsWith(", 0)")) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return all.map((one) => {
    const style = getComputedStyle(one);
    const ink = one instanceof SVGElement ? style.fill : style.color;
    const [low, high] = [bright(ink), bright(behind(one))].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  });
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(opened, whole, scheme):
    page = opened(whole, scheme=scheme)

    for what in ("main p", "td", "th", "nav a", "label", ".chip", "figure svg text"):
        contrasts = page.locator(what).evaluate_all(CONTRAST)
        assert contrasts
        assert min(contrasts) >= 4.5, what


def test_an_open_page_follows_the_change_to_dark(opened, whole):
    page = opened(whole)
    ink = "getComputedStyle(document.querySelector('#errors svg text')).fill"
    page.wait_for_selector("#errors svg text")
    light = page.evaluate(ink)

    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ink)
    page.emulate_media(media="print")

    assert dark != light
    assert page.evaluate(ink) == light


def test_all_that_is_named_or_chosen_has_a_label(opened, whole):
    page = opened(whole)

    lacking = page.locator("select, input").evaluate_all(
        "all => all.filter(one => !one.labels?.length && !one.ariaLabel).length"
    )
    assert lacking == 0
    levels = page.locator("h1, h2, h3").evaluate_all(
        "all => all.map(one => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    broken = page.locator("a[href^='#']").evaluate_all(
        "all => all.filter(one => !document.querySelector(one.hash)).length"
    )
    assert broken == 0


def test_pictures_of_all_charts_are_written(whole):
    pictures = {path.name for path in (whole.parent / "plots").iterdir()}

    assert pictures == {f"{name}.svg" for name in PICTURES}
    text = (whole.parent / "plots/det.svg").read_text("utf-8")
    assert ">one</text>" in text  # a panel for each trial list
    assert ">two</text>" in text
    assert "&lt;b&gt;" in text


@pytest.fixture
def small(tmp_path):
    """Report one cell, without layer weights, scores, conditions, logs or pairs."""
    run = write_run(tmp_path, "tiny", "mean", 0, layers=False)
    shutil.rmtree(run / "maps")
    shutil.rmtree(tmp_path / "logs")
    row = row_of("tiny", "mean", "cosine", 0, "one", 0.25)
    write_tables(tmp_path, [row], compare=False)
    return tmp_path


def test_sections_with_nothing_to_show_are_left_out(opened, small):
    page = opened(write_report(small))

    charts = page.locator("[data-chart]").evaluate_all(
        "all => all.map(one => one.dataset.chart)"
    )
    assert charts == ["errors", "cost", "training"]
    assert page.locator("h2").all_inner_texts() == [
        *("Results", "Costs", "Training", "Settings", "Provenance")
    ]
    assert "25.00 %" in page.locator(".headline").inner_text()
    assert "Better than" not in page.locator(".headline").inner_text()


def test_a_picture_of_nothing_says_so(small):
    write_report(small)

    pictures = {path.stem: path for path in (small / "plots").iterdir()}
    assert set(pictures) == PICTURES
    assert "no DET curves" in pictures["det"].read_text("utf-8")
    assert "No map was made" in pictures["maps"].read_text("utf-8")


def test_a_table_without_rows_is_refused(small):
    table = small / "table.csv"
    table.write_text(table.read_text("utf-8").splitlines()[0] + "\n", "utf-8")

    with pytest.raises(ValueError, match=r"table\.csv: no row.*test"):
        write_report(small)


def held(page, name):
    """Give the JSON that a page holds."""
    text = page.read_text("utf-8")
    found = re.search(rf'id="{name}">(.*?)</script>', text, flags=re.DOTALL)
    return json.loads(found[1])


def drawn_rows(page, name):
    """Give the whole columns that a chart of the page is drawn from."""
    datasets = held(page, f"chart-{name}")["datasets"].values()
    return max((rows[0] for rows in datasets), key=len)


def write_conditions(root, parts):
    row = row_of("tiny", "mean", "cosine", 0, "one", 0.25)
    rows = [
        row | {"condition": "same", "value": value, "whole_class": whole}
        for value, whole in parts
    ]
    pd.DataFrame(rows).to_csv(root / "conditions.csv", index=False)


def test_values_of_conditions_keep_their_spelling_and_order(small):
    write_conditions(small, [(value, "") for value in ("2", "0010", "(not known)")])
    spelled = ["2", "0010", "(not known)"]

    page = write_report(small)

    assert [row[2] for row in held(page, "rows-parts")["rows"]] == spelled
    columns = drawn_rows(page, "conditions")
    of_place = dict(zip(columns["place"], columns["part"], strict=True))
    assert [of_place[place] for place in sorted(of_place)] == spelled


def test_values_that_borrow_a_class_from_the_whole_list_say_so(small):
    write_conditions(small, [("0", "targets"), ("1", ""), ("2", "nontargets")])
    said = ["0 (with all targets)", "1", "2 (with all non-targets)"]

    page = write_report(small)

    assert [row[2] for row in held(page, "rows-parts")["rows"]] == said
    text = (small / "plots/conditions.svg").read_text("utf-8")
    assert all(f">{part}</text>" in text for part in said)


def test_an_untested_difference_is_called_so_in_the_table(tmp_path):
    rows = [
        row_of("tiny", backend, "cosine", 0, "one", eer)
        for backend, eer in (("mean", 0.1), ("other", 0.2))
    ]
    write_tables(tmp_path, rows, compare=True)
    pairs = pd.read_csv(tmp_path / "comparisons.csv")
    pairs[["low", "high", "p_value", "p_corrected"]] = np.nan
    pairs.to_csv(tmp_path / "comparisons.csv", index=False)

    page = write_report(tmp_path)

    (row,) = held(page, "rows-pairs")["rows"]
    assert row[-3:] == [[10.0, None, None], None, "not tested"]


def test_a_warning_is_found_wherever_it_stands_in_the_logs_of_the_grid(small):
    lines = [f"2026 INFO line {place}" for place in range(3000)]
    early = ["2026 INFO first", "2026 WARNING a frame was lost", *lines]
    write_run(small, "fused", "all", 0, layers=False)
    for path, content in {
        "train/demo/tiny/mean/seed-0.log": early,
        "score/demo/tiny/mean/seed-0/one.log": lines,
        "fuse/demo/all/seed-0/one.log": early,
        "train/demo/tiny/removed/seed-0.log": early,
        "score/demo/tiny/mean/seed-1/one.log": early,
    }.items():
        log = small / "logs" / path
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("\n".join(content) + "\n", "utf-8")

    text = write_report(small).read_text("utf-8")

    found = re.findall(
        r"<summary>([^<]+\.log)(.*?)</summary>\s*<pre[^>]*>(.*?)</pre>",
        text,
        flags=re.DOTALL,
    )
    assert [name for name, _, _ in found] == [
        "train/demo/tiny/mean/seed-0.log",
        "fuse/demo/all/seed-0/one.log",
        "score/demo/tiny/mean/seed-0/one.log",
    ]
    assert ["warning" in alarm for _, alarm, _ in found] == [True, True, False]
    shown = found[0][2].splitlines()
    assert shown == ["2026 WARNING a frame was lost", "...", *lines[-20:]]


def test_metadata_may_be_called_map(small):
    points = {"utterance": ["a", "b"], "speaker": ["s", "t"], "x": 0, "y": [1, 2]}
    path = small / "runs/demo/tiny/mean/seed-0/maps/demo-test.csv"
    path.parent.mkdir()
    pd.DataFrame(points | {"map": ["u", "v"]}).to_csv(path, index=False)

    page = write_report(small)

    assert drawn_rows(page, "maps")["map"] == ["tiny · mean: demo-test"]


def test_the_best_validation_of_a_long_training_is_drawn(small):
    steps = np.arange(1001)
    history = {"step": steps, "loss": 1.0, "valid_eer": 0.3}
    history = pd.DataFrame(history | {"learning_rate": 1e-3})
    history.loc[335, "valid_eer"] = 0.125
    history.to_csv(small / "runs/demo/tiny/mean/seed-0/history.csv", index=False)

    columns = drawn_rows(write_report(small), "training")

    assert columns["best"] == [0.125]
    (steps,), (rates,) = columns["step"], columns["valid_eer"]
    assert len(steps) <= 101
    assert rates[steps.index(335)] == 12.5


def test_the_det_curve_tells_its_own_error(small):
    write_scores(small / "runs/demo/tiny/mean/seed-0/scores/one.csv", 0)

    columns = drawn_rows(write_report(small), "det")

    assert columns["best"] == [0.25]
    assert 40 < columns["eer"][0] < 60


def test_scores_of_the_cosine_are_not_drawn_for_another_scoring(small):
    rows = [row_of("tiny", "mean", one, 0, "one", 0.25) for one in ("cosine", "plda")]
    write_tables(small, rows, compare=False)
    write_scores(small / "runs/demo/tiny/mean/seed-0/scores/one.csv", 2)

    columns = drawn_rows(write_report(small), "det")

    assert columns["system"] == ["cosine"]


def test_a_value_without_bound_leaves_its_cell_empty(small):
    row = row_of("tiny", "mean", "cosine", 0, "one", 0.25) | {"cllr": np.inf}
    write_tables(small, [row], compare=False)

    page = write_report(small)

    columns = held(page, "rows-systems")["columns"]
    place = [column["title"] for column in columns].index("Cllr")
    assert held(page, "rows-systems")["rows"][0][place][0] is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("history.csv", ""),
        ("history.csv", "step,loss\n1,2\n"),
        ("model.json", '{"seed": '),
        ("model.json", "7"),
    ],
)
def test_a_broken_file_of_a_run_is_named_with_the_way_out(small, name, content):
    path = small / "runs/demo/tiny/mean/seed-0" / name
    path.write_text(content, "utf-8")

    with pytest.raises(ValueError, match="delete it and train again") as error:
        write_report(small)

    assert str(error.value).startswith(f"{path}: ")
