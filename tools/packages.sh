#!/bin/sh
# Install Debian packages that are missing: packages.sh WHAT-WANTS-THEM PACKAGE...
# Without root or apt nothing is installed, and one line says what is left out.
wants=$1
shift
missing=
for package; do
    case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
    *'ok installed') ;;
    *) missing="$missing $package" ;;
    esac
done
[ "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    why='no apt-get'
elif [ "$(id -u)" != 0 ]; then
    why='not root'
else
    echo "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >/dev/null && exit 0
    why='apt-get failed'
fi
echo "$why: not installed:$missing: unless installed under another name, this is left out: $wants"
