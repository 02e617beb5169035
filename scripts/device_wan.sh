#!/usr/bin/env bash
# Tests and benchmarks of the wan engine on a machine with a CUDA device and torch, in at most nine minutes.
#
#   bash scripts/device_wan.sh OUTPUT_DIR [UPSTREAM_CHECKOUT] [WHEELS_DIR]
#
# Installs missing Python packages from a folder of wheels, runs the tests that need a GPU, then benchmarks/wan.py in
# order of importance; what would end too late is left out and said so. Results: tests.log, wan.log, wan.json (written
# after every section, into what is there already). SECONDS_LIMIT is the time for all (530), TEST_SECONDS that of the
# tests (90). SECTIONS and PLANS choose what is measured: a second call with SECTIONS="exact fp8 turbo codec whole_clip
# errors plans" PLANS="resident fp8 offload" measures the rest. KEEP=attn2.to_out.0 leaves those
# layers in 16 bits in fp8. Ends with the tests' status if they failed, else with the benchmark's.
set -uo pipefail
out=${1:?usage: device_wan.sh OUTPUT_DIR [UPSTREAM_CHECKOUT] [WHEELS_DIR]}
upstream=${2:-} wheels=${3:-}
# shellcheck source=scripts/device_setup.sh
. "$(dirname "$0")/device_setup.sh"
if [ -n "$wheels" ]; then
  # torchao is not needed, and other libraries warn about it as soon as it is there.
  chosen=$(ls "$wheels"/*.whl | grep -v torchao)
  install_wheels $chosen
fi
# Versions there are not ours, so their deprecation warnings are no errors.
timeout "${TEST_SECONDS:-90}" python3 -m pytest tests/engines/wan/test_gpu.py tests/engines/wan/test_kernels.py \
  -o addopts= -o filterwarnings=default -p no:cacheprovider -q -rs 2>&1 | tee "$out/tests.log" | tail -40
status=${PIPESTATUS[0]}
sections=${SECTIONS:-environment upstream fast fast_candidates plans cold fp8}
left=$((${SECONDS_LIMIT:-530} - SECONDS))
timeout "$left" python3 benchmarks/wan.py ${upstream:+--upstream "$upstream"} --only $sections --full fast \
  ${KEEP:+--keep-16bit $KEEP} \
  --plans ${PLANS:-offload_fp8} --seconds $((left - 5)) --out "$out/wan.json" 2>&1 | tee "$out/wan.log"
bench=${PIPESTATUS[0]}
[ "$status" -ne 0 ] && exit "$status"
exit "$bench"
