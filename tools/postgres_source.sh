#!/bin/sh
# PostgreSQL's own tests, of the very version that is installed: tools/postgres_source.sh FOLDER
#
# From Debian's source package come FOLDER/regress and FOLDER/isolation; FOLDER/lib/regress.so is
# built with the headers of postgresql-server-dev-15, which is taken apart here and not installed.
# apt's configuration and lists are left alone: those of sources lie in FOLDER, too. With all there
# it does nothing; where Debian has that version no more, it says so and fails.
set -eu

folder=$1
version=$(dpkg-query -W -f '${Version}' postgresql-15)
if [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ]; then
    exit 0
fi

say() {
    printf '%s\n' "postgres_source: $*" >&2
}

rm -rf "$folder"
mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/lib"
folder=$(cd "$folder" && pwd)

# The archives that apt takes Debian's packages from have their sources, too.
keys=/usr/share/keyrings/debian-archive-keyring.gpg
apt-get indextargets --format "deb-src [signed-by=$keys] "'$(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' 'Origin: Debian' | sort -u >"$folder/sources.list"

apt_here() {
    apt-get -q -o APT::Sandbox::User=root -o Dir::Cache="$folder/cache" "$@" >&2
}

apt_sources() {
    apt_here -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::lists="$folder/lists" "$@"
}

cd "$folder"
if ! apt_sources update || ! apt_sources source --download-only --tar-only "postgresql-15=$version" ||
    ! apt_here download "postgresql-server-dev-15=$version"; then
    say "Debian has no sources of PostgreSQL $version, which is installed here; apt-get upgrade may help"
    exit 1
fi
tar -xjf postgresql-15_*.orig.tar.bz2 --strip-components=3 --wildcards '*/src/test/regress/*' '*/src/test/isolation/*'
dpkg-deb -x postgresql-server-dev-15_*.deb dev
gcc -O1 -shared -fPIC -o lib/regress.so -I regress -I dev/usr/include/postgresql/15/server \
    -I /usr/include/postgresql/internal -I /usr/include/postgresql regress/regress.c
cp /usr/lib/postgresql/15/lib/refint.so /usr/lib/postgresql/15/lib/autoinc.so lib
rm -rf lists cache dev postgresql-15_* postgresql-server-dev-15_*
echo "$version" >version
say "PostgreSQL's tests of $version are in $folder"
