"""Scored trials are measured: whole, by condition, and one system against another."""

import numpy as np
import pandas as pd
import pytest

from unipool.as_published import published_eer
from unipool.comparing import compare
from unipool.measuring import interval_of, measure, measure_conditions
from unipool.metrics import SortedTrials, act_dcf, cllr, eer, eer_star, min_cllr

SPEAKER_OF = pd.Series(
    {f"s{i:02d}/{j}": f"s{i:02d}" for i in range(12) for j in range(4)}
)


def scored(*, shift=2.0, seed=0, count=600):
    """Score pairs of 12 speakers; odd speakers are of another gender than even ones."""
    generator = np.random.default_rng(seed)
    first, second = np.triu_indices(len(SPEAKER_OF), 1)
    chosen = np.random.default_rng(0).permutation(len(first))[:count]
    names = SPEAKER_OF.index.to_numpy()
    trials = pd.DataFrame(
        {"enrolment": names[first[chosen]], "test": names[second[chosen]]}
    )
    sides = trials["enrolment"].map(SPEAKER_OF), trials["test"].map(SPEAKER_OF)
    trials["target"] = (sides[0] == sides[1]).astype(int)
    odd = [side.str[1:].astype(int) % 2 for side in sides]
    trials["same_gender"] = (odd[0] == odd[1]).astype(int).astype(str)
    trials["score"] = 0.1 * (generator.normal(size=count) + shift * trials["target"])
    return trials


def rates_of(trials, column="score"):
    return SortedTrials(
        trials[column].to_numpy(), trials["target"].to_numpy(bool)
    ).error_rates()


def test_every_metric_is_given_with_its_interval_and_its_draws():
    trials = scored().assign(llr=lambda table: 20 * table["score"] - 2)

    values, draws = measure(
        trials, SPEAKER_OF, threshold=0.1, p_targets=[0.2], draws=40, published=True
    )

    expected = {
        "eer": eer(rates_of(trials)),
        "min_cllr": min_cllr(rates_of(trials)),
        "eer_star": eer_star(rates_of(trials), threshold=0.1),
        "act_dcf_p2": act_dcf(rates_of(trials, "llr"), p_target=0.2),
        "cllr": cllr(rates_of(trials, "llr")),
        "published_eer": published_eer(
            rates_of(trials.assign(score=trials["score"].clip(0, 1)))
        ),
    }
    assert {name: values[name] for name in expected} == expected
    assert values["num_trials"] == 600
    assert values["num_targets"] == trials["target"].sum()
    assert values["num_speakers"] == 12
    assert {*draws} == {*expected, "min_dcf_p2", "published_min_dcf"}
    assert len(draws) == 40
    for name in draws:
        assert values[f"{name}_low"] < values[name] < values[f"{name}_high"]


def test_without_a_threshold_or_ratios_there_is_no_metric_of_them():
    assert [*measure(scored(), SPEAKER_OF, draws=2).draws] == [
        "eer",
        "min_dcf_p01",
        "min_dcf_p05",
        "min_cllr",
    ]


def test_an_interval_ends_where_the_metric_does():
    """A rate at 1, the published cost at 0.01; other costs have no end."""
    draws = np.random.default_rng(0).uniform(0.5, 1, size=(100, 1))

    def end(name, share=1.0):
        return interval_of(name, np.array([0.9 * share]), draws * share, 5)[2]

    assert end("eer") == end("min_cllr") == 1
    assert end("published_min_dcf", 0.01) == pytest.approx(0.01)
    assert end("cllr") > 1
    assert end("act_dcf_p01") > 1


def test_only_an_actual_cost_may_be_far_from_its_draws():
    def end(name, draws):
        return interval_of(name, np.array([draws.mean()]), draws, 40)[2]

    skewed = 0.02 * np.tile([1.0] * 9 + [6.0], 20)[:, None]
    names = ("eer", "min_dcf_p01", "min_cllr", "eer_star", "published_eer_star")
    usual = {end(name, skewed) for name in names}
    actual = {end(name, skewed) for name in ("act_dcf_p01", "act_dcf_p05")}
    assert len(usual) == len(actual) == 1
    assert max(actual) > 1.1 * max(usual)


def test_the_scale_of_cllr_is_its_own():
    """Student's interval of draws that spread alike to both sides."""
    draws = np.tile([0.4, 0.6], 50)[:, None]

    _, low, high = interval_of("cllr", np.array([0.5]), draws, 40)

    assert (low, high) == pytest.approx((0.5 - 0.20227, 0.5 + 0.20227), abs=1e-4)


def test_draws_are_the_same_whatever_the_order_of_the_trials():
    trials = scored()
    mixed = trials.sample(frac=1, random_state=0)

    assert measure(trials, SPEAKER_OF, draws=20).draws.equals(
        measure(mixed, SPEAKER_OF, draws=20).draws
    )


def test_the_published_cost_is_a_hundredth_with_its_interval():
    values = measure(scored(), SPEAKER_OF, published=True, draws=40).values
    perfect = scored().assign(score=lambda table: table["target"] / 2)
    without_error = measure(perfect, SPEAKER_OF, published=True, draws=40).values

    for one in (values, without_error):
        for end in ("", "_low", "_high"):
            assert one[f"published_min_dcf{end}"] == pytest.approx(
                one[f"min_dcf_p01{end}"] / 100, rel=1e-6
            )


