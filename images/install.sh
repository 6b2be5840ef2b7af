#!/bin/sh
# What the build stage of each image does; nothing of it but its result goes into the image.
#
#   install.sh dependencies LOCK    a virtual environment in /opt/joulebench with the packages of a lock
#   install.sh packages FOLDER...   our own packages from their sources, in /opt/ours, to lie over /opt/joulebench
#   install.sh settle FOLDER...     modes and times that do not depend on who builds when
#
# The first two are two layers, since the second changes with each commit and the first is much larger. The same inputs
# give the same bytes: only wheels whose hashes are known are installed, and times are set to SOURCE_DATE_EPOCH.
set -eu
umask 022

target=/opt/joulebench
ours=/opt/ours
tools=/opt/build
here=$(dirname "$0")

export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-0}"
# The order of sets in bytecode follows it.
export PYTHONHASHSEED=0
# Leaves out who installed what from where, and when.
export UV_NO_INSTALLER_METADATA=1
export UV_LINK_MODE=copy UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never

install() { "$tools/bin/uv" pip install --quiet --python "$target/bin/python" --no-deps --only-binary :all: "$@"; }

# Bytecode: a container cannot write it down, and would compile at each start. By hash, as times change on the way.
compile() { "$target/bin/python" -m compileall -q -j 1 --invalidation-mode unchecked-hash "$@"; }

settle() {
  chmod -R u=rwX,go=rX "$@"
  find "$@" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
}

# What nobody needs at run time: tests, headers and sources of compiled modules, plotly's part in Jupyter, and Arrow's
# server for networks (a fifth of Arrow).
slim() {
  find "$1" -depth -type d \( -name tests -o -name labextension -o -path '*/share/jupyter' -o -path '*/pyarrow/include' \
    -o -path '*/numpy/_core/include' \) -exec rm -r {} +
  find "$1" -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' -o -name '*.hpp' -o -name '*.c' \
    -o -name '*.cpp' -o -name '*.a' -o -name '*.pyi' -o -path '*/pyarrow/*flight*' \) -delete
}

case $1 in
  dependencies)
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
      --target="$tools" --no-deps --only-binary :all: --require-hashes -r "$here/build.lock"
    "$tools/bin/uv" venv --quiet --no-project --python "$(command -v python3)" "$target"
    install --require-hashes -r "$2"
    # Ways to enter an environment by hand.
    rm -f "$target"/bin/activate* "$target"/bin/deactivate* "$target/.gitignore" "$target/.lock" "$target/CACHEDIR.TAG"
    slim "$target"
    compile "$target/lib"
    settle "$target"
    ;;
  packages)
    shift
    for folder; do
      (cd "$here/../$folder" && PYTHONPATH="$tools" python3 -m hatchling build --target wheel --directory /tmp/wheels)
    done
    install --prefix "$ours" /tmp/wheels/*.whl
    compile -s "$ours" -p "$target" "$ours/lib"
    settle "$ours"
    ;;
  settle)
    shift
    settle "$@"
    ;;
esac
