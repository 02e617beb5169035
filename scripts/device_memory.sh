#!/usr/bin/env bash
# World memory, and clips whose source camera moved, on a machine with a CUDA device and torch.
#
#   bash scripts/device_memory.sh OUTPUT_DIR [WHEELS_DIR]
#
# Installs missing Python packages from a folder of wheels, runs the tests marked gpu of source cameras and world memory,
# then benchmarks/world_memory.py on the CPU and the device. Results: tests.log, world_memory.json, world_memory_hd.json.
# TEST_SECONDS limits the tests (300), BENCH_SECONDS each benchmark (150), THREADS those of the CPU's rows (2). Ends with
# the tests' status if they failed, else with the benchmarks'.
set -uo pipefail
out=${1:?usage: device_memory.sh OUTPUT_DIR [WHEELS_DIR]}
wheels=${2:-}
# shellcheck source=scripts/device_setup.sh
. "$(dirname "$0")/device_setup.sh"
[ -z "$wheels" ] || install_wheels "$wheels"/*.whl
# Versions there are not ours, so their deprecation warnings are no errors.
timeout "${TEST_SECONDS:-300}" python3 -m pytest -m gpu tests/geometry/test_gpu_memory.py tests/geometry/test_gpu_objects.py \
  tests/geometry/test_gpu_solid.py -o filterwarnings=default -p no:cacheprovider -q --durations=5 2>&1 | tee "$out/tests.log" | tail -60
status=${PIPESTATUS[0]}
timeout "${BENCH_SECONDS:-150}" python3 benchmarks/world_memory.py --triton --threads "${THREADS:-2}" --output "$out/world_memory.json"
bench=$?
timeout "${BENCH_SECONDS:-150}" python3 benchmarks/world_memory.py --triton --ways "world memory" --size 1280x720 --frames 49 \
  --threads "$(nproc)" --output "$out/world_memory_hd.json" || bench=$?
[ "$status" -ne 0 ] && exit "$status"
exit "$bench"