def test_too_few_speakers_leave_rates_without_intervals():
    trials = scored()
    few = trials[(trials[["enrolment", "test"]] < "s02").all(axis=1)]

    values, draws = measure(few, SPEAKER_OF, draws=20)

    assert values["num_speakers"] == 2
    assert 0 <= values["eer"] <= 1
    assert np.isnan(values["eer_low"])
    assert draws.empty


@pytest.mark.parametrize("p_target", [0, 1, -0.1, 5])
def test_a_prior_is_between_zero_and_one(p_target):
    with pytest.raises(ValueError, match="a prior is between 0 and 1"):
        measure(scored(), SPEAKER_OF, p_targets=[p_target])


def test_an_utterance_without_a_speaker_is_an_error():
    with pytest.raises(ValueError, match=r"utterances have no speaker, .* known are"):
        measure(scored(), SPEAKER_OF[:-5])


def test_a_value_without_targets_is_measured_with_all_of_them():
    trials = scored()

    other, same = measure_conditions(
        trials, SPEAKER_OF, conditions=["same_gender"], draws=20
    )

    part = trials[(trials["target"] == 1) | (trials["same_gender"] == "0")]
    assert (other["condition"], other["value"], other["whole_class"]) == (
        "same_gender",
        "0",
        "targets",
    )
    assert other["eer"] == eer(rates_of(part))
    assert other["num_trials"] == len(part)
    assert other["eer_low"] < other["eer"] < other["eer_high"]
    assert (same["value"], same["whole_class"]) == ("1", "")
    assert same["num_trials"] == (trials["same_gender"] == "1").sum()


def test_a_value_without_nontargets_is_measured_with_all_of_them():
    trials = scored().assign(session=lambda table: table["target"].map({1: "x", 0: ""}))

    of_session, not_known = measure_conditions(
        trials, SPEAKER_OF, conditions=["session"], draws=0
    )

    assert of_session["whole_class"] == "nontargets"
    assert not_known["value"] == "(not known)"
    assert of_session["eer"] == not_known["eer"] == eer(rates_of(trials))


def test_every_condition_has_its_rows_and_the_options_hold_for_all():
    trials = scored()
    trials["seconds"] = np.random.default_rng(1).random(len(trials)).astype(str)
    trials["file"] = [f"f{i}" for i in range(len(trials))]

    rows = measure_conditions(
        trials,
        SPEAKER_OF,
        conditions=["same_gender", "seconds", "file"],
        draws=5,
        threshold=0.1,
    )

    assert [row["condition"] for row in rows] == ["same_gender"] * 2 + ["seconds"] * 4
    assert sum(row["num_trials"] for row in rows[2:]) == len(trials)
    assert all("eer_star" in row for row in rows)


def test_systems_are_compared_on_the_same_draws():
    first = scored()
    second = first.assign(score=first["score"] + 0.01 * scored(seed=5)["score"])
    other = scored(seed=7)

    table = compare(
        {"first": first, "second": second.iloc[::-1], "other": other},
        SPEAKER_OF,
        draws=60,
    )

    of_eer = table[table["metric"] == "eer"].set_index(["first", "second"])
    near, far = of_eer.loc["first", "second"], of_eer.loc["first", "other"]
    assert near["first_value"] == measure(first, SPEAKER_OF, draws=0).values["eer"]
    assert near["difference"] == near["second_value"] - near["first_value"]
    assert near["high"] - near["low"] < 0.3 * (far["high"] - far["low"])
    assert (of_eer["p_corrected"] >= of_eer["p_value"]).all()
    assert "cllr" not in set(table["metric"])


def test_ratios_are_compared_when_all_systems_have_them():
    first = scored().assign(llr=lambda table: 20 * table["score"] - 2)
    second = first.assign(llr=first["llr"] + 1)

    table = compare({"a": first, "b": second}, SPEAKER_OF, draws=20)

    (row,) = table[table["metric"] == "cllr"].to_dict("records")
    assert row["difference"] > 0
    assert set(table.loc[table["metric"] == "eer", "difference"]) == {0}


@pytest.mark.parametrize(
    "change", [lambda t: t[:-3], lambda t: t.assign(target=1 - t["target"])]
)
def test_other_trials_are_not_compared(change):
    with pytest.raises(ValueError, match="compare scores of the same list"):
        compare({"a": scored(), "b": change(scored())}, SPEAKER_OF, draws=2)


def test_published_values_are_of_clamped_cosines():
    below_zero = scored().assign(score=lambda table: table["score"] - 2)

    values = measure(below_zero, SPEAKER_OF, published=True, draws=0).values

    assert values["published_eer"] == 0.5
    assert values["eer"] < 0.3


def test_ratios_that_one_system_lacks_are_not_compared():
    first = scored()

    table = compare({"a": first.assign(llr=first["score"]), "b": first}, SPEAKER_OF)

    assert set(table["metric"]) == {"eer", "min_dcf_p01", "min_dcf_p05", "min_cllr"}
