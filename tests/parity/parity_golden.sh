#!/bin/sh
# Replays the reference files in DRNAS_GOLDEN_DIR; skipped where it is not set.
set -eu
if [ -z "${DRNAS_GOLDEN_DIR:-}" ]; then
  echo "DRNAS_GOLDEN_DIR is not set: nothing to replay"
  exit 77
fi
exec "$1" "$DRNAS_GOLDEN_DIR"/*.safetensors "$DRNAS_GOLDEN_DIR"/methods/*.safetensors "$DRNAS_GOLDEN_DIR"/beta_pathwise.csv
