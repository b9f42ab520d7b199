"""Published protocols. A new one is a file with its config, a row in PROTOCOLS, and a test against worked cases.

See ProtocolConfig: its fields are the options of the protocol. Files of protocols import numpy inside functions, since
their options are loaded for `cosface verify --help`.
"""

from __future__ import annotations

from pathlib import Path

from cosface_cli.errors import CosfaceError
from cosface_cli.registry import Row, Table
from cosface_cli.verify.protocols.protocol_config import OptionsByField, ProtocolConfig

_PACKAGE = "cosface_cli.verify.protocols"
PROTOCOLS: Table[type[ProtocolConfig]] = Table(
    "protocol",
    Row("lfw", f"{_PACKAGE}.lfw:LfwConfig", "LFW: pairs.txt with any number of folds, View 1, people.txt"),
    Row("ytf", f"{_PACKAGE}.ytf:YtfConfig", "YouTube Faces: splits.txt, clips pooled over their frames"),
    Row("csv", f"{_PACKAGE}.csv_pairs:CsvConfig", "any list of pairs with named columns: CSV, TSV, NDJSON"),
    Row("bin", f"{_PACKAGE}.insightface_bin:BinConfig", "InsightFace's lfw.bin, cfp_fp.bin, agedb_30.bin"),
    Row("megaface", f"{_PACKAGE}.megaface:MegafaceConfig", "MegaFace: rank 1 among distractors, TAR at FAR 1e-6"),
    Row("ijb", f"{_PACKAGE}.ijb:IjbConfig", "IJB-B and IJB-C: templates, 1:1, and 1:N in the open set"),
    Row("all-pairs", f"{_PACKAGE}.all_pairs:AllPairsConfig", "every pair of a store's faces, by identity"),
)


def protocol_configs() -> tuple[type[ProtocolConfig], ...]:
    """The configs of all protocols."""
    return tuple(PROTOCOLS.load(name) for name in PROTOCOLS.names)


def name_of(config: ProtocolConfig) -> str:
    """The name in PROTOCOLS of a config's protocol."""
    target = f"{type(config).__module__}:{type(config).__qualname__}"
    return next(row.name for row in PROTOCOLS if row.target == target)


def recognise(source: Path, options: OptionsByField) -> tuple[str, str]:
    """The first protocol that recognises the files of a command line, and the reason.

    options: the options of the command line, by field. Raises CosfaceError if no protocol recognises them.
    """
    for path in (source, options.get("pairs")):
        if path is not None and not path.exists():
            raise CosfaceError("no such file or folder", path)
    for name in PROTOCOLS.names:
        reason = PROTOCOLS.load(name).recognises(source, options)
        if reason is not None:
            return name, reason
    hint = f"give two photos, or --protocol {'|'.join(PROTOCOLS.names)}"
    raise CosfaceError("no protocol recognises these files", options.get("pairs") or source, hint)
