#!/usr/bin/env bash
# The README's promise, tried: a bare Debian 12 (debootstrap, nothing else), a fresh clone in it, and the commands of the
# README's section "Start", one after the other.
#
#   tests/fresh_machine/run.sh [--smoke] [--cache=DIR] [--keep] [COMMAND...]
#
# --smoke      instead of the README's commands, install what is missing and build one tool
# --cache=DIR  a folder of the host that the build in there uses as Bazel's disk cache
# --keep       leave the installation in place (its folder is printed), and use it again if WEIR_FRESH_ROOT names it
# COMMAND...   these commands instead of the README's, each one argument
#
# Needs root, debootstrap, git and about 8 GB in TMPDIR (default /tmp), never in the checkout.
set -eu

repository=$(git -C "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" rev-parse --show-toplevel)
cache="" keep="" commands=()
for argument in "$@"; do
  case "$argument" in
    --smoke) commands=("./bazelw build //compiler/tools:weir-opt") ;;
    --cache=*) cache=$(readlink -f "${argument#--cache=}") && mkdir -p "$cache" ;;
    --keep) keep=1 ;;
    -*) sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 2 ;;
    *) commands+=("$argument") ;;
  esac
done
if [ ${#commands[@]} = 0 ]; then
  mapfile -t commands < <(sed -n '/^## Start/,/^## /s/^    \(\.\/bazelw .*\)$/\1/p' "$repository/README.md")
  [ ${#commands[@]} = 2 ] || { echo "expected 2 commands in the README, found ${#commands[@]}" >&2 && exit 1; }
fi

[ "$(id -u)" = 0 ] || { echo "needs root (debootstrap, chroot)" >&2 && exit 1; }
# Everything is mounted in a mount namespace of its own, so that nothing stays mounted, whatever happens.
if [ -z "${WEIR_FRESH_INSIDE-}" ]; then
  WEIR_FRESH_INSIDE=1 exec unshare --mount --propagation private "$0" "$@"
fi

# The archive that this machine's own apt uses.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Created-By: Packages' | head -n 1)
[ -n "$mirror" ] || { echo "this machine's apt knows no Debian 12 archive" >&2 && exit 1; }

root=${WEIR_FRESH_ROOT:-$(mktemp -d "${TMPDIR:-/tmp}/weir-fresh.XXXXXX")}
[ -n "$keep" ] || trap 'umount -R "$root/proc" "$root/dev" 2> /dev/null; [ -z "$cache" ] || umount "$root/cache"; rm -rf --one-file-system "$root"' EXIT
chmod 755 "$root"
echo "== Debian 12 in $root"
if [ ! -e "$root/etc/debian_version" ]; then
  debootstrap --variant=minbase bookworm "$root" "$mirror" > "$root.log" 2>&1 || { tail "$root.log" && exit 1; }
  rm -f "$root.log"
  cp /etc/resolv.conf "$root/etc/"
fi
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
if [ -n "$cache" ]; then
  mkdir -p "$root/cache"
  mount --bind "$cache" "$root/cache"
  echo 'build --disk_cache=/cache' > "$root/root/.bazelrc"
fi

echo "== a clone of $(git -C "$repository" rev-parse --short HEAD)"
rm -rf "$root/root/weir"
git clone -q "$repository" "$root/root/weir"

inside() {
  chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 /bin/bash -c "cd ~/weir && $1" < /dev/null
}
status=0
for command in "${commands[@]}"; do
  echo "== $command"
  start=$SECONDS
  inside "$command" || status=$?
  echo "== $((SECONDS - start)) s, status $status"
  [ "$status" = 0 ] || break
done
inside "/usr/bin/bazel-4 shutdown" > /dev/null 2>&1 || true
exit "$status"
