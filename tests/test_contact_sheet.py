"""The contact sheet: every picture is on it, with its caption under it and nothing cut off."""

import numpy as np
import pytest
from PIL import Image, ImageFont

from fsynth import contact_sheet

RED, BLUE = (200, 20, 20), (20, 20, 200)


def patches(sheet, color):
    return int((np.abs(np.asarray(sheet).astype(int) - color).max(axis=2) < 4).sum())


@pytest.mark.parametrize("number", [1, 2, 7, 24])
def test_every_picture_has_its_place(number):
    pictures = [Image.new("RGB", (32, 32), RED)] * (number - 1) + [Image.new("RGB", (32, 32), BLUE)]
    sheet = contact_sheet.draw(pictures, ["a red dress."] * number, "title", "subtitle")
    assert patches(sheet, BLUE) == 224 * 224 and patches(sheet, RED) == (number - 1) * 224 * 224


def test_proportions_are_kept():
    sheet = contact_sheet.draw([Image.new("RGB", (50, 100), RED)], ["tall"], "title")
    columns = (np.abs(np.asarray(sheet).astype(int) - RED).max(axis=2) < 4).any(axis=0).sum()
    assert columns == 112


def test_a_caption_is_wrapped_within_its_width_and_cut_with_an_ellipsis():
    font = ImageFont.load_default(14)
    lines = contact_sheet.wrapped("the lady is wearing a red dress " * 9 + "x" * 90, font, 224, 4)
    assert len(lines) == 4 and lines[-1].endswith("…")
    assert max(font.getlength(line) for line in lines) <= 224
    whole = contact_sheet.wrapped("one two three " + "y" * 60, font, 224, 4)
    assert "".join(whole).replace(" ", "") == "onetwothree" + "y" * 60


def test_a_long_title_widens_the_sheet():
    sheet = contact_sheet.draw([Image.new("RGB", (8, 8))], ["x"], "a very long model name " * 5)
    assert sheet.width > 900
