# Sourced by ./demo and ./test: makes .venv if it is missing, and installs only what changed since the last time.
# Usage: . ./environment.sh EXTRAS        (EXTRAS such as "dev", or nothing)

extras="${1:-}"
wanted="$(cat pyproject.toml constraints.txt | cksum) ${extras}"
stamp=.venv/losslab-installed-${extras:-core}

if [ ! -x .venv/bin/python ]; then
  echo "making .venv ..." >&2
  for python in python3 python3.12 python3.13 python3.11; do
    if command -v "$python" >/dev/null && "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then
      break
    fi
    python=
  done
  [ -n "${python:-}" ] || { echo "error: losslab needs Python 3.11, 3.12 or 3.13; none was found" >&2; exit 1; }
  "$python" -m venv .venv
fi
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  echo "installing losslab (a minute or two, once) ..." >&2
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".${extras:+[$extras]}"
  echo "$wanted" >"$stamp"
fi
