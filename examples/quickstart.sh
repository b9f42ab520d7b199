#!/usr/bin/env bash
# Installs cosface in a virtual environment and runs the whole pipeline on photos that come with one of its packages.
# usage: bash examples/quickstart.sh [FOLDER]    FOLDER: holds all files (default ./cosface-quickstart)
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-cosface-quickstart}
mkdir -p "$work"
cd "$work"
if [ ! -x venv/bin/cosface ]; then
    "${PYTHON:-python3}" -m venv venv
    venv/bin/pip install --quiet "$repository"
fi
export PATH="$PWD/venv/bin:$PATH"

show() { # prints a command, runs it and explains its exit code; codes 1 and 3 are answers, not failures
    echo
    echo "\$ $*"
    code=0
    "$@" || code=$?
    case $code in
        0) ;;
        1) echo "(exit 1: the answer is no)" ;;
        3) echo "(exit 3: done in part; the rejects are listed above)" ;;
        *) exit "$code" ;;
    esac
}

python "$repository/examples/quickstart_photos.py" raw

show cosface align raw aligned --format table
show cosface train aligned --m 0.2 --epochs 6 --batch 6 --out runs/quickstart --format table
show cosface embed aligned faces.h5 --format table
show cosface index build faces.h5 people.index --format table
show cosface index search people.index raw/group/t1.jpg --faces all -k 1 --format table
show cosface verify raw/person1/near.jpg raw/person1/far.jpg --format table
show cosface verify raw/person1/near.jpg raw/person2/near.jpg --format table
echo
echo "All files are in $PWD. Next: the same commands on your own photos, in sub-folders by person."
