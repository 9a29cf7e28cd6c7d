"""Charts: what is drawn, and into which files."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from unipool.charts import (
    condition_chart,
    det_chart,
    det_curve,
    difference_chart,
    empty_chart,
    error_chart,
    histogram,
    layer_chart,
    page_spec,
    save_chart,
    stacked,
)
from unipool.charts.thinning import thinned
from unipool.metrics import SortedTrials


def rates_of(distance=2.0, trials=4000, seed=0):
    generator = np.random.default_rng(seed)
    targets = np.arange(trials) < trials // 4
    scores = generator.normal(size=trials) + distance * targets
    return SortedTrials(scores, targets).error_rates()


def test_a_curve_is_thinned_to_its_corners():
    x = np.array([0.0, 1, 2, 3, 3, 3, 3, 4, 5])
    y = np.array([0.0, 0, 0, 0, 1, 2, 3, 3, 3])

    assert thinned(x, y, count=200).tolist() == [0, 3, 6, 8]


def test_a_thinned_curve_keeps_the_farthest_corner_first():
    x = np.array([0.0, 1, 2, 3, 4])
    y = np.array([0.0, 0.1, 5, 0.2, 0])

    assert thinned(x, y, count=3).tolist() == [0, 2, 4]


def test_a_curve_of_one_or_two_points_stays():
    assert thinned(np.array([1.0]), np.array([1.0]), count=9).tolist() == [0]
    ends = np.array([1.0, 2.0])
    assert thinned(ends, ends, count=9).tolist() == [0, 1]


def test_det_curves_of_many_trials_have_few_points_and_keep_their_shape():
    rates = rates_of(trials=400_000)

    curve = det_curve(rates)

    assert len(curve.p_fa) <= 200
    drawn = np.interp(
        ndtri(np.linspace(0.01, 0.3, 50)),
        ndtri(np.clip(np.array(curve.p_fa) / 100, 1e-4, 1 - 1e-4)),
        ndtri(np.clip(np.array(curve.p_miss) / 100, 1e-4, 1 - 1e-4)),
    )
    # Two normal classes of equal variance: a line of slope -1 between probits.
    assert drawn == pytest.approx(-2 - ndtri(np.linspace(0.01, 0.3, 50)), abs=0.03)


def test_hand_made_rates_are_in_percent_with_their_thresholds():
    rates = SortedTrials(np.array([3.0, 2, 1, 0]), np.array([1, 0, 1, 0], bool))

    curve = det_curve(rates.error_rates())

    points = list(zip(curve.p_miss, curve.p_fa, curve.threshold, strict=True))
    assert points[0] == (100.0, 0.0, None)
    assert (50.0, 50.0, 2.0) in points
    assert points[-1] == (0.0, 100.0, 0.0)


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("a.png", b"\x89PNG"), ("b.SVG", b"<svg"), ("c.pdf", b"%PDF"), ("d.html", b"<!")],
)
def test_a_chart_is_saved_as_its_name_ends(tmp_path, name, beginning):
    chart = det_chart({"änd <b>": rates_of(), "other": rates_of(1.0)})

    save_chart(chart, tmp_path / "new" / name)

    assert (tmp_path / "new" / name).read_bytes().lstrip().startswith(beginning)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


def test_another_ending_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"\.png, \.svg, \.html, \.pdf.*\.jpeg"):
        save_chart(det_chart({"one": rates_of()}), tmp_path / "det.jpeg")
    with pytest.raises(ValueError, match="no ending"):
        save_chart(det_chart({"one": rates_of()}), tmp_path / "det")


def test_the_page_of_a_chart_loads_nothing(tmp_path):
    save_chart(det_chart({"one": rates_of()}), tmp_path / "det.html")

    text = (tmp_path / "det.html").read_text("utf-8")
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=.?(http|//)", text)


def test_the_det_axes_have_the_usual_ticks(tmp_path):
    save_chart(det_chart({"<one> & ü": rates_of()}), tmp_path / "det.svg")

    text = (tmp_path / "det.svg").read_text("utf-8")
    labels = re.findall(r">([^<>]+)</text>", text)
    for tick in ("0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "40"):
        assert labels.count(tick) == 2
    assert "&lt;one&gt; &amp; ü" in text


def test_systems_beyond_the_colours_are_left_out_worst_first(tmp_path):
    systems = {f"system {place}": rates_of(1 + place / 5) for place in range(12)}

    save_chart(det_chart(systems), tmp_path / "det.svg")

    text = (tmp_path / "det.svg").read_text("utf-8")
    drawn = set(re.findall(r">system (\d+)</text>", text))
    assert drawn == {str(place) for place in range(4, 12)}


def test_systems_of_one_error_are_no_more_than_the_colours(tmp_path):
    rates = rates_of()

    save_chart(
        det_chart({f"system {n:02}": rates for n in range(12)}), tmp_path / "d.svg"
    )

    text = (tmp_path / "d.svg").read_text("utf-8")
    drawn = set(re.findall(r">system (\d+)</text>", text))
    assert drawn == {f"{place:02}" for place in range(8)}


def errors(systems, lists=("first", "second")):
    return pd.DataFrame(
        [
            {
                "trials": trials,
                "metric": "eer",
                "title": "EER",
                "system": f"system {place}",
                "groups": ["the best"],
                "value": 1.0 + place,
                "low": 0.5 + place,
                "high": 2.0 + place,
                "text": f"{1 + place}.00 %",
                "seeds": [],
            }
            for trials in lists
            for place in range(systems)
        ]
    )


def test_the_best_systems_stand_on_top(tmp_path):
    table = errors(50).sample(frac=1, random_state=0)

    save_chart(error_chart(table, fixed={"trials": "second"}), tmp_path / "e.svg")

    text = (tmp_path / "e.svg").read_text("utf-8")
    rows = re.findall(r'translate\(0,([\d.]+)\)"[^>]*>system (\d+)</text>', text)
    in_order = [int(place) for _, place in sorted(rows, key=lambda row: float(row[0]))]
    assert in_order == list(range(30))


def test_a_chart_on_a_page_lets_choose_only_among_several():
    both = page_spec(error_chart(errors(2)))
    one = page_spec(error_chart(errors(2, lists=["first"])))

    assert [p["bind"]["options"] for p in both["params"]] == [["first", "second"]]
    assert "params" not in one


def test_each_table_is_in_a_chart_once():
    spec = page_spec(error_chart(errors(40)))

    assert len(spec["datasets"]) == 1
    assert str(spec).count("system 7") == 2  # one for each trial list


def test_conditions_without_an_interval_are_drawn(tmp_path):
    table = errors(2).assign(
        condition="gender", part="f", place=0, num_trials=9, best=1.0
    )
    table = table.assign(low=np.nan, high=np.nan)

    save_chart(condition_chart(table, fixed={}), tmp_path / "c.svg")

    assert ">f</text>" in (tmp_path / "c.svg").read_text("utf-8")


def test_conditions_stand_in_their_order(tmp_path):
    bands = ["2-5", "5-10", "10-20"]
    table = pd.concat(
        errors(2).assign(condition="s", part=part, place=place, num_trials=9, best=1.0)
        for place, part in enumerate(bands)
    )

    save_chart(condition_chart(table, fixed={}), tmp_path / "c.svg")

    text = (tmp_path / "c.svg").read_text("utf-8")
    found = re.findall(r'translate\([-\d.]+,([\d.]+)\)"[^>]*>(\d+-\d+)</text>', text)
    assert [part for _, part in sorted(found, key=lambda one: float(one[0]))] == bands


def test_a_difference_that_was_not_tested_is_no_real_one(tmp_path):
    pair = {"trials": "one", "metric": "eer", "title": "EER (%)", "first": "best"}
    tested = {"difference": 2.0, "low": 1.0, "high": 3.0, "p": 0.01}
    untested = {"difference": 1.0, "low": np.nan, "high": np.nan, "p": np.nan}
    pairs = [
        {**pair, "second": "tested", **tested},
        {**pair, "second": "untested", **untested},
    ]

    save_chart(difference_chart(pd.DataFrame(pairs), fixed={}), tmp_path / "d.svg")

    text = (tmp_path / "d.svg").read_text("utf-8")
    assert ">+2.00 [+1.00, +3.00]</text>" in text
    assert ">+1.00</text>" in text
    verdicts = dict(re.findall(r"system: (\w+); verdict: ([^;\"]+)", text))
    assert verdicts == {"tested": "a real difference", "untested": "not told apart"}
    assert text.count('aria-roledescription="rule mark"') == 2  # zero, one interval


def test_the_interval_of_a_single_layer_is_seen(tmp_path):
    rows = [
        {"run": run, "groups": [""], "best": 1.0, "layer": layer, "value": 0.5}
        for run, layers in (("one", 1), ("three", 3))
        for layer in range(layers)
    ]
    table = pd.DataFrame(rows).assign(low=0.4, high=0.6)

    save_chart(layer_chart(table, fixed={}), tmp_path / "l.svg")

    text = (tmp_path / "l.svg").read_text("utf-8")
    assert text.count('aria-roledescription="rule mark"') == 1


def test_names_with_control_characters_are_drawn(tmp_path):
    table = errors(2, lists=["a\x01", "b\x02"]).assign(
        condition="by\x0bsex", part="f\x00\u2028m", place=0, num_trials=9, best=1.0
    )
    table["system"] += "\x7f"

    save_chart(
        condition_chart(table, fixed={"trials": "b\x02"}), tmp_path / "odd\u2028.svg"
    )

    root = ET.fromstring((tmp_path / "odd\u2028.svg").read_text("utf-8"))
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"EER, by by\ufffdsex", "f\ufffd\ufffdm", "system 0\ufffd"} <= {*texts}
    options = page_spec(error_chart(table))["params"][0]["bind"]["options"]
    assert options == ["a\ufffd", "b\ufffd"]


def test_histograms_of_both_classes_have_area_one():
    scores = np.array([0.0, 0.0, 1.0, 3.0])

    found = histogram(scores, np.array([False, False, True, True]))

    assert sum(found["target"]) * found["width"] == pytest.approx(1)
    assert sum(found["non-target"]) * found["width"] == pytest.approx(1)
    assert found["start"] == 0.0
    assert found["non-target"][0] * found["width"] == pytest.approx(1)


def test_equal_scores_have_a_histogram():
    found = histogram(np.ones(4), np.array([True, True, False, False]))

    assert sum(found["target"]) * found["width"] == pytest.approx(1)


def test_an_empty_chart_says_why(tmp_path):
    save_chart(stacked([empty_chart("No <scores>.")]), tmp_path / "none.svg")

    assert "No &lt;scores&gt;." in (tmp_path / "none.svg").read_text("utf-8")
