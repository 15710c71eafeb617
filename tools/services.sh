#!/bin/sh
# Sees to it that the tests find a PostgreSQL and a Redis, given by URL or
# installed, and strace; installs what is missing from Debian's packages when we may.
set -eu

missing=""
if [ -z "${INTERLOCK_TEST_REDIS_URL:-}" ] && ! command -v redis-server >/dev/null; then
	missing="$missing redis-server"
fi
if [ -z "${INTERLOCK_TEST_POSTGRES_URL:-}" ] && ! command -v initdb >/dev/null; then
	if ! ls /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb /opt/homebrew/opt/postgresql@*/bin/initdb /usr/local/pgsql/bin/initdb 2>/dev/null | grep -q .; then
		missing="$missing postgresql"
	fi
fi
# The proofs of durability watch system calls, and let disks fail, with strace.
if [ "$(uname -s)" = Linux ] && ! command -v strace >/dev/null; then
	missing="$missing strace"
fi
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
	echo "The tests need:$missing. Install them (Debian, Ubuntu: apt-get install$missing)," >&2
	echo "or set INTERLOCK_TEST_REDIS_URL and INTERLOCK_TEST_POSTGRES_URL." >&2
	exit 1
fi

# The tests start servers of their own: the packages' services need not run, and
# no cluster of the machine's needs to be made. Both switches go away afterwards.
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.d/interlock-tests.conf
made=""
trap '[ -z "$made" ] || rm -f $made' EXIT
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	made="$made $policy"
fi
case "$missing" in *postgresql*)
	mkdir -p "${cluster%/*}"
	echo 'create_main_cluster = false' >"$cluster"
	made="$made $cluster"
	;;
esac

echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
	tail -n 30 "$log" >&2
	echo "apt-get could not install$missing (the whole log: $log)" >&2
	exit 1
fi
rm -f "$log"
