#!/bin/sh
# SPDX-License-Identifier: MIT
# make_images.sh CORPUS: writes the files good-* of the target image, by ImageMagick (convert).
set -eu
[ $# -eq 1 ] || { echo "usage: make_images.sh CORPUS" >&2; exit 2; }
convert=${CONVERT:-convert}
command -v "$convert" >/dev/null || { echo "error: no $convert found, expected ImageMagick (CONVERT names it)" >&2; exit 2; }
out=$1/image
mkdir -p "$out"
make() { # NAME FORMAT OPTIONS...: a small picture with edges and gradients
  name=$1 format=$2
  shift 2
  "$convert" -size 13x9 -depth 8 gradient:red-blue -fill white -draw "rectangle 3,2 7,5" "$@" -strip "$format:$out/good-$name"
}
make jpeg jpg -quality 60
make jpeg-444 jpg -quality 95 -sampling-factor 4:4:4
make jpeg-progressive jpg -interlace JPEG
make jpeg-grey jpg -colorspace Gray
make jpeg-restart jpg -define jpeg:restart-interval=1
make jpeg-cmyk jpg -colorspace CMYK
make png png24
make png-grey png -colorspace Gray
make png-palette png8 -colors 5
make png-16-bit png48 -depth 16
make png-interlaced png32 -interlace PNG
make png-bits png -monochrome
make gif gif -colors 7
make gif-interlaced gif -colors 7 -interlace GIF
make bmp bmp
make bmp-palette bmp3 -type Palette -colors 9
make bmp-alpha bmp -alpha on
make tga tga
make tga-rle tga -compress RLE
make tga-palette tga -type Palette -colors 9
make psd psd -alpha off
make ppm ppm
make pgm pgm -colorspace Gray
make webp webp -quality 60
make webp-lossless webp -define webp:lossless=true
