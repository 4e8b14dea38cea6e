#!/bin/sh
# Installs the Debian packages that the build needs and that are missing; elsewhere says what is needed.
set -eu
packages="g++ cmake ninja-build make git python3 libdnnl-dev libstb-dev libcli11-dev nlohmann-json3-dev libeigen3-dev doctest-dev libbenchmark-dev zlib1g-dev"
# Real images for `make search`; it does without where this cannot be had.
optional="dataset-fashion-mnist"

installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
missing_of() { for p in $1; do installed "$p" || printf '%s ' "$p"; done; }

if ! command -v apt-get >/dev/null 2>&1; then
  for header in dnnl.hpp stb/stb_image.h CLI/CLI.hpp nlohmann/json.hpp eigen3/Eigen/Core doctest/doctest.h zlib.h; do
    found=no
    for folder in /usr/include /usr/local/include; do [ -e "$folder/$header" ] && found=yes; done
    if [ "$found" = no ]; then
      echo "needed: a C++20 compiler, cmake 3.25, oneDNN 2.6 or 3, stb, CLI11, nlohmann-json, Eigen 3.3, doctest, Google Benchmark, zlib (no $header here)" >&2
      exit 1
    fi
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
$root apt-get update -qq || echo "package lists could not be refreshed; going on with the old ones" >&2
install() { $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
# shellcheck disable=SC2086  # lists of words
if [ -n "$missing" ]; then install $missing; fi
# shellcheck disable=SC2086
if [ -n "$wanted" ]; then install $wanted || echo "not available: $wanted" >&2; fi
