"""Places: whose word counts follows from what was seen, and not from the order in which it was learnt."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from billing.fleet.place import Place, homes, joined

WINDOW = (0, 100)
found = st.builds(
    lambda start, length, source, host: Place(start, start + length, source, host, f"{host}:9400"),
    st.integers(-50, 130),
    st.integers(1, 60),
    st.sampled_from("abc"),
    st.sampled_from(["n1", "n2"]),
)


def of_one_source(places: list[Place]) -> list[Place]:
    return joined(place._replace(source="a") for place in places)


@given(st.lists(found, max_size=8).map(of_one_source), st.lists(found, max_size=4), st.randoms())
def test_the_order_of_learning_changes_nothing(mine: list[Place], others: list[Place], random: object) -> None:
    places = [*mine, *others]
    wanted = homes(places, WINDOW)
    random.shuffle(places)  # type: ignore[attr-defined]
    assert homes(places, WINDOW) == wanted


@given(st.lists(found, min_size=1, max_size=8))
def test_homes_tile_the_window_and_name_the_last_place(places: list[Place]) -> None:
    result = homes(places, WINDOW)
    assert (result[0][0], result[-1][1]) == WINDOW
    assert all(one[1] == following[0] and one[2] != following[2] for one, following in pairwise(result))
    for at in range(*WINDOW):
        whose = next(place for start, end, place in result if start <= at < end)
        begun = [place for place in places if place.start <= at]
        if begun:
            assert whose in begun and whose.end == max(place.end for place in begun)
        else:
            assert whose.start == min(place.start for place in places)


@given(st.lists(found, max_size=8))
def test_joined_places_say_of_each_second_what_the_last_one_said(places: list[Place]) -> None:
    mine = [place._replace(source="a") for place in places]
    result = joined(mine)
    for at in range(-60, 200):
        said = [place.spot for place in mine if place.start <= at < place.end]
        now = [place.spot for place in result if place.start <= at < place.end]
        assert now == ([said[-1]] if said else [])
    assert all(one.end < following.start or one.spot != following.spot for one, following in pairwise(result))


def test_a_gpu_that_nobody_ever_saw_has_no_home() -> None:
    assert homes([], WINDOW) == []
