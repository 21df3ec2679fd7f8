#!/usr/bin/env bash
# Everything that needs a CUDA GPU, in at most four minutes: tests, timings, kernel parameters, compute-sanitizer.
#
#     OUT=results bash benchmarks/gpu_session.sh
#
# Needs torch with CUDA, numpy, scipy, numba, jaxtyping, pytest, pytest-timeout, beartype; nothing is downloaded or
# installed. Wheels in wheels/, if there is such a folder, stand in for what is missing.
set -uo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-results}
mkdir -p "$OUT"
export PYTHONPATH=src:tests PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/tmp/objectscan-kernels OMP_NUM_THREADS=8
PYTHON=${PYTHON:-python3}
for wheel in wheels/*.whl; do
  [ -e "$wheel" ] && mkdir -p /tmp/objectscan-wheels && "$PYTHON" -m zipfile -e "$wheel" /tmp/objectscan-wheels &&
    export PYTHONPATH="$PYTHONPATH:/tmp/objectscan-wheels"
done
start=$SECONDS
say() { echo "== $1 (at $((SECONDS - start)) s)"; }

say tests
timeout 150 "$PYTHON" -m pytest --override-ini addopts="-q --strict-markers" -W default tests/gpu >"$OUT/tests.txt" 2>&1
echo "tests: exit $?"
tail -n 25 "$OUT/tests.txt"

say timings
timeout 150 "$PYTHON" benchmarks/renderer_cuda.py --quick --out "$OUT/renderer_cuda.json" 2>&1 | tail -n 30

say parameters
timeout 60 "$PYTHON" benchmarks/renderer_cuda_parameters.py --out "$OUT/parameters.json" 2>&1 | tail -n 20

if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    left=$((235 - (SECONDS - start)))
    [ "$left" -gt 15 ] || { echo "$tool: no time left"; continue; }
    say "$tool"
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 timeout "$((left < 60 ? left : 60))" compute-sanitizer --tool "$tool" \
      --error-exitcode 9 "$PYTHON" benchmarks/gpu_sanitize.py >"$OUT/$tool.txt" 2>&1
    echo "$tool: exit $?"
    tail -n 3 "$OUT/$tool.txt"
  done
fi
say done
