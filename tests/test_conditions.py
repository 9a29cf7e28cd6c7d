"""Columns of a trial list become conditions."""

import logging

import numpy as np
import pandas as pd

from unipool.conditions import values_of


def shown(*values):
    found = values_of(pd.Series(values, name="column"))
    return list(found.categories), list(found)


def test_texts_are_themselves_and_the_empty_one_is_not_known():
    order, values = shown("f", "", "m", "f")

    assert order == ["f", "m", "(not known)"]
    assert values == ["f", "(not known)", "m", "f"]


def test_few_numbers_are_themselves_in_their_order():
    assert shown("10", "9", "1", "9")[0] == ["1", "9", "10"]


def test_many_numbers_are_cut_at_their_quartiles():
    seconds = np.arange(1, 101) / 10

    found = values_of(pd.Series([*seconds.astype(str), ""]))

    assert list(found.categories) == [
        "0.10-2.60",
        "2.60-5.10",
        "5.10-7.60",
        "7.60-10.00",
        "(not known)",
    ]
    assert np.bincount(found.codes).tolist() == [25, 25, 25, 25, 1]


def test_the_upper_end_belongs_to_the_next_band_but_for_the_last():
    found = values_of(pd.Series(np.arange(13)))

    assert list(found.categories) == ["0-3", "3-6", "6-9", "9-12"]
    assert found[3] == "3-6"
    assert found[12] == "9-12"


def test_bands_of_few_different_quartiles_are_fewer():
    numbers = [0.0] * 80 + [*range(1, 21)]

    assert shown(*numbers)[0] == ["0-20"]


def test_close_numbers_have_as_many_decimals_as_tell_them_apart():
    order, _ = shown(*(0.5 + np.arange(12) / 1e4))

    assert len(set(order)) == 4
    assert order[0].startswith("0.5000-")


def test_numbers_below_zero_are_not_joined_by_a_dash():
    assert shown(*range(-6, 7))[0][0] == "-6 to -3"


def test_a_column_of_names_is_left_out_and_told(caplog):
    with caplog.at_level(logging.WARNING):
        order, values = shown(*(f"file-{i}" for i in range(51)))

    assert order == []
    assert all(pd.isna(value) for value in values)
    assert "column: 51 different values, more than 50" in caplog.text


def test_no_band_is_empty_where_values_lie_in_heaps():
    numbers = np.concatenate(
        [np.arange(100) / 100, np.full(150, 2.0), 3 + np.arange(150) / 100]
    )

    values = values_of(pd.Series(numbers, name="seconds"))

    assert (values.value_counts() > 0).all()
    assert values.value_counts().sum() == 400
