#!/usr/bin/env bash
# Sets up a fresh environment and runs every check: style, types, layers, tests. VENV: where (default .venv-test).
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv-test}
rm -rf "$VENV"
"${PYTHON:-python3}" -m venv "$VENV"
"$VENV/bin/pip" install --quiet -e '.[test]'
# an oracle for MTCNN; its own pins ask for an older torch, which it does not need here
"$VENV/bin/pip" install --quiet --no-deps facenet-pytorch==2.6.0
"$VENV/bin/ruff" check .
"$VENV/bin/ruff" format --check .
"$VENV/bin/mypy"
PATH="$PWD/$VENV/bin:$PATH" "$VENV/bin/lint-imports"
PATH="$PWD/$VENV/bin:$PATH" "$VENV/bin/pytest" -n "${JOBS:-2}" -rs "$@"
