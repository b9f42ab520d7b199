"""Which protocol a command means, from the files that it names."""

from __future__ import annotations

from cosface_cli.errors import CosfaceError
from cosface_cli.verify import ProtocolConfig
from cosface_cli.verify.protocols import PROTOCOLS


def guess(config: ProtocolConfig) -> tuple[str, str]:
    """A name of PROTOCOLS, and why. Raises CosfaceError where nothing tells it."""
    listed = config.pairs
    if listed is not None:
        return "lfw", f"{listed.name} is a list of pairs"
    if (config.source / "pairs.txt").is_file():
        return "lfw", "there is a pairs.txt"
    mend = f"give two photos, or --protocol {'|'.join(PROTOCOLS.names)}"
    raise CosfaceError("nothing here says which protocol is meant", config.source, mend)
