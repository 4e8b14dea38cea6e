#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the Debian packages that are missing for a purpose and nothing else; elsewhere says what is needed.
set -eu
usage="usage: tools/install_deps.sh [search | build | sanitize | lint | aarch64]
  search    build the programs and search (make search)
  build     also tests and benchmarks (make, make test); the default
  sanitize  also what watches tests: Clang with its OpenMP, valgrind (make test-sanitize, make fuzz)
  lint      clang-format, clang-tidy (make lint)
  aarch64   cross compiler and emulator (make check-aarch64)"
fail() { echo "error: $1" >&2; exit 2; }

search="g++ cmake ninja-build make git libdnnl-dev libstb-dev libcli11-dev nlohmann-json3-dev libeigen3-dev zlib1g-dev \
  libjpeg-dev libpng-dev libwebp-dev"
# Real images for `make search`; it does without where this cannot be had.
optional="dataset-fashion-mnist"
case "${1:-build}" in
  search) packages=$search ;;
  build) packages="$search python3 doctest-dev libbenchmark-dev" ;;
  sanitize) packages="$search python3 doctest-dev clang libclang-rt-dev libomp-dev valgrind" ;;
  lint) packages="$search python3 clang-format clang-tidy libomp-dev shellcheck" optional="" ;;
  aarch64) packages="cmake ninja-build make git python3 g++-aarch64-linux-gnu qemu-user" optional="" ;;
  -h | --help) echo "$usage"; exit 0 ;;
  *) fail "$1: unknown purpose, expected search, build, sanitize, lint or aarch64" ;;
esac
[ $# -le 1 ] || fail "$2: expected one purpose"

installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
missing_of() { for p in $1; do installed "$p" || printf '%s ' "$p"; done; }

if ! command -v apt-get >/dev/null 2>&1; then
  case "${1:-build}" in
    lint) commands="clang-format clang-tidy" headers="" ;;
    aarch64) commands="aarch64-linux-gnu-g++ qemu-aarch64" headers="" ;;
    *) commands="cmake"
      if [ "${1:-build}" = sanitize ]; then commands="cmake clang++ valgrind"; fi
      headers="dnnl.hpp stb/stb_image.h CLI/CLI.hpp nlohmann/json.hpp eigen3/Eigen/Core zlib.h jpeglib.h png.h \
        webp/decode.h"
      if [ "${1:-build}" != search ]; then headers="$headers doctest/doctest.h"; fi ;;
  esac
  for command in $commands; do
    command -v "$command" >/dev/null 2>&1 || fail "no $command found, expected it in PATH"
  done
  for header in $headers; do
    found=no
    for folder in /usr/include /usr/local/include; do
      if [ -e "$folder/$header" ]; then found=yes; fi
    done
    [ "$found" = yes ] || fail "no $header found; needed: a C++20 compiler, cmake 3.25, oneDNN 2.6 or 3, stb, CLI11, \
nlohmann-json, Eigen 3.3, zlib, libjpeg-turbo, libpng, libwebp, for tests doctest, for benchmarks Google Benchmark"
  done
  exit 0
fi

missing=$(missing_of "$packages")
wanted=$(missing_of "$optional")
# What no list offers is not asked for again at every build.
if [ -z "$missing" ] && [ -n "$wanted" ] && [ -n "$(apt-cache pkgnames 2>/dev/null | head -n 1)" ]; then
  for package in $wanted; do apt-cache show "$package" >/dev/null 2>&1 || wanted=""; done
fi
[ -n "$missing$wanted" ] || exit 0
root=""
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null 2>&1 || { echo "needed: apt-get install $missing$wanted(as root)" >&2; [ -z "$missing" ]; exit $?; }
  root=sudo
fi
echo "installing: $missing$wanted"
# Package descriptions in other languages are not needed.
$root apt-get update -qq -o Acquire::Languages=none ||
  echo "package lists could not be refreshed; going on with the old ones" >&2
install() { $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
# shellcheck disable=SC2086  # lists of words
if [ -n "$missing" ]; then install $missing; fi
# shellcheck disable=SC2086
if [ -n "$wanted" ]; then install $wanted || echo "not available: $wanted" >&2; fi
