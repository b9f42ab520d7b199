"""The options that rooms share: a config of all of them, and the names that they repeat from heavy modules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from cosface_cli.engines.photos import photo_options as shared
from cosface_cli.engines.photos.limits import Limits, limits_of
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import TEMPLATES
from cosface_cli.options import Checked, parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything(Checked):
    detector: shared.DetectorOption = "mtcnn"
    faces: shared.FacesOption = "largest"
    min_face: shared.MinFaceOption = 20.0
    min_score: shared.MinScoreOption = 0.0
    max_megapixels: shared.MaxMegapixelsOption = 50.0
    min_sharpness: shared.MinSharpnessOption = 0.0
    max_yaw: shared.MaxYawOption = 90.0
    try_rotations: shared.TryRotationsOption = False
    every: shared.EveryOption = 1.0
    root: shared.RootOption = None
    crops_template: shared.CropsTemplateOption = None
    prune: shared.PruneOption = False
    model: shared.OneOrMoreModelsOption = "dlib"
    models: shared.FusedModelsOption = ()
    probe_model: shared.ModelOrStoredModelOption = None
    fuse: shared.FuseOption = "mean"
    flip: shared.FlipOption = "none"
    precision: shared.PrecisionOption = "fp32"
    workers: shared.WorkersOption = 0
    engine: shared.EngineOption = "local"
    device: shared.DeviceOption = "auto"


def test_every_shared_option_has_a_flag_and_a_sentence():
    found = {parameter.name: parameter for parameter in parameters(Everything)}
    assert list(found) == [*Everything.__dataclass_fields__]
    for parameter in found.values():
        assert parameter.flag.startswith("--")
        assert parameter.help.endswith(".")
        assert "{" not in parameter.help
    assert found["crops_template"].flag == "--template"
    assert found["root"].kind is Path
    assert "yunet" in found["detector"].help  # from the table
    assert found["engine"].choices == ("local", "ray")


def test_the_light_copy_of_the_template_names_is_complete():
    assert get_args(shared.TemplateName) == tuple(TEMPLATES)


@pytest.mark.parametrize(
    ("name", "value"),
    [("faces", "smallest"), ("min_face", 0), ("min_score", 1.1), ("max_yaw", 91), ("workers", -1), ("engine", "slurm")],
)
def test_values_out_of_range_are_refused(name: str, value: object):
    with pytest.raises(CosfaceError, match="--" + name.replace("_", "-")):
        Everything(**{name: value})  # type: ignore[arg-type]


def test_limits_come_from_a_config():
    config = Everything(min_face=40, min_score=0.5, max_megapixels=9, min_sharpness=3, max_yaw=60)
    want = Limits(min_face=40, min_score=0.5, max_megapixels=9, min_sharpness=3, max_yaw=60)
    assert limits_of(config) == want
