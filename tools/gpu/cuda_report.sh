#!/bin/sh
# SPDX-License-Identifier: MIT
# cuda_report.sh [ARCHITECTURE...]: registers, spills and stack frames of every CUDA kernel, as the compiler reports them, one
# line a file and architecture after four lines that say what made them. Fails where a kernel spills or has a stack frame.
# Default architectures: 80 90 120.
set -eu
cd "$(dirname "$0")/../.."
nvcc=$(command -v "${CUDACXX:-nvcc}" || echo /usr/local/cuda/bin/nvcc)
[ -x "$nvcc" ] || { echo "error: no nvcc found, expected one in PATH or CUDACXX" >&2; exit 2; }
[ $# -gt 0 ] || set -- 80 90 120
echo "# command: tools/gpu/cuda_report.sh $*"
echo "# commit: $(git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null || echo unknown)"
echo "# date: $(date -u +%Y-%m-%d)"
echo "# machine: $("$nvcc" --version | sed -n 's/.*release \([^,]*\),.*/nvcc \1/p')"
status=0
for file in kernels/*/*.cu; do
  for architecture in "$@"; do
    report=$("$nvcc" -std=c++20 -O3 -I. -DDRNAS_CUBLAS_LIBRARY=\"libcublas.so\" -arch="sm_$architecture" -Xptxas -v -c "$file" -o /dev/null 2>&1) ||
      { echo "$report" >&2; exit 1; }
    line=$(echo "$report" | awk '
      / bytes spill stores/ { for (i = 1; i < NF; ++i) if ($(i + 2) == "spill") spills += $i }
      / bytes stack frame/ { stack += $1 }
      / Used [0-9]+ registers/ { ++kernels; for (i = 1; i < NF; ++i) if ($i == "Used" && $(i + 1) + 0 > most) most = $(i + 1) }
      END { printf "%d kernels, at most %d registers, %d bytes of stack, %d bytes spilled", kernels, most, stack, spills }')
    echo "$file sm_$architecture: $line"
    case $line in *" 0 bytes of stack, 0 bytes spilled") ;; *) status=1 ;; esac
  done
done
exit $status
