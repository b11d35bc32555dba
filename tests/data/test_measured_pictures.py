"""Pictures are measured and searched for copies once, whatever is left out of them then."""

import numpy as np
from blobs import blobs, pictures, record

from bcjax.data.curate import near_duplicates

CELLS = blobs(12)


def test_copies_among_fewer_pictures_are_found_without_a_second_search(monkeypatch):
    grey = np.full_like(CELLS[0], 90)
    images = [*CELLS, CELLS[3], CELLS[3][::-1], CELLS[5], CELLS[3], grey, grey, CELLS[5][:, ::-1]]
    records = [record(f"{i}", np.ascontiguousarray(image)) for i, image in enumerate(images)]
    whole = pictures(records)
    removed = {"3", "7", "14", "16"}  # the first of its kind, a single one, a copy, a blank one
    anew = pictures([each for each in records if each.id not in removed])
    monkeypatch.delattr(near_duplicates, "similar_hashes")
    left = whole.without(removed)
    assert len(anew.near_pairs) == 3
    assert left.records == anew.records
    np.testing.assert_array_equal(left.near_pairs, anew.near_pairs)
    assert left.without({"12"}).near_pairs.tolist() == [[4, 13], [10, 11]]
