# shellcheck shell=bash
# What gpu.sh and tpu_vm.sh share. They source it after they have defined `usage` and `option`, which
# takes an option of their own and fails for any other; what is left in "$@" is the program's.

say() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2 || true # the terminal may be gone
}

mistake() {
  say "$1"
  exit 2
}

show() {
  local line
  printf -v line '%q ' "$@"
  printf '%s\n' "${line% }" >&3 # not to stdout, which callers capture
}

run() {
  if [[ -n $dry_run ]]; then show "$@"; else "$@"; fi
}

exec 3>&1
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dry_run=''
while (($#)); do
  case $1 in
    --dry-run) dry_run=yes ;;
    -h | --help)
      usage
      exit
      ;;
    --)
      shift
      break
      ;;
    *)
      option "$1" ||
        mistake "There is no option $1; the program's own arguments come after -- (see --help)."
      ;;
  esac
  shift
done
