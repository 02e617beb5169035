#!/usr/bin/env bash
# Installs the system libraries that Blender's Python module needs on a bare Debian or Ubuntu, and for tests the ffmpeg
# that reads back what was written and the browser that shows web pages; does nothing where they are there already.
# Without root it says in one sentence what to run. Usage: system_packages.sh base|test|ui
set -euo pipefail

command -v dpkg-query >/dev/null 2>&1 || exit 0 # another distribution: its user knows their package names

# Libraries bpy links against, with or without a display.
packages=(libx11-6 libxi6 libxxf86vm1 libxfixes3 libxrender1 libxkbcommon0 libsm6 libice6 libgl1 libegl1)
case "${1:-base}" in
  base) ;;
  test) packages+=(libgl1-mesa-dri ffmpeg chromium) ;;
  ui) packages+=(libgl1-mesa-dri ffmpeg chromium debian-archive-keyring xvfb xdotool) ;;
  *) echo "usage: system_packages.sh base|test|ui" >&2; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "These system packages are missing; run: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi
echo "Installing system packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
