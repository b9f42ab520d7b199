#!/usr/bin/env bash
# Runs every check: style, types, layers, tests. Further arguments go to pytest.
# VENV: the environment (default .venv-test). It is made again when pyproject.toml, Python or the folder have changed.
# JOBS: processes for the tests (default 2). PYTHON: the interpreter (default python3).
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv-test}
PYTHON=${PYTHON:-python3}
stamp=$(pwd; "$PYTHON" -VV; cksum pyproject.toml tests/run.sh)
if [ "$(cat "$VENV/stamp" 2>/dev/null)" != "$stamp" ]; then
    rm -rf "$VENV"
    "$PYTHON" -m venv "$VENV"
    "$VENV/bin/pip" install --quiet -e '.[test]'
    # an oracle for MTCNN; its own pins ask for an older torch, which it does not need here
    "$VENV/bin/pip" install --quiet --no-deps facenet-pytorch==2.6.0
    echo "$stamp" > "$VENV/stamp"
fi
PATH=$(cd "$VENV/bin" && pwd):$PATH
ruff check .
ruff format --check .
mypy
lint-imports
pytest -n "${JOBS:-2}" -rsfE "$@"
