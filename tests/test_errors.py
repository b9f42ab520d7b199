"""Errors are one line each, and survive the way from a worker process."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from cosface_cli.errors import BusyError, CosfaceError, DamagedError, ModelMismatch, PhotoError

EXAMPLES = (
    (CosfaceError("no such file"), "no such file"),
    (CosfaceError("no such file", "a.jpg"), "a.jpg: no such file"),
    (CosfaceError("no such file", Path("p/a.jpg"), "give another"), "p/a.jpg: no such file; give another"),
    (CosfaceError("no model is called 'x'", hint="did you mean 'y'?"), "no model is called 'x'; did you mean 'y'?"),
    (PhotoError("no_face", "no face was found", Path("a.jpg")), "a.jpg: no face was found"),
    (PhotoError("too_large", "60 megapixels", "a.jpg", "raise the limit"), "a.jpg: 60 megapixels; raise the limit"),
    (ModelMismatch("of dlib, not of mine", "s.h5", "use another"), "s.h5: of dlib, not of mine; use another"),
    (BusyError("in use", "s.h5"), "s.h5: in use"),
    (DamagedError("cut short", "s.h5"), "s.h5: cut short"),
    (CosfaceError("two\nlines", "new\nline.jpg", "mend\nit"), "new line.jpg: two lines; mend it"),
)


@pytest.mark.parametrize(("error", "words"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_one_line_of_what_where_and_the_mend(error: CosfaceError, words: str):
    assert str(error) == words and "\n" not in str(error)
    assert isinstance(error, CosfaceError)
    assert error.path is None or isinstance(error.path, str)


@pytest.mark.parametrize(("error", "words"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_errors_travel_between_processes(error: CosfaceError, words: str):
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error) and str(again) == words
        assert vars(again) == vars(error)


def test_a_photo_s_error_has_a_code():
    error = PhotoError("no_face", "no face was found", "a.jpg", "take another")
    assert (error.reason, error.problem, error.path, error.hint) == (
        "no_face",
        "no face was found",
        "a.jpg",
        "take another",
    )


def test_names_that_are_no_text():
    assert str(CosfaceError("no such file", "caf\udce9.jpg")) == "caf\udce9.jpg: no such file"
