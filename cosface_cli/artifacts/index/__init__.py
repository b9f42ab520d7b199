"""The index folder: index.json, rows, vectors, people and receipts of what was forgotten."""
