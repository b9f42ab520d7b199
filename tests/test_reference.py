"""examples/cli.md is what the options say now."""

from __future__ import annotations

from pathlib import Path

from cosface_cli.reference import reference

PAGE = Path(__file__).resolve().parents[1] / "examples" / "cli.md"


def test_the_generated_page_is_up_to_date() -> None:
    hint = "write it again: python -m cosface_cli.reference > examples/cli.md"
    assert PAGE.read_text("utf-8") == reference(), hint
