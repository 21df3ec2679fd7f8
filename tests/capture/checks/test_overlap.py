import numpy as np

from objectscan.capture.checks import judge_photos, photo_facts
from objectscan.capture.checks.overlap import overlap_findings
from objectscan.capture.checks.quick_matches import quick_matches
from objectscan.capture.samples.photographs import (
    Scene,
    Shot,
    box_on_a_table,
    look_at,
    photograph,
    ring,
    write_photos,
)
from objectscan.capture.solve.graph import second_best

SIZE = (400, 300)


def pictures(scene, shots):
    rng = np.random.default_rng(0)
    return [photograph(scene, shot, rng=rng) for shot in shots]


def a_ring(seed, count=10):
    return pictures(box_on_a_table(seed), ring(count, size=SIZE, arc_deg=150.0))


def a_turn(seed, count=10):
    """From one place, 8 degrees further each time."""
    shots = []
    for angle in np.radians(8.0 * np.arange(count)):
        target = (2.3 - np.cos(angle), np.sin(angle), 0.55)
        shots.append(Shot(look_at((2.3, 0, 0.8), target), 1.1 * SIZE[0], SIZE))
    return pictures(box_on_a_table(seed), shots)


def photo_set(folder, images):
    return write_photos(folder, images, focal_px=1.1 * SIZE[0])


def test_a_walk_around_an_object_hangs_together(tmp_path):
    photos = photo_set(tmp_path, a_ring(3))
    judgement = judge_photos(photos)
    assert judgement.reason is None and judgement.findings == ()
    features = [photo_facts(photo)[1] for photo in photos.photos]
    matches = quick_matches([photo.name for photo in photos.photos], features)
    assert min(second_best(matches).values()) >= 30


def test_two_objects_are_two_scenes_and_the_photos_are_named(tmp_path):
    photos = photo_set(tmp_path, [*a_ring(3, 6), *a_ring(11, 6)])
    judgement = judge_photos(photos)
    assert judgement.reason == "multiple_scenes"
    (finding,) = (finding for finding in judgement.findings if finding.severity == "error")
    assert len(finding.photos) == 6


def test_one_foreign_photo_is_named_and_the_set_goes_on(tmp_path):
    photos = photo_set(tmp_path, [*a_ring(3, 8), a_ring(11, 2)[0]])
    judgement = judge_photos(photos)
    found = {finding.code: finding for finding in judgement.findings}
    assert judgement.reason is None and found["little_overlap"].photos == (photos.photos[-1].name,)


def test_a_camera_that_only_turns_has_no_parallax(tmp_path):
    judgement = judge_photos(photo_set(tmp_path, a_turn(3)))
    assert judgement.reason == "no_parallax"


def test_photos_of_different_places_fall_apart(tmp_path):
    images = [a_ring(seed, 2)[0] for seed in range(20, 27)]
    judgement = judge_photos(photo_set(tmp_path, images))
    assert judgement.reason == "registration_failed"
    assert "of 7 photos" in judgement.findings[-1].message


def test_a_flat_thing_is_a_warning_and_left_to_the_solver(tmp_path):
    bare_table = Scene((), box_on_a_table(3, has_walls=False).pictures)
    shots = ring(8, size=(640, 480), arc_deg=60.0)
    judgement = judge_photos(photo_set(tmp_path, pictures(bare_table, shots)))
    found = {finding.code: finding.severity for finding in judgement.findings}
    assert judgement.reason is None and found.get("degenerate_geometry") == "warning"


def test_fewer_than_five_photos_are_not_compared(tmp_path):
    photos = photo_set(tmp_path, a_ring(3, 4))
    features = [photo_facts(photo)[1] for photo in photos.photos]
    matches = quick_matches([photo.name for photo in photos.photos], features)
    assert overlap_findings(photos.photos, matches) == ()
