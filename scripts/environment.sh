# Prepares what scripts/test and scripts/demo run in; to be sourced by bash, with ROOT set to the project's folder.
#
# Here: finding a Python, the virtual environment ($SNAPSTORE_VENV, else .venv), installing the package into it, and the
# programs that the tests on file systems and servers want. Not here: any choice of package index; pip and apt use what the
# machine is set to; starting servers, which the tests do, on loopback, with configurations of their own.
#
# Rules: installs again only when what decides the installation has changed; asks nothing; a missing optional thing (a C
# compiler, file-system tools, a server) is said and never stops the run; no service is left running that was not there.

VENV="${SNAPSTORE_VENV:-$ROOT/.venv}"
FILE_SYSTEM_PACKAGES=(fusefat exfat-fuse exfatprogs ntfs-3g dosfstools attr acl)
SERVER_PACKAGES=(openssh-client openssh-server proftpd-core proftpd-mod-crypto iproute2)
UNPACKED_SERVERS=(vsftpd) # Debian installs one FTP server only; its libraries are libpam0g, libcap2, libssl and:
UNPACKED_SERVERS_NEED=(libwrap0)
POLICY=/usr/sbin/policy-rc.d

say() {
    printf '== %s\n' "$*" >&2
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Tools keep caches and settings under HOME; where there is none, or it cannot be written, they get one that lasts.
use_a_home() {
    if [ -z "${HOME:-}" ] || [ ! -d "$HOME" ] || [ ! -w "$HOME" ]; then
        HOME="$VENV/home"
        mkdir -p "$HOME"
        export HOME
    fi
}

find_python() {
    local candidate
    for candidate in ${SNAPSTORE_PYTHON:+"$SNAPSTORE_PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

venv_python() {
    if [ -x "$VENV/bin/python" ]; then
        printf '%s' "$VENV/bin/python"
    elif [ -x "$VENV/Scripts/python.exe" ]; then
        printf '%s' "$VENV/Scripts/python.exe"
    fi
}

can_install_packages() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
}

install_packages() {
    # Another package manager may be running (a machine that has just been started updates itself): wait for it a little.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=60 "$@" \
        </dev/null >/dev/null 2>&1
}

refresh_package_lists() {
    DEBIAN_FRONTEND=noninteractive apt-get update -qq -o DPkg::Lock::Timeout=60 </dev/null >/dev/null 2>&1 || true
}

create_environment() {
    local python
    [ -n "$(venv_python)" ] && "$(venv_python)" -c 'import pip' >/dev/null 2>&1 && return 0
    python=$(find_python) || fail "no Python 3.11 or later found; install one, or set SNAPSTORE_PYTHON to its path"
    say "creating $VENV with $("$python" --version 2>&1)"
    rm -f "$VENV/snapstore-stamp"
    if ! "$python" -m venv "$VENV" >/dev/null 2>&1; then
        # Debian splits venv off; without it ensurepip is missing.
        if can_install_packages; then
            say "installing python3-venv"
            refresh_package_lists
            install_packages python3-venv || true
        fi
        "$python" -m venv --clear "$VENV" >/dev/null ||
            fail "'$python -m venv' does not work; on Debian and Ubuntu install python3-venv"
    fi
}

# Prints what decides the installation: the build files, the sources in C, the Python, and where the project lies.
installation_stamp() {
    (
        cd "$ROOT" || exit 1
        "$PYTHON" - <<'PY'
import hashlib, pathlib, sys

digest = hashlib.sha256(f"{sys.version} {pathlib.Path.cwd()}".encode())
paths = [pathlib.Path(name) for name in ("pyproject.toml", "setup.py", "snapstore/_version.py")]
for path in paths + sorted(pathlib.Path("snapstore").rglob("*")):
    if path.is_file() and (path in paths or path.suffix in (".c", ".h", ".S")):
        digest.update(path.as_posix().encode() + b"\0" + path.read_bytes())
print(digest.hexdigest())
PY
    )
}

install_project() {
    local stamp log
    stamp=$(installation_stamp)
    if [ "$(cat "$VENV/snapstore-stamp" 2>/dev/null)" = "$stamp" ]; then
        return 0
    fi
    say "installing snapstore with what its tests need"
    log="$VENV/snapstore-install.log"
    if ! (cd "$ROOT" && "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-input -e ".[cli,dev]") \
        </dev/null >"$log" 2>&1; then
        cat "$log" >&2
        fail "installing the package failed"
    fi
    printf '%s\n' "$stamp" >"$VENV/snapstore-stamp"
}

say_compiled() {
    local missing
    missing=$("$PYTHON" - <<'PY'
import sys

from snapstore.compiled import optional_module

names = ["_kernel", "_entries", "_parity", *(["_posix", "_writing", "_sealing"] if sys.platform == "linux" else [])]
print(*[name for name in names if optional_module(name) is None])
PY
    )
    if [ -z "$missing" ]; then
        say "compiled parts: all there"
    else
        say "compiled parts: without $missing (no C compiler, or a library is missing?); all works, slowly"
    fi
}

# Installs what is missing of some packages: install_missing WHAT PACKAGE...
install_missing() {
    local what=$1 missing=() package
    shift
    for package in "$@"; do
        dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
    done
    [ "${#missing[@]}" = 0 ] && return 0
    say "installing $what for the tests: ${missing[*]}"
    refresh_package_lists
    install_packages "${missing[@]}" && return 0
    # One unknown name refuses them all: take them one by one.
    for package in "${missing[@]}"; do
        install_packages "$package" || say "could not install $package; the tests that need it will skip"
    done
}

# Tests on FAT, exFAT and NTFS images need these; where they cannot be had, those tests skip and say why.
install_file_system_tools() {
    can_install_packages || return 0
    install_missing "file-system tools" "${FILE_SYSTEM_PACKAGES[@]}"
}

# Debian starts a server when it is installed, and systemd again at each start of the machine. Nobody wants that of a run of
# tests: on a machine that has systemd servers are installed only if that is asked for (or in CI), elsewhere without a start.
install_servers() {
    can_install_packages || return 0
    local package missing=""
    for package in "${SERVER_PACKAGES[@]}"; do
        dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
    done
    [ -z "$missing" ] && return 0
    if [ -d /run/systemd/system ] && [ "${CI:-}" != true ] && [ "${SNAPSTORE_TEST_INSTALL:-}" != 1 ]; then
        say "not installed, because this machine would run them as services:$missing"
        say "with SNAPSTORE_TEST_INSTALL=1 they are; without, the tests that need them skip"
        return 0
    fi
    (
        if [ ! -e "$POLICY" ]; then
            trap 'rm -f "$POLICY"' EXIT
            printf '#!/bin/sh\nexit 101\n' >"$POLICY" && chmod 755 "$POLICY"  # 101: do not start it
        fi
        install_missing "servers" "${SERVER_PACKAGES[@]}"
    )
}

# Unpacked beside the environment and not installed: find_program in tests/servers/server.py looks there.
unpack_servers() {
    command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || return 0
    local package downloads
    for package in "${UNPACKED_SERVERS[@]}"; do
        [ -x "$VENV/servers/usr/sbin/$package" ] || command -v "$package" >/dev/null 2>&1 && continue
        say "unpacking $package for the tests"
        if can_install_packages; then
            install_missing "libraries" "${UNPACKED_SERVERS_NEED[@]}"
            refresh_package_lists
        fi
        downloads=$(mktemp -d "$VENV/unpacking.XXXXXX")
        (cd "$downloads" && apt-get download -qq "$package" && dpkg-deb -x ./"$package"_*.deb "$VENV/servers") \
            </dev/null >/dev/null 2>&1 || say "could not unpack $package; the tests that need it will skip"
        rm -rf "$downloads"
    done
}

# Servers of object storage, beside the one from PyPI; they are built with Go or come from npm, where those are there.
install_object_servers() {
    local script="$ROOT/tests/servers/object_servers.py" missing
    [ -f "$script" ] || return 0
    missing=$("$PYTHON" "$script" 2>&1) && return 0
    say "could not install all servers of object storage; the tests that need them will skip: ${missing:0:600}"
}

prepare_environment() {
    use_a_home
    create_environment
    PYTHON=$(venv_python)
    install_project
    say_compiled
}
