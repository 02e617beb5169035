#!/usr/bin/env bash
# Guides by every rasterizer through command line and backend, on a machine with a CUDA device and torch.
#
#   bash scripts/device_backend.sh OUTPUT_DIR [WHEELS_DIR]
#
# Installs missing Python packages from a folder of wheels, runs the tests of tests/geometry marked gpu, draws the example
# with `ex4d preview --rasterizer triton` and on the CPU, then benchmarks/backend_guides.py. Results: tests.log,
# preview.log, doctor.json, backend_guides.json. TEST_SECONDS limits the tests (200). Ends with the tests' status if they
# failed, else with the benchmark's.
set -uo pipefail
out=${1:?usage: device_backend.sh OUTPUT_DIR [WHEELS_DIR]}
wheels=${2:-}
# shellcheck source=scripts/device_setup.sh
. "$(dirname "$0")/device_setup.sh"
[ -z "$wheels" ] || install_wheels "$wheels"/*.whl
ex4d() { python3 -c 'import sys; from ex4d.cli.app import main; sys.exit(main(sys.argv[1:]))' "$@"; }
ex4d doctor --json >"$out/doctor.json"
for rasterizer in triton cpu auto; do
  ex4d preview --input_video examples/clip.mp4 --depth examples/depth.npz --cam orbit_left --output_dir "$out/shots" \
    --rasterizer "$rasterizer" 2>&1 | tee -a "$out/preview.log"
done
grep -h '"rasterizer"' "$out"/shots/take_*/take.json | sort | uniq -c
# Versions there are not ours, so their deprecation warnings are no errors.
timeout "${TEST_SECONDS:-200}" python3 -m pytest -m gpu tests/geometry -o filterwarnings=default -p no:cacheprovider -q 2>&1 | tee "$out/tests.log" | tail -30
status=${PIPESTATUS[0]}
python3 benchmarks/backend_guides.py --rasterizers cpu,triton,auto --output "$out/backend_guides.json"
bench=$?
rm -rf "$out/shots"
[ "$status" -ne 0 ] && exit "$status"
exit "$bench"
