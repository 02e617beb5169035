#!/usr/bin/env bash
# Tests and benchmarks of the GPU guides on a machine with a CUDA device and torch.
#
#   bash scripts/device_guides.sh OUTPUT_DIR [NVDIFFRAST_SOURCE] [UPSTREAM_CHECKOUT] [WHEELS_DIR]
#
# Builds nvdiffrast from its source if a folder is given (non-commercial licence), installs missing Python packages from
# a folder of wheels, runs the tests marked gpu of tests/geometry, then benchmarks/guides.py. Results: tests.log,
# guides_gpu.json. TUNE=1 also tries settings of our rasterizer, KERNELS=1 lists each kernel's time; TESTS names the test
# files (tests/geometry; tests/geometry/test_gpu_solid.py for those of solid meshes alone), TEST_SECONDS limits them
# (220), and BENCH_SECONDS the benchmark (600), which keeps what it has measured by then. Ends with the tests' status if
# they failed, else with the benchmark's.
set -uo pipefail
out=${1:?usage: device_guides.sh OUTPUT_DIR [NVDIFFRAST_SOURCE] [UPSTREAM_CHECKOUT] [WHEELS_DIR]}
nvdiffrast=${2:-} upstream=${3:-} wheels=${4:-}
# shellcheck source=scripts/device_setup.sh
. "$(dirname "$0")/device_setup.sh"
[ -z "$wheels" ] || install_wheels "$wheels"/*.whl
if [ -n "$nvdiffrast" ]; then
  arch=$(python3 -c 'import torch; print("%d.%d" % torch.cuda.get_device_capability())')
  MAX_JOBS=$(nproc) TORCH_CUDA_ARCH_LIST=$arch python3 -m pip install -q --no-build-isolation --no-deps --target "$site" "$nvdiffrast" \
    >"$out/nvdiffrast_build.log" 2>&1 || { echo "nvdiffrast did not build; see nvdiffrast_build.log"; tail -5 "$out/nvdiffrast_build.log"; }
fi
# Versions there are not ours, so their deprecation warnings are no errors.
# shellcheck disable=SC2086 # TESTS may name several files
timeout "${TEST_SECONDS:-220}" python3 -m pytest -m gpu ${TESTS:-tests/geometry} -o filterwarnings=default -p no:cacheprovider -q 2>&1 | tee "$out/tests.log" | tail -60
status=${PIPESTATUS[0]}
golden=${EX4D_GOLDEN_DIR:-tests/golden}/recon
timeout "${BENCH_SECONDS:-600}" python3 benchmarks/guides.py --rasterizer triton,nvdiffrast ${TUNE:+--tune} ${KERNELS:+--kernels} --golden "$golden" ${upstream:+--upstream "$upstream"} --output "$out/guides_gpu.json"
bench=$?
[ "$status" -ne 0 ] && exit "$status"
exit "$bench"
