"""Rows on stdout, words on stderr, and a pipe that closes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosface_cli.console import (
    Format,
    Rows,
    StageOutput,
    Terminal,
    json_line,
    output_rows,
    printable,
    progress_display,
    say,
)
from cosface_cli.outcomes import Done, Note, Planned, Rejected, Skipped

ODD = ("a b", "a,b", 'a"b', "a\nb", "a\tb", "-a", "100%", "a\\b", "顔", os.fsdecode(b"a\xffb"), "[b]x[/b]", "\x1b[1m")


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_json_lines_are_one_line_of_utf_8_that_decodes_to_the_same(name: str):
    line = json_line({"source": name, "score": 0.5, "box": [1, 2.5], "none": None})
    assert "\n" not in line and json.loads(line.encode())["source"] == name


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(),
        st.one_of(st.text(), st.binary().map(os.fsdecode), st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    )
)
def test_any_row_comes_back(row: dict[str, object]):
    line = json_line(row)
    assert json.loads(line.encode()) == row and "\n" not in line and "\r" not in line


def test_readable_names_stay_readable():
    assert json_line({"source": "顔.jpg"}) == '{"source": "顔.jpg"}'
    assert json_line({"source": "\udcff"}) == '{"source": "\\udcff"}'


@pytest.mark.parametrize("value", (float("nan"), float("inf"), -float("inf")))
def test_what_json_has_no_word_for_is_null(value: float):
    row = {"source": "a\udcff", "score": value, "box": [1, value]}
    assert json.loads(json_line(row)) == {"source": "a\udcff", "score": None, "box": [1, None]}


def test_printable():
    assert printable("名前 é a b") == "名前 é a b"
    assert printable("a\nb\tc\r\x1b[31m\x00") == r"a\nb\tc\r\x1b[31m\x00"
    assert printable("caf\udce9") == r"caf\udce9"
    assert printable("\u202egpj.exe\u2028") == r"\u202egpj.exe\u2028"  # no turning of the reading direction either


@settings(deadline=None)
@given(st.one_of(st.text(), st.binary().map(os.fsdecode)))
def test_printable_is_one_line_that_any_terminal_holds(text: str):
    shown = printable(text)
    assert len(shown.splitlines()) == (1 if text else 0)
    assert shown.encode().decode() == shown and (shown.isprintable() or " " in shown)


def written(output: Format | None, rows: list[dict], columns: tuple[str, ...] = (), monkeypatch=None) -> str:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    writer = Rows(output, columns)
    for row in rows:
        writer.write(row)
    writer.close()
    return out.getvalue()


ROWS = [
    {"source": "a\tb\n.jpg", "score": 0.123456, "box": [1.0, 2], "reason": None, "face": 1},
    {"source": "[red]名.jpg", "score": 1.0, "box": [], "reason": "no_face", "face": 2},
]


def test_json_rows(monkeypatch: pytest.MonkeyPatch):
    text = written("json", ROWS, ("source",), monkeypatch)
    assert [json.loads(line) for line in text.splitlines()] == ROWS


def test_piped_rows_are_json_by_default(monkeypatch: pytest.MonkeyPatch):
    assert json.loads(written(None, ROWS[:1], (), monkeypatch)) == ROWS[0]


def test_tsv_rows(monkeypatch: pytest.MonkeyPatch):
    text = written("tsv", ROWS, ("source", "score", "box", "reason"), monkeypatch)
    assert text == ("source\tscore\tbox\treason\na\\tb\\n.jpg\t0.1235\t1.0000 2\t\n[red]名.jpg\t1.0000\t\tno_face\n")
    assert written("tsv", ROWS, (), monkeypatch).splitlines()[0] == "source\tscore\tbox\treason\tface"


def test_tables(monkeypatch: pytest.MonkeyPatch):
    text = written("table", ROWS, ("source", "score", "reason"), monkeypatch)
    header, first, second = (line.split() for line in text.splitlines())
    assert header == ["source", "score", "reason"]
    assert first == [r"a\tb\n.jpg", "0.1235"] and second == ["[red]名.jpg", "1.0000", "no_face"]
    assert written("table", [], ("source",), monkeypatch) == ""


def test_long_tables_end_with_a_count(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(output_rows, "TABLE_ROWS", 3)
    lines = written("table", [{"n": n} for n in range(10)], (), monkeypatch).splitlines()
    assert len(lines) == 5 and lines[-1] == "... and 7 more rows: --format json writes them all"


def test_words_go_to_stderr_and_quiet_is_quiet(capsys: pytest.CaptureFixture[str]):
    say("one\nline caf\udce9")
    say("nothing", quiet=True)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "one\\nline caf\\udce9\n"


def test_outcomes_become_rows_words_and_a_summary(capsys: pytest.CaptureFixture[str]):
    def row_of(outcome):
        return {"source": outcome.source, "reason": outcome.reason} if isinstance(outcome, Rejected) else None

    with Terminal(format="json").stage_output("align", ("source",), row_of) as emit:
        emit(Planned(3))
        emit(Note("a note"))
        emit(Done("a", ({"source": "a", "face": 1}, {"source": "a", "face": 2})))
        emit(Skipped("b"))
        emit(Rejected("c", "no_face", "c: no face was found"))
        assert emit.exit_code == 3
    captured = capsys.readouterr()
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert rows == [{"source": "a", "face": 1}, {"source": "a", "face": 2}, {"source": "c", "reason": "no_face"}]
    words = captured.err.splitlines()
    assert words[:2] == ["a note", "c: no face was found"]
    assert words[-1].startswith("1 done, 1 unchanged, 1 rejected (no_face 1) in ")


def test_an_interrupted_run_prints_its_table_and_no_summary(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(KeyboardInterrupt), Terminal(format="table").stage_output("align", ("source",)) as emit:
        emit(Done("a", ({"source": "a.jpg"},)))
        raise KeyboardInterrupt
    captured = capsys.readouterr()
    assert "a.jpg" in captured.out and "done" not in captured.err


def test_progress_without_a_terminal_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    now = 100.0
    monkeypatch.setattr(progress_display.time, "monotonic", lambda: now)
    emit = StageOutput("align", Rows("json"), False, lambda outcome: None)
    emit(Planned(100))
    for number in range(30):
        now += 1
        emit(Done(str(number)) if number % 10 else Rejected(str(number), "no_face", "no face"))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("align:")]
    assert lines == [
        "align: 10/100, 1.0/s, 90 s left, 1 rejected",
        "align: 20/100, 1.0/s, 80 s left, 2 rejected",
        "align: 30/100, 1.0/s, 70 s left, 3 rejected",
    ]


MANY = """
import sys
from cosface_cli.console import Terminal
from cosface_cli.outcomes import Done
with Terminal(format=sys.argv[1]).stage_output("align") as emit:
    for number in range(200_000):
        emit(Done("x", ({"source": "a" * 50, "number": number},)))
print("not reached by a closed pipe", file=sys.stderr)
"""


@pytest.mark.parametrize("output", ("json", "tsv"))
def test_a_closed_pipe_ends_the_program_quietly(output: str):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", MANY, output], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        head = subprocess.run(["head", "-1"], stdin=process.stdout, capture_output=True)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        words = process.stderr.read().decode()
    assert head.stdout.count(b"\n") == 1
    assert process.returncode == 0 and words == "", words


def test_a_closed_pipe_at_the_very_end():
    """`| true`: nobody reads even the first row."""
    code = MANY.replace("200_000", "1")
    for output in ("json", "tsv", "table"):
        line = f"{sys.executable} -c '{code}' {output} | true; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
        assert done.stdout == "0\n" and "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr, done
