# What the device_*.sh scripts share; they source it with `out` set. Leaves the repository's root as the working folder,
# the folder "$out", and in `site` a new one that Python looks at first; install_wheels FILE... fills that.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
mkdir -p "$out"
site=$(mktemp -d)
export PYTHONPATH="$site:$PWD:$PWD/backend:$PWD/protocol${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR="$site/numba"

install_wheels() {
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" "$@" || exit
}
