#!/bin/bash
# SPDX-License-Identifier: MIT
# `make check-aarch64`: compiles everything but CUDA for aarch64 and runs the kernels' tests under qemu.
# arm64 packages are unpacked into build-aarch64/sysroot, not installed: this machine's packages stay as they are.
set -euo pipefail
usage="usage: tools/check_aarch64.sh [--jobs N] [--all]
  --jobs N   parallel compilers (default: cores)
  --all      all tests of the CPU and those of CUDA sources on the host executor: hours under qemu"
fail() { echo "error: $1" >&2; exit 2; }
cd "$(dirname "$0")/.."

jobs=$(nproc) files="*/tests/kernels/*" programs=drnas_tests
while [ $# -gt 0 ]; do
  case "$1" in
    --jobs) [ $# -ge 2 ] || fail "$1: expected a value"; jobs=$2; shift ;;
    --all) files="*" programs="drnas_tests simt_tests" ;;
    -h | --help) echo "$usage"; exit 0 ;;
    *) fail "$1: unknown option, expected one of those that --help lists" ;;
  esac
  shift
done
case "$jobs" in '' | *[!0-9]*) fail "--jobs $jobs: expected a whole number" ;; esac
command -v apt-get >/dev/null || fail "no apt-get found: this check takes its arm64 libraries from Debian packages"
tools/install_deps.sh aarch64

build=$PWD/build-aarch64 sysroot=$PWD/build-aarch64/sysroot
packages="libdnnl-dev zlib1g-dev libjpeg62-turbo-dev libpng-dev libwebp-dev libstb-dev libcli11-dev nlohmann-json3-dev libeigen3-dev doctest-dev
  libbenchmark-dev"
if [ ! -e "$sysroot/complete" ]; then
  # A package system of its own in which nothing is installed: what it downloads is all that an arm64 machine needs.
  rm -rf "$sysroot"
  state=$build/apt
  mkdir -p "$sysroot" "$state/lists/partial" "$state/cache/archives/partial"
  : >"$state/status"
  apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State="$state" -o Dir::State::status="$state/status"
    -o Dir::Cache="$state/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root -o Debug::NoLocking=true)
  echo "downloading arm64 libraries"
  "${apt[@]}" update
  # shellcheck disable=SC2086  # a list of words
  "${apt[@]}" install -y --download-only --no-install-recommends $packages >/dev/null
  for package in "$state"/cache/archives/*.deb; do
    # The cross compiler brings the C library's headers; two sets would hide each other.
    case "${package##*/}" in libc6-dev_* | linux-libc-dev_* | libcrypt-dev_* | libtirpc-* | libnsl-* | rpcsvc-*) continue ;; esac
    dpkg-deb -x "$package" "$sysroot"
  done
  rm -rf "$state"
  touch "$sysroot/complete"
fi

generator=()
if ! command -v ninja >/dev/null; then generator=(-G "Unix Makefiles"); fi
cmake --preset aarch64 "${generator[@]}" >"$build/configure.log" 2>&1 || { cat "$build/configure.log"; exit 1; }
cmake --build "$build" -j "$jobs"
export OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive
for program in $programs; do
  echo "$program $files"
  qemu-aarch64 -L "$sysroot" "$build/tests/$program" --source-file="$files"
done
