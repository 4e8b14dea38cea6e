#!/bin/bash
# SPDX-License-Identifier: MIT
# `make lint` and the lint of .ci/run: house rules, layout, clang-tidy. Exit code 1 where something is found.
set -euo pipefail
usage="usage: tools/lint.sh [--changed] [--base COMMIT] [--files N] [--format]
  --changed       clang-tidy only on files that differ from COMMIT
  --base COMMIT   default: where this branch left origin/main, else the commit before this one
  --files N       with --changed at most N files, the rest is named (default: 40)
  --format        lay out all sources instead (make format)"
fail() { echo "error: $1" >&2; exit 2; }
cd "$(dirname "$0")/.."

changed=no base="" most=40 format=no
while [ $# -gt 0 ]; do
  case "$1" in
    --base | --files) [ $# -ge 2 ] || fail "$1: expected a value" ;;
  esac
  case "$1" in
    --changed) changed=yes ;;
    --base) base=$2; shift ;;
    --files) most=$2; shift ;;
    --format) format=yes ;;
    -h | --help) echo "$usage"; exit 0 ;;
    *) fail "$1: unknown option, expected one of those that --help lists" ;;
  esac
  shift
done
case "$most" in '' | *[!0-9]*) fail "--files $most: expected a whole number" ;; esac
if [ -n "$base" ]; then
  git rev-parse -q --verify "$base^{commit}" >/dev/null || fail "--base $base: expected a commit"
fi

# Files of this checkout, new ones included, that match the patterns.
sources() { git ls-files -co --exclude-standard -- "$@" | sort -u | while read -r file; do if [ -e "$file" ]; then echo "$file"; fi; done; }

# Versions of clang-format lay out differently: one is the rule.
formatter=${CLANG_FORMAT:-$(command -v clang-format-14 || echo clang-format)}
version=$("$formatter" --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p') || version=""
[ "$version" = 14 ] || fail "$formatter: expected clang-format 14 (Debian 12; pip install clang-format==14.0.6), CLANG_FORMAT names it"
if [ "$format" = yes ]; then
  sources '*.h' '*.cpp' '*.cu' | xargs "$formatter" -i
  exit 0
fi

status=0
python3 tests/check_layers.py . || status=1
python3 tests/check_functions.py . || status=1
if sources '*.h' '*.cpp' '*.cu' | xargs -P "$(nproc)" -n 16 "$formatter" --dry-run -Werror --ferror-limit=1; then
  echo "layout checked"
else
  echo "make format lays out what differs"
  status=1
fi
if command -v shellcheck >/dev/null; then
  { sources '*.sh'; echo .ci/run; } | xargs shellcheck || status=1
else
  echo "shellcheck: left out, not installed"
fi

# What to tidy: sources; for a header the source of its name.
list=$(sources 'kernels/*.cpp' 'engine/*.cpp' 'data/*.cpp' 'nas/*.cpp' 'tools/*.cpp')
if [ "$changed" = yes ]; then
  fork=$(git merge-base HEAD origin/main 2>/dev/null || true)
  if [ -z "$base" ] && [ -n "$fork" ] && [ "$fork" != "$(git rev-parse HEAD)" ]; then base=$fork; fi
  if [ -z "$base" ]; then base=$(git rev-parse -q --verify HEAD~1 || true); fi
  if [ -z "$base" ]; then
    echo "clang-tidy: left out, no earlier commit is known here"
    exit $status
  fi
  differ=$({ git diff --name-only "$base"; git ls-files -o --exclude-standard; } | sed 's/\.h$/.cpp/' | sort -u)
  list=$(comm -12 <(echo "$differ") <(echo "$list") | sed '/^$/d')
  count=$(echo "$list" | sed '/^$/d' | wc -l)
  echo "clang-tidy: $count sources differ from $(git rev-parse --short "$base")"
  if [ "$count" -gt "$most" ]; then
    echo "clang-tidy: $most of them checked, left out: $(echo "$list" | tail -n +$((most + 1)) | tr '\n' ' ')"
    list=$(echo "$list" | head -n "$most")
  fi
fi
if [ -n "$list" ]; then
  generator=()
  if ! command -v ninja >/dev/null; then generator=(-G "Unix Makefiles"); fi
  mkdir -p build-lint
  cmake --preset lint "${generator[@]}" >build-lint/configure.log 2>&1 || { cat build-lint/configure.log; exit 1; }
  # align-mismatch: Clang's alarm about vectors that are declared with the alignment of a float.
  # shellcheck disable=SC2016  # $1 is for the inner shell
  echo "$list" | xargs -P "$(nproc)" -I{} bash -c 'set -o pipefail
    clang-tidy -p build-lint --quiet --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-align-mismatch "$1" 2>&1 |
      sed "/^[0-9]* warnings\{0,1\} generated/d"' - {} || status=1
  echo "clang-tidy: $(echo "$list" | wc -l) sources checked"
fi
exit $status
