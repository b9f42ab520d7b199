"""verify: compare two photos, or evaluate a model by a published protocol.

from cosface_cli.verify import CompareConfig
from cosface_cli.verify.stage import compare_two
matches = compare_two("a.jpg", "b.jpg", CompareConfig())

from cosface_cli.verify.protocols.lfw import LfwConfig
from cosface_cli.verify.stage import verify_protocol
report = verify_protocol(LfwConfig(source=Path("lfw"), pairs=Path("pairs.txt")))

The config of each protocol is in its file, see protocols.PROTOCOLS. calibration and leakage have their own stages.
"""

from __future__ import annotations

from cosface_cli.verify.compare import CompareConfig, ManyReport, Match, MatchWarning
from cosface_cli.verify.figures import ProtocolReport

__all__ = ["CompareConfig", "ManyReport", "Match", "MatchWarning", "ProtocolReport"]
