"""The crop folder: aligned crops with manifest.jsonl and rejects.jsonl."""
