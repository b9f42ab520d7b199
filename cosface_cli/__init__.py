"""cosface: face recognition on the command line. Each stage is also a function: see the README's Python part."""

__version__ = "0.1.0"
