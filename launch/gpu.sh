#!/usr/bin/env bash
# Trains on this machine's GPUs; the text below says how.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: launch/gpu.sh [OPTIONS] -- PROGRAM ARGUMENTS

Runs `python -m bcjax.main PROGRAM ARGUMENTS` on one machine with one or several GPUs.
One process drives all of them unless --processes asks for more.

  --gpus=0,1,2    the GPUs to use, as in CUDA_VISIBLE_DEVICES (default: all that are visible)
  --processes=N   start N processes, each with an equal share of the GPUs (default: 1)
  --venv=DIR      the virtual environment; made, with bcjax in it, if missing
                  (default: .venv in the checkout)
  --dry-run       print the commands and do nothing
  -h, --help      print this text

SIGTERM reaches the program, which saves a checkpoint and exits with status 143.
The exit status is the program's (of several processes, that of the first that failed).

Example:
  launch/gpu.sh --gpus=0,1 -- --config=configs/resnet50.py --config.data.source=PICTURES --workdir=runs/a
TEXT
}

# The CUDA_VISIBLE_DEVICES of one process: $1 its index, $2 the number of GPUs in a share.
share() {
  local IFS=,
  echo "${gpu_list[*]:$1 * $2:$2}"
}

free_port() {
  local port
  # Below the range that the kernel hands out by itself; taken if something answers there.
  while port=$((20000 + RANDOM % 10000)) && (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
  echo "$port"
}

gpus='' processes=1 venv=''
option() {
  case $1 in
    --gpus=*)
      gpus=${1#*=}
      [[ $gpus =~ ^[[:alnum:]/-]+(,[[:alnum:]/-]+)*$ ]] ||
        mistake "--gpus=$gpus is not a list of GPUs; write it like --gpus=0,1,2."
      ;;
    --processes=*)
      processes=${1#*=}
      [[ $processes =~ ^[1-9][0-9]*$ ]] ||
        mistake "--processes=$processes is not a number of processes; give 1 or more."
      ;;
    --venv=*)
      venv=${1#*=}
      [[ -n $venv ]] || mistake "--venv= names no folder; write it like --venv=.venv."
      ;;
    *) return 1 ;;
  esac
}

# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
venv=${venv:-$checkout/.venv}

if ((processes > 1)); then
  gpus=${gpus:-${CUDA_VISIBLE_DEVICES:-}}
  if [[ -z $gpus ]]; then
    gpus=$(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null | paste -sd, -) ||
      mistake "nvidia-smi lists no GPUs here; name them, like --gpus=0,1."
  fi
  IFS=, read -ra gpu_list <<<"$gpus"
  gpu_count=${#gpu_list[@]}
  ((gpu_count && gpu_count % processes == 0)) ||
    mistake "$gpu_count GPUs cannot be shared equally among $processes processes; change one of the two."
fi

# The console script is the last thing that an installation writes, so one that was cut short is
# taken up again.
if [[ ! -x $venv/bin/bcjax ]]; then
  run python3 -m venv "$venv"
  run "$venv/bin/python" -m pip install -e "${checkout}[cuda]"
fi
program=("$venv/bin/python" -m bcjax.main "$@")

if ((processes == 1)); then
  program=(env ${gpus:+"CUDA_VISIBLE_DEVICES=$gpus"} "${program[@]}")
  # exec: signals and the exit status are the program's own.
  if [[ -n $dry_run ]]; then show "${program[@]}"; else exec "${program[@]}"; fi
  exit
fi

address=127.0.0.1:$(free_port)
pids=() # the processes that still run, each at its own number
# SIGINT is passed on as SIGTERM: what a script starts in the background ignores SIGINT.
trap 'kill -TERM "${pids[@]}" 2>/dev/null || true' INT TERM
for ((i = 0; i < processes; i++)); do
  # Without the bind address, JAX's coordinator listens on every network interface.
  command=(env "CUDA_VISIBLE_DEVICES=$(share "$i" $((gpu_count / processes)))"
    "JAX_COORDINATOR_ADDRESS=$address" "JAX_COORDINATOR_BIND_ADDRESS=$address"
    "JAX_NUM_PROCESSES=$processes" "JAX_PROCESS_ID=$i" "${program[@]}")
  if [[ -n $dry_run ]]; then
    show "${command[@]}"
  else
    "${command[@]}" &
    pids[$!]=$!
  fi
done

# Asked of each process in turn: `wait -n` forgets one of two that end at the same time.
status=0
while ((${#pids[@]})); do
  for pid in "${pids[@]}"; do
    if kill -0 "$pid" 2>/dev/null; then continue; fi
    wait "$pid" && code=0 || code=$?
    unset "pids[$pid]"
    ((status)) || status=$code
    # After any end but a success or a saved stop (143) the others wait for the lost one inside a
    # collective, where Python handles no signal: only SIGKILL ends them.
    if ((code != 0 && code != 143 && ${#pids[@]})); then
      kill -KILL "${pids[@]}" 2>/dev/null || true
    fi
  done
  sleep 0.2 &
  wait $! || true # unlike sleep itself, cut short by a signal
done
exit "$status"
