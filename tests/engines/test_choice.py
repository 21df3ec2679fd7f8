from __future__ import annotations

import pytest

from objectscan.engines.choice import PhotoSupport, choose_engine
from objectscan.engines.reconviagen.catalogue import CATALOGUE, collections_here
from objectscan.errors import MissingWeights

FULL, FREE = CATALOGUE.collections
MANY = PhotoSupport(photos=36, registered=34, cameras="good", largest_gap_deg=20)
FEW = PhotoSupport(photos=8, registered=8, cameras="given", largest_gap_deg=50)
LOOSE = PhotoSupport(photos=30, registered=0, cameras="none")


@pytest.mark.parametrize("weights", [(), (FULL, FREE)])
def test_many_well_registered_photos_are_optimised_with_or_without_weights(weights):
    choice = choose_engine(MANY, weights)
    assert (choice.engine, choice.collection) == ("nvdiffrec", None)
    assert choice.reason == "34 of 36 photos with cameras found, no gap above 20 degrees"


@pytest.mark.parametrize(
    ("support", "words"),
    [
        (FEW, "only 8 photos have cameras, and 12 are needed"),
        (LOOSE, "no trusted cameras for 30 photos"),
        (PhotoSupport(1, 0, "none"), "no trusted cameras for 1 photo;"),
        (PhotoSupport(30, 25, "bad", 20), "no trusted cameras for 30 photos"),
        (PhotoSupport(30, 9, "good", 20), "only 9 of 30 photos have cameras"),
    ],
)
def test_few_or_unregistrable_photos_are_generated_from_if_the_weights_are_here(support, words):
    choice = choose_engine(support, (FULL, FREE))
    assert (choice.engine, choice.collection) == ("reconviagen", "reconviagen")
    assert words in choice.reason


@pytest.mark.parametrize("weights", [(), (FULL, FREE)])
def test_many_photos_of_one_side_are_optimised_and_the_other_side_is_called_a_guess(weights):
    choice = choose_engine(PhotoSupport(50, 50, "given", 270), weights)
    assert choice.engine == "nvdiffrec"
    assert "none for 270 degrees of the way around: that side stays a guess" in choice.reason


def test_commercial_use_takes_the_permissive_weights():
    assert choose_engine(FEW, (FULL, FREE), commercial=True).collection == "trellis"
    assert choose_engine(FEW, (FREE,), commercial=False).collection == "trellis"


def test_few_photos_all_around_are_still_optimised_without_weights():
    choice = choose_engine(FEW, ())
    assert choice.engine == "nvdiffrec" and "no weights" in choice.reason


@pytest.mark.parametrize("support", [LOOSE, PhotoSupport(5, 5, "given", 72), PhotoSupport(30, 25, "bad", 20)])
def test_without_weights_hopeless_photos_get_an_error_that_says_what_to_do(support):
    with pytest.raises(MissingWeights) as caught:
        choose_engine(support, ())
    assert "24 to 36 photos" in caught.value.hint
    assert "objectscan models pull reconviagen" in caught.value.hint


def test_weights_that_may_not_be_used_commercially_do_not_count():
    with pytest.raises(MissingWeights, match=r"not installed for commercial use \(only 'reconviagen'\)") as e:
        choose_engine(LOOSE, (FULL,), commercial=True)
    assert "models pull trellis" in e.value.hint


def test_a_collection_is_here_only_with_all_its_files(tmp_path):
    for model in FREE.models:
        for file in model.files:
            path = tmp_path / model.name / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    assert [collection.name for collection in collections_here(tmp_path)] == ["trellis"]
    (tmp_path / "dinov2-large/model.safetensors").unlink()
    assert collections_here(tmp_path) == ()
