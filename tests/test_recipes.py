import pytest

from objectscan.errors import BadRecipe
from objectscan.recipes import recipe_for


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape.steps": [10]}, r"shape\.steps \[10\].*|levels don't match"),
        ({"shape.steps": [], "shape.resolutions": [], "shape.image_edges_px": []}, "levels don't match"),
        ({"shape.resolutions": [64, 0]}, r"shape\.resolutions is \[64, 0\]"),
        ({"shape.image_edges_px": [128, "256"]}, r"shape\.image_edges_px is \[128, '256'\]"),
        ({"budget.face": 10}, "no option 'budget.face'"),
        ({"budget.faces": -5}, "below 0"),
        ({"budget": 3}, "is a group"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_with_its_value(change, words):
    with pytest.raises(BadRecipe, match=words):
        recipe_for("standard", change)


def test_lists_of_levels_may_change_together():
    recipe = recipe_for(
        "preview", {"shape.resolutions": [32], "shape.image_edges_px": [64], "shape.steps": [5]}
    )
    assert recipe.shape.steps == (5,) and recipe.shape.resolutions == (32,)
