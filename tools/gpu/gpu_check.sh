#!/bin/sh
# SPDX-License-Identifier: MIT
# `make gpu-check`: tests and measures on this machine's GPU. Uses the carried build in gpu-pack/ where it runs, else builds
# what is needed; installs nothing. --help lists the options.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for python in python3 /usr/bin/python3; do
  if command -v "$python" >/dev/null 2>&1 && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
    exec "$python" "$here/gpu_check.py" "$@"
  fi
done
echo "error: no python3 of 3.8 or newer found" >&2
exit 2
