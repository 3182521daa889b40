"""Talk to a person."""

from fsynth.console import counted


def test_numbers_agree_with_their_nouns():
    assert [counted(number, "step") for number in (0, 1, 2, 2000)] == [
        "no steps",
        "1 step",
        "2 steps",
        "2,000 steps",
    ]
