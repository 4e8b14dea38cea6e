#!/bin/sh
# `make search`: the quick preset into the run folder $1, on Fashion-MNIST where its package is there, else on synthetic images.
set -eu
if [ -e /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ]; then
  exec ./drnas_search --preset quick --out "$1"
fi
echo "Fashion-MNIST is not installed (package dataset-fashion-mnist): searching on synthetic images instead"
exec ./drnas_search --preset quick --dataset synthetic --out "$1"
