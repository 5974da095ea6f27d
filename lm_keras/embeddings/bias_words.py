"""Word sets of three tests of Caliskan, Bryson and Narayanan (2017), for `weat(vectors, *WEAT_TESTS[name])`."""

from typing import NamedTuple


class WeatTest(NamedTuple):
    """The two sets of targets and the two of attributes, in the order of `weat`; what they go with first."""

    targets_x: tuple[str, ...]
    targets_y: tuple[str, ...]
    attributes_a: tuple[str, ...]
    attributes_b: tuple[str, ...]


def _test(*lists):
    return WeatTest(*(tuple(words.split()) for words in lists))


WEAT_TESTS = {
    # Test 1: flowers and insects, pleasant and unpleasant. Published for GloVe 840B 300d: effect size 1.50.
    "flowers-insects": _test(
        "aster clover hyacinth marigold poppy azalea crocus iris orchid rose bluebell daffodil lilac pansy tulip "
        "buttercup daisy lily peony violet carnation gladiola magnolia petunia zinnia",
        "ant caterpillar flea locust spider bedbug centipede fly maggot tarantula bee cockroach gnat mosquito "
        "termite beetle cricket hornet moth wasp blackfly dragonfly horsefly roach weevil",
        "caress freedom health love peace cheer friend heaven loyal pleasure diamond gentle honest lucky rainbow "
        "diploma gift honor miracle sunrise family happy laughter paradise vacation",
        "abuse crash filth murder sickness accident death grief poison stink assault disaster hatred pollute "
        "tragedy divorce jail poverty ugly cancer kill rotten vomit agony prison",
    ),
    # Test 6: male and female names, career and family. Published: 1.81.
    "career-family": _test(
        "John Paul Mike Kevin Steve Greg Jeff Bill",
        "Amy Joan Lisa Sarah Diana Kate Ann Donna",
        "executive management professional corporation salary office business career",
        "home parents children family cousins marriage wedding relatives",
    ),
    # Test 7: mathematics and arts, male and female terms. Published: 1.06.
    "maths-arts": _test(
        "math algebra geometry calculus equations computation numbers addition",
        "poetry art dance literature novel symphony drama sculpture",
        "male man boy brother he him his son",
        "female woman girl sister she her hers daughter",
    ),
}
