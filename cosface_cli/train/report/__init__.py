"""report.html and noise.jsonl of a finished run."""
