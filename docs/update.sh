#!/usr/bin/env bash
# Writes the manual into the source tree: ./bazelw run //docs:update
set -eu
manual=$BUILD_WORKSPACE_DIRECTORY/docs/manual
rm -rf "$manual"
mkdir "$manual"
cp -L --no-preserve=mode "$1"/*.md "$manual/"
echo "$(find "$manual" -name '*.md' | wc -l) pages in docs/manual"
