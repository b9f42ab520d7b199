"""cosface verify calibrate."""

from __future__ import annotations

from cosface_cli.command_line import command
from cosface_cli.console import Terminal
from cosface_cli.verify.calibration import CalibrateConfig
from cosface_cli.verify.faces import keep_blas_single_threaded

COLUMNS = ("far", "threshold", "far_low", "far_high", "tar", "low", "high", "impostors_needed")


@command(
    CalibrateConfig,
    examples=(
        "cosface verify calibrate ./people --model runs/mine",
        "cosface verify calibrate faces.h5 --out mine.calibration.json",
    ),
)
def calibrate(config: CalibrateConfig, terminal: Terminal) -> int:
    """Measure a model's thresholds for false accept rates of 1e-2 to 1e-6, over all pairs of PEOPLE.

    Intervals are 95 %; they take into account that many pairs share a person. Use people who are neither in the model's
    training set nor in a test set, in photos like those that the model will be used on.
    """
    keep_blas_single_threaded()
    from cosface_cli.verify.calibration.stage import calibrate as run

    with terminal.stage_output("calibrate", COLUMNS) as emit:
        report = run(config, emit)
        for rate in report.rates:
            emit.rows.write({**rate, "model": report.model, "model_id": report.model_id, "flip": report.flip})
    terminal.say(f"{report.impostors} impostor pairs of {report.people} people; the table is in {report.written}")
    return emit.exit_code
