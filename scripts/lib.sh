# shellcheck shell=bash
# lib.sh - helpers shared by the scripts in this directory: messages, cache directory, packages, locks.
#
# Usage: . "$(dirname "$(readlink -f "$0")")/lib.sh"     (never run by itself)
#
# Messages go to standard error; standard output belongs to results (the last line is often a path).

scripts_dir=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
top_dir=$(dirname "$scripts_dir")
program=$(basename "$0")
# Without links in it: headers name their directory, and scripts/toolchain shows directories under their own names.
cache_dir=$(readlink -m "${TMEM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tmem}")
export scripts_dir top_dir cache_dir

# The processors that this process may use.
jobs_max() { nproc; }

# Prints one line with the seconds since this script began.
say() { printf '%s: [%4ds] %s\n' "$program" "$SECONDS" "$*" >&2; }

# Prints one line and ends with the usage and set-up status (4), or with the status in DIE_STATUS.
die() {
	printf '%s: error: %s\n' "$program" "$*" >&2
	exit "${DIE_STATUS:-4}"
}

# Prints the comment at the head of the calling script: its manual.
usage() { sed -n '2,/^[^#]/{/^#/!d; s/^# \{0,1\}//; p}' "$0"; }

# Short hash of standard input, for cache keys.
key() { sha256sum | cut -c1-16; }

# need PACKAGE...: installs what is missing with apt-get, quietly; one line says what.
need() {
	local package missing=() runner=() log
	for package in "$@"; do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
			missing+=("$package")
	done
	((${#missing[@]})) || return 0
	if ((EUID != 0)); then
		command -v sudo >/dev/null ||
			die "package(s) missing: ${missing[*]}; run as root: apt-get install ${missing[*]}"
		runner=(sudo)
	fi
	say "installing: ${missing[*]}"
	mkdir -p "$cache_dir"
	log=$cache_dir/apt-install.$$.log
	(
		flock 8
		install_missing() {
			DEBIAN_FRONTEND=noninteractive "${runner[@]}" apt-get install -y -q \
				--no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >>"$log" 2>&1
		}
		: >"$log"
		install_missing || {
			"${runner[@]}" apt-get update -q >>"$log" 2>&1 || true
			install_missing
		}
	) 8>"$cache_dir/apt-install.lock" || {
		grep -E '^(E:|Err:|W:)' "$log" | tail -5 >&2 || true
		die "could not install: ${missing[*]}; try: apt-get install ${missing[*]} (log: $log)"
	}
	rm -f "$log"
}

lock_fds=()

# lock NAME: waits for and holds a lock in the cache until the script ends. One line if it has to wait.
lock() {
	local file=$cache_dir/locks/$1.lock fd
	mkdir -p "$cache_dir/locks"
	exec {fd}>"$file"
	lock_fds+=("$fd")
	flock -n "$fd" || {
		say "waiting for another process that builds $1"
		flock "$fd"
	}
}

# with_heartbeat WHAT COUNT-COMMAND LOG -- COMMAND...: runs COMMAND, its output into the file LOG; every 15 s
# prints WHAT and what COUNT-COMMAND prints.
with_heartbeat() {
	local what=$1 count=$2 log=$3 fd pid beat status=0
	shift 4
	(
		# This loop's last sleep outlives it: it must not hold a lock.
		for fd in "${lock_fds[@]}"; do exec {fd}>&-; done
		while sleep 15; do say "$what: $(eval "$count" 2>/dev/null || true)"; done
	) &
	beat=$!
	"$@" >"$log" 2>&1 &
	pid=$!
	wait "$pid" || status=$?
	kill "$beat" 2>/dev/null || true
	wait "$beat" 2>/dev/null || true
	return "$status"
}
