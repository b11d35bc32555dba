"""The file of answers: what is written is read, and nothing else is taken for it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bcjax.evaluation import answers
from bcjax.evaluation.answers import Answers
from bcjax.runtime.errors import UserError

LOGITS = np.array([[2.0, 0.0, -1.0], [0.0, 0.5, 0.25]], np.float32)
SOME = Answers(("a", "b", "ü"), ("1.png", "ü/2.png"), ("", "slide 3"), np.array([2, 0]), LOGITS)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "eval" / "test.parquet"
    answers.write(SOME, path)
    read = answers.read(path)
    assert (read.classes, read.ids, read.groups) == (SOME.classes, SOME.ids, SOME.groups)
    assert np.array_equal(read.labels, SOME.labels)
    assert read.logits.tobytes() == LOGITS.tobytes()
    assert [p.name for p in path.parent.iterdir()] == ["test.parquet"]


@given(
    logits=hnp.arrays(np.float32, (3, 4), elements=st.floats(-50, 50, width=32)),
    temperature=st.floats(0.1, 10),
)
def test_probabilities_keep_the_ranking_at_any_temperature(logits, temperature):
    given = Answers(tuple("abcd"), tuple("xyz"), ("",) * 3, np.zeros(3, int), logits)
    probabilities = given.probabilities(temperature)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    ranked = np.take_along_axis(probabilities, logits.argsort(axis=1), axis=1)
    assert (np.diff(ranked, axis=1) >= 0).all()


def test_logarithms_of_probabilities_are_logits():
    probabilities = SOME.probabilities()
    again = Answers(SOME.classes, SOME.ids, SOME.groups, SOME.labels, np.log(probabilities))
    np.testing.assert_allclose(again.probabilities(), probabilities)


def test_answers_that_are_not_finite_are_refused_by_name(tmp_path):
    logits = LOGITS.copy()
    logits[1, 2] = np.nan
    spoilt = Answers(SOME.classes, SOME.ids, SOME.groups, SOME.labels, logits)
    answers.write(spoilt, tmp_path / "test.parquet")
    with pytest.raises(UserError, match=r"not finite \(ü/2.png\)"):
        answers.read(tmp_path / "test.parquet")


def test_what_is_no_file_of_answers_is_refused(tmp_path):
    with pytest.raises(UserError, match="run bcjax evaluate"):
        answers.read(tmp_path / "run" / "eval" / "test.parquet")
    (tmp_path / "test.parquet").write_bytes(b"PAR1 something else PAR1")
    with pytest.raises(UserError, match="holds no answers"):
        answers.read(tmp_path / "test.parquet")
