"""Who trains and who is tested: every example once, groups whole, classes alike in every fold."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnx._errors import DtypeError
from snnx.data import from_currents, from_spikes, k_fold, leave_one_out, leave_out


def numbered(targets, classes=None, **meta):
    """A data set whose example `i` is the number `i` in bits."""
    numbers = np.arange(len(targets))
    spikes = numbers[:, None, None] >> np.arange(12) & 1
    return from_spikes(spikes.astype(np.uint8), targets, sample_shape=(12,), layout="bits", classes=classes, meta=meta)


def who(data):
    """The numbers of the examples of a part, read from its inputs."""
    return [int(low) + 256 * int(high) for low, high in np.asarray(data.inputs.packed)[:, 0]]


SPEAKERS = ["kim", "ada", "kim", "lee", "ada", "kim", "kim"]
DATA = numbered([0, 1, 0, 1, 0, 1, 1], speaker=SPEAKERS, room=[7, 7, 3, 3, 3, 9, 7])


def test_groups_left_out_are_in_the_second_part_alone():
    train, test = leave_out(DATA, "speaker", ["kim"])
    assert (who(train), who(test)) == ([1, 3, 4], [0, 2, 5, 6])
    train, test = leave_out(DATA, "room", [9, 3, 9])
    assert (who(train), who(test)) == ([0, 1, 6], [2, 3, 4, 5])
    np.testing.assert_array_equal(test.targets, [0, 1, 0, 1])
    np.testing.assert_array_equal(test.meta["room"], [3, 3, 3, 9])
    names = dict(test.meta_names)["speaker"]
    assert [names[i] for i in np.asarray(test.meta["speaker"])] == ["kim", "lee", "ada", "kim"]
    assert train.classes == test.classes == ("0", "1")


def test_a_part_can_be_divided_again():
    rest, _ = leave_out(DATA, "speaker", ["kim"])
    train, test = leave_out(rest, "speaker", ["lee"])
    assert (who(train), who(test)) == ([1, 4], [3])
    with pytest.raises(ValueError, match="'kim'.*ada, lee"):
        leave_out(rest, "speaker", ["kim"])


def test_each_group_is_left_out_once():
    found = [(name, who(train), who(test)) for name, train, test in leave_one_out(DATA, "speaker")]
    assert found == [
        ("ada", [0, 2, 3, 5, 6], [1, 4]),
        ("kim", [1, 3, 4], [0, 2, 5, 6]),
        ("lee", [0, 1, 2, 4, 5, 6], [3]),
    ]
    assert [name for name, *_ in leave_one_out(DATA, "room")] == [3, 7, 9]


@settings(max_examples=5)  # each compiles a few gathers of its own
@given(
    st.lists(st.integers(0, 3), min_size=25, max_size=25),
    st.sampled_from([2, 3]),
    st.integers(0, 99),
)
def test_folds_are_disjoint_complete_and_stratified(labels, folds, seed):
    data = numbered(labels, classes=["a", "b", "c", "d"])
    parts = list(k_fold(data, folds, key=jax.random.key(seed)))
    assert len(parts) == folds
    tested = [who(test) for _, test in parts]
    assert sorted(itertools.chain(*tested)) == list(range(len(labels)))
    for (train, _), test in zip(parts, tested, strict=True):
        assert sorted(who(train) + test) == list(range(len(labels)))
    sizes = [len(test) for test in tested]
    assert max(sizes) - min(sizes) <= 1
    for label in range(4):
        counts = [sum(labels[i] == label for i in test) for test in tested]
        assert max(counts) - min(counts) <= 1


@settings(max_examples=5)
@given(st.lists(st.integers(0, 5), min_size=20, max_size=20), st.integers(2, 6), st.integers(0, 99))
def test_groups_are_never_torn(groups, folds, seed):
    folds = min(folds, len(set(groups)))
    if folds < 2:
        return
    data = numbered([0] * len(groups), room=groups)
    tested = [who(test) for _, test in k_fold(data, folds, key=jax.random.key(seed), by="room")]
    assert sorted(itertools.chain(*tested)) == list(range(len(groups)))
    rooms = [{groups[i] for i in test} for test in tested]
    assert sum(map(len, rooms)) == len(set(groups))
    assert all(rooms)
    # Dealt out with the largest first, to the fold with fewest: no fold is larger than another by more than a group.
    sizes = [len(test) for test in tested]
    assert max(sizes) - min(sizes) <= max(groups.count(room) for room in groups)


def test_the_largest_groups_go_where_there_are_fewest():
    rooms = [4] * 6 + [2] * 5 + [8] * 4 + [1] * 3 + [5] * 2
    tested = [
        {rooms[i] for i in who(test)}
        for _, test in k_fold(numbered([0] * 20, room=rooms), 3, key=jax.random.key(0), by="room")
    ]
    assert tested == [{4}, {2, 5}, {8, 1}]  # 6; 5 + 2; 4 + 3


@pytest.mark.parametrize("by", [None, "room"])
def test_the_key_decides(by):
    data = numbered([0, 1] * 12, room=list(range(12)) * 2)

    def folds(seed):
        return [who(test) for _, test in k_fold(data, 3, key=jax.random.key(seed), by=by)]

    assert folds(0) == folds(0)
    assert len({str(folds(seed)) for seed in range(5)}) == 5


def test_regression_is_folded_without_classes():
    targets = np.linspace(0, 1, 7)[:, None]
    data = from_currents(np.arange(7.0)[:, None, None], targets, sample_shape=(1,))
    tested = [np.asarray(test.inputs.values).ravel().tolist() for _, test in k_fold(data, 3, key=jax.random.key(1))]
    assert sorted(map(len, tested)) == [2, 2, 3]
    assert sorted(itertools.chain(*tested)) == list(range(7))


KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda: leave_out(DATA, "speakers", ["kim"]), ValueError, "leave_out: .*'speakers'.*'speaker'"),
        (lambda: leave_out(DATA, "speaker", ["Kim"]), ValueError, "leave_out: .*'Kim'.*'kim'"),
        (lambda: leave_out(DATA, "room", [4]), ValueError, "leave_out: .*room.*'4'"),
        (lambda: leave_out(DATA, "speaker", "kim"), TypeError, "leave_out: groups"),
        (lambda: leave_out(DATA, "room", 3), TypeError, "leave_out: groups"),
        (lambda: leave_out(DATA, "room", [0.5]), TypeError, "leave_out: groups"),
        (lambda: leave_out(DATA, "room", []), ValueError, "leave_out: groups"),
        (lambda: leave_out(DATA, "room", [9, 7, 3]), ValueError, "leave_out: groups"),
        (lambda: leave_out(DATA.inputs, "room", [9]), TypeError, "leave_out: data"),
        (lambda: leave_one_out(DATA, "place"), ValueError, "leave_one_out: .*'place'"),
        (lambda: leave_one_out(numbered([0, 0], room=[5, 5]), "room"), ValueError, "leave_one_out: .*room"),
        (lambda: leave_one_out(np.ones(3), "room"), TypeError, "leave_one_out: data"),
        (lambda: leave_out(numbered([0]), "room", [5]), ValueError, "leave_out: .*'room'"),
        (lambda: k_fold(DATA, 1, key=KEY), ValueError, "k_fold: folds"),
        (lambda: k_fold(DATA, 2.0, key=KEY), TypeError, "k_fold: folds"),
        (lambda: k_fold(DATA, True, key=KEY), TypeError, "k_fold: folds"),
        (lambda: k_fold(DATA, 8, key=KEY), ValueError, "k_fold: folds"),
        (lambda: k_fold(np.ones((4, 3)), 2, key=KEY), TypeError, "k_fold: data"),
        (lambda: k_fold(DATA, 4, key=KEY, by="room"), ValueError, "k_fold: folds.*'room'"),
        (lambda: k_fold(DATA, 2, key=KEY, by="rom"), ValueError, "k_fold: .*'rom'.*'room'"),
        (lambda: k_fold(DATA, 2, key=0), TypeError, "k_fold: key"),
        (lambda: numbered([0, 1], room=[0.5, 1.0]), DtypeError, r"meta\['room'\]"),
    ],
)
def test_what_cannot_be_divided_is_refused_at_once(call, error, named):
    with pytest.raises(error, match=rf"{named}"):
        call()
