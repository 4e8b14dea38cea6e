#!/bin/sh
# SPDX-License-Identifier: MIT
# Collects in gpu-pack/ what `make gpu-check` needs on a machine with a GPU that lacks a compiler: stripped programs for one
# architecture and x86-64-v3, the libraries they need besides CUDA's, scripts, reference files and data. Options: see usage.
set -eu
usage="usage: tools/gpu/pack_for_gpu.sh [--architecture 90] [--out gpu-pack] [--limit-mb 60] [--jobs N] [--with-cpu-tests]
  DRNAS_GOLDEN_DIR         folder with more reference files
  DRNAS_CIFAR10_ARCHIVE    CIFAR-10 as a tar archive of train/CLASS/IMAGE and test/CLASS/IMAGE
  DRNAS_NB201_TABLE        NAS-Bench-201 accuracy table (CSV)"
fail() { echo "error: $1" >&2; exit 2; }

root=$(cd "$(dirname "$0")/../.." && pwd)
architecture=90 out="$root/gpu-pack" limit_mb=60 jobs=$(nproc) programs="cuda_tests parity bench_step bench_train bench_device drnas_search"
while [ $# -gt 0 ]; do
  case "$1" in
    --architecture | --out | --limit-mb | --jobs) [ $# -ge 2 ] || fail "$1: expected a value" ;;
  esac
  case "$1" in
    --architecture) architecture=$2; shift ;;
    --out) out=$2; shift ;;
    --limit-mb) limit_mb=$2; shift ;;
    --jobs) jobs=$2; shift ;;
    --with-cpu-tests) programs="$programs drnas_tests" ;;
    -h | --help) echo "$usage"; exit 0 ;;
    *) fail "$1: unknown option, expected one of those that --help lists" ;;
  esac
  shift
done
for pair in "--architecture $architecture" "--limit-mb $limit_mb" "--jobs $jobs"; do
  case "${pair#* }" in '' | *[!0-9]*) fail "$pair: expected a whole number" ;; esac
done
[ ! -e "$out" ] || [ -e "$out/pack.json" ] || fail "$out: exists and is no pack"
for variable in DRNAS_CIFAR10_ARCHIVE DRNAS_NB201_TABLE DRNAS_GOLDEN_DIR; do
  eval "path=\${$variable:-}"
  [ -z "$path" ] || [ -e "$path" ] || fail "$variable=$path: not found"
done

# A build of its own: no instructions of this processor, one architecture, and ./drnas_search stays as it is.
build="$root/build-gpu"
mkdir -p "$build"
generator=$(command -v ninja >/dev/null && echo "-GNinja" || echo "-GUnix Makefiles")
cmake --preset gpu-pack -S "$root" -B "$build" "$generator" "-DCMAKE_CUDA_ARCHITECTURES=$architecture" \
  >"$build/configure.log" 2>&1 || { cat "$build/configure.log" >&2; fail "cannot configure"; }
# shellcheck disable=SC2086  # a list of words
cmake --build "$build" -j "$jobs" --target $programs >"$build/build.log" 2>&1 || { tail -n 40 "$build/build.log" >&2; fail "cannot build"; }

pack="$out.part"
rm -rf "$pack"
trap 'rm -rf "$pack"' EXIT
mkdir -p "$pack/bin" "$pack/golden" "$pack/data" "$pack/tools/gpu" "$pack/bench/peers" "$pack/bench/results"
for program in $programs; do
  for folder in tests bench .; do
    if [ -x "$build/$folder/$program" ]; then strip -o "$pack/bin/$program" "$build/$folder/$program"; fi
  done
  [ -e "$pack/bin/$program" ] || fail "$program: not built"
done
cp "$root/tools/gpu/gpu_check.sh" "$root"/tools/gpu/gpu_*.py "$pack/tools/gpu/"
cp "$root"/bench/peers/*.py "$pack/bench/peers/"
cp "$root"/bench/results/gpu_model_*_after.json "$pack/bench/results/"
cp "$root"/tests/references/*.safetensors "$pack/golden/"
for file in "${DRNAS_GOLDEN_DIR:-/nonexistent}"/nb201_*.safetensors "${DRNAS_GOLDEN_DIR:-/nonexistent}"/darts_*.safetensors \
  "${DRNAS_GOLDEN_DIR:-/nonexistent}"/beta_*.csv; do
  if [ -e "$file" ]; then cp "$file" "$pack/golden/"; fi
done
if [ -n "${DRNAS_CIFAR10_ARCHIVE:-}" ]; then
  name=$(basename "$DRNAS_CIFAR10_ARCHIVE")
  cp "$DRNAS_CIFAR10_ARCHIVE" "$pack/data/cifar10.tar${name#*.tar}"
fi
if [ -n "${DRNAS_NB201_TABLE:-}" ]; then cp "$DRNAS_NB201_TABLE" "$pack/data/nas_bench_201.csv"; fi
chmod -R u+w "$pack"

# Libraries: the C library and NVIDIA's belong to the other machine; the rest travels and is used where that machine lacks it.
ldd "$pack"/bin/* | awk '/=>/ { print $1, ($3 == "not" ? "-" : $3) }' | sort -u >"$pack/libraries"
mkdir "$pack/lib"
needs=""
while read -r name path; do
  case "$name" in
    libc.so.* | libm.so.* | libdl.so.* | librt.so.* | libpthread.so.*) ;;
    libcu* | libnv*) echo "must be there: $name"; needs="$needs${needs:+, }\"$name\"" ;;
    *) if [ "$path" = "-" ]; then echo "not found here: $name"; else cp -L "$path" "$pack/lib/$name"; fi ;;
  esac
done <"$pack/libraries"
# Opened by the first product, so that ldd does not know of it.
cublas=$(grep -aohm 1 'libcublas\.so\.[0-9]*' "$pack/bin/bench_device" | head -n 1)
echo "must be there: $cublas"
needs="$needs${needs:+, }\"$cublas\""
echo "must be there: the NVIDIA driver"
(cd "$pack/lib" && tar cJf ../lib.tar.xz ./*)
rm -r "${pack:?}/lib" "$pack/libraries"

commit=$(git -C "$root" describe --always --dirty --abbrev=12 '--exclude=*' 2>/dev/null || echo unknown)
printf '{"commit": "%s", "architecture": %s, "date": "%s", "needs": [%s]}\n' "$commit" "$architecture" "$(date -u +%Y-%m-%d)" \
  "$needs" >"$pack/pack.json"
bytes=$(find "$pack" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
size=$(echo "$bytes" | awk '{ printf "%.1f", $1 / 1e6 }')
[ "$bytes" -le $((limit_mb * 1000000)) ] || fail "the pack has $size MB, expected at most $limit_mb; leave data out or raise --limit-mb"
rm -rf "$out"
mv "$pack" "$out"
trap - EXIT
echo "$out: $size MB for architecture $architecture, commit $commit"
