"""Which of another laboratory's classes is which of the network's."""

import numpy as np
import pytest

from bcjax.evaluation import class_mapping
from bcjax.evaluation.answers import Answers
from bcjax.runtime.errors import UserError

HOME = ("basophil", "eosinophil", "ig", "neutrophil")


def test_names_that_differ_by_case_or_unicode_form_alone_match_by_themselves():
    found = class_mapping.map_classes("there", {"Neutrophil": 3, "BASOPHIL": 2}, HOME)
    assert found.mapped == {"Neutrophil": "neutrophil", "BASOPHIL": "basophil"}
    assert found.left_out == {}
    found = class_mapping.map_classes("there", {"e\u0301 b": 3, "a": 2}, ("\xe9  b", "a"))
    assert found.mapped == {"e\u0301 b": "\xe9  b", "a": "a"}


def test_several_classes_may_be_one_at_home_and_others_none():
    theirs = {"band": 3, "segmented": 4, "artefact": 5, "debris": 6, "empty": 0, "Eosinophil": 1}
    given = class_mapping.parse("band=neutrophil, segmented = Neutrophil,artefact=-")
    found = class_mapping.map_classes("there", theirs, HOME, given)
    assert found.mapped == {
        "band": "neutrophil", "segmented": "neutrophil", "Eosinophil": "eosinophil",
    }  # fmt: skip
    assert found.left_out == {"artefact": 5, "debris": 6}


def test_what_is_mapped_is_so_even_if_a_name_says_otherwise():
    found = class_mapping.map_classes("there", {"ig": 1, "basophil": 1}, HOME, {"ig": "neutrophil"})
    assert found.mapped == {"ig": "neutrophil", "basophil": "basophil"}
    found = class_mapping.map_classes("there", {"ig": 1, "basophil": 1}, HOME, {"ig": "-"})
    assert found.left_out == {"ig": 1}


def test_a_class_that_training_dropped_is_left_out_and_an_unknown_one_without_pictures_is_nothing():
    theirs = {"basophil": 2, "Smudge": 4, "band": 0}
    found = class_mapping.map_classes("there", theirs, HOME, dropped=("smudge",))
    assert found.left_out == {"Smudge": 4}


@pytest.mark.parametrize(
    ("theirs", "given", "message"),
    [
        ({"neutrofil": 1, "ig": 1}, None, "class 'neutrofil' of there .* nearest is 'neutrophil'"),
        ({"ig": 1}, {"ig": "neutrofil"}, "'ig' of there to 'neutrofil', .* is 'neutrophil'"),
        ({"Band": 1}, {"bend": "ig"}, "'bend', which is no class of there: the nearest is 'Band'"),
        ({"a": 1, "b": 2}, {}, r"No class of there \(a, b\) is one of the network's \(basophil,"),
        ({"ig": 0, "b": 2}, {"b": "-"}, "No class of there"),
    ],
)
def test_classes_that_cannot_be_mapped_are_refused_with_the_nearest(theirs, given, message):
    with pytest.raises(UserError, match=message):
        class_mapping.map_classes("there", theirs, HOME, given)


@pytest.mark.parametrize("text", ["neutrophil", "=ig", "ig=", "ig=ig,ig=basophil"])
def test_a_map_that_is_not_one_is_refused(text):
    with pytest.raises(UserError, match="map_classes"):
        class_mapping.parse(text)


def test_answers_keep_the_pictures_that_have_a_class_at_home():
    theirs = {"x": 1, "ig": 2, "Basophil": 1}
    found = class_mapping.map_classes("there", theirs, HOME, {})
    logits = np.arange(16, dtype=np.float32).reshape(4, 4)
    labels = np.array([1, 0, 2, 1])
    kept = found(Answers(tuple(theirs), tuple("abcd"), tuple("ppqq"), labels, logits))
    assert (kept.classes, kept.ids, kept.groups) == (HOME, ("a", "c", "d"), ("p", "q", "q"))
    assert kept.labels.tolist() == [2, 0, 2]
    assert np.array_equal(kept.logits, logits[[0, 2, 3]])
