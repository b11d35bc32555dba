#!/usr/bin/env bash
# Trains on one Cloud TPU VM; the text below says how.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: launch/tpu_vm.sh --name=NAME --zone=ZONE [OPTIONS] -- PROGRAM ARGUMENTS

Runs `python -m bcjax.main PROGRAM ARGUMENTS` on a Cloud TPU VM: creates the VM (or uses the one of
that name), installs the checkout's HEAD there, runs, copies the workdir back and deletes the VM.
The workdir is taken from --workdir=DIR or --config.workdir=DIR among the program's arguments.

  --name=NAME              the VM's name
  --zone=ZONE              its zone
  --project=PROJECT        its project (default: gcloud's)
  --accelerator-type=TYPE  a type of one host (default: v5litepod-8, the 8 chips of a v5e host)
  --version=VERSION        the runtime version that goes with it (default: v2-alpha-tpuv5-lite)
  --keep                   do not delete the VM
  --dry-run                print the commands for a VM that does not exist yet, and do nothing
  -h, --help               print this text

Training survives a lost connection: the same command takes it up again. SIGINT and SIGTERM stop
the program, which first saves a checkpoint. A VM is deleted only by the command that created it,
also when the program failed, but never before the workdir of a started run has been copied back.
The exit status is the program's, or 255 where a run was left on the VM because of the connection.

Example:
  launch/tpu_vm.sh --name=cells --zone=us-west4-a -- \
    --config=configs/resnet50.py --config.data.source=PICTURES --workdir=runs/a --config.optim.lr=3e-4
TEXT
}

vm() {
  run gcloud compute tpus tpu-vm "$@" --zone="$zone" ${project:+"--project=$project"} --quiet
}

# gcloud runs the command again, up to ten times, when the connection drops: each must bear that.
on_vm() {
  vm ssh "$name" --command="$1"
}

# Prints the run that the VM was created for, "absent" for no VM, nothing for a VM of other origin;
# in a dry run, the answer supposed.
owner() {
  if vm describe "$name" --format='value(labels.bcjax-run)' 2>"$scratch/error"; then
    [[ -z $dry_run ]] || echo "$1"
  elif grep -q NOT_FOUND "$scratch/error"; then
    echo absent
  else
    cat "$scratch/error" >&2
    return 1
  fi
}

# The end of every path, so also of a failed one. Whose the VM is, is read off the VM itself: that
# is right after an interrupted creation too, and for a run that was taken up again.
# shellcheck disable=SC2329  # called by the trap
finish() {
  local status=$? origin='' failed=''
  trap '' HUP INT TERM
  if [[ -z $holds_run ]]; then
    origin=$(owner "$run_id") || failed=yes
    if [[ $origin == "$run_id" && -z $keep ]]; then
      if vm delete "$name"; then origin=absent; else failed=yes; fi
    fi
  fi
  if [[ $origin != absent && -z $dry_run ]]; then
    say "The VM $name goes on running, and costing, until you delete it: $delete_by_hand"
  fi
  [[ -z $failed ]] || ((status)) || status=1
  rm -r "$scratch"
  exit "$status"
}

leave() {
  say "$1 Give the same command again to take it up."
  exit 255
}

name='' zone='' project='' keep=''
accelerator_type=v5litepod-8 version=v2-alpha-tpuv5-lite
option() {
  case $1 in
    --name=*) name=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --project=*) project=${1#*=} ;;
    --accelerator-type=*) accelerator_type=${1#*=} ;;
    --version=*) version=${1#*=} ;;
    --keep) keep=yes ;;
    *) return 1 ;;
  esac
}

# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[[ $name =~ ^[a-z][a-z0-9-]*$ ]] ||
  mistake "Name the VM with --name=NAME, in lower-case letters, digits and hyphens."
[[ -n $zone ]] || mistake "Say where the VM is to be with --zone=ZONE."

workdir='' previous=''
for argument; do
  case $argument in --workdir=* | --config.workdir=*) workdir=${argument#*=} ;; esac
  case $previous in --workdir | --config.workdir) workdir=$argument ;; esac
  previous=$argument
done
[[ -n $workdir ]] ||
  mistake "Say where the run is to be kept with --workdir=DIR among the program's arguments."
[[ -n $dry_run ]] || command -v gcloud >/dev/null ||
  mistake "gcloud is not installed; see https://cloud.google.com/sdk/docs/install."

program=$(printf '%q ' .venv/bin/python -m bcjax.main "$@")
run_id=$(printf %s "$program" | cksum | cut -d' ' -f1) # the same command is the same run
home=bcjax-$run_id                                     # the run's folder on the VM
delete_by_hand="gcloud compute tpus tpu-vm delete $name --zone=$zone${project:+ --project=$project}"
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT

[[ -z $(git -C "$checkout" status --porcelain --untracked-files=no) ]] ||
  say "Changes that are not committed stay behind: the VM gets HEAD."
run git -C "$checkout" archive --format=tar.gz --output="$scratch/checkout.tar.gz" HEAD

origin=$(owner absent)
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM
holds_run='' started=''
if [[ $origin == absent ]]; then
  # A VM to be kept carries no label, so that nothing deletes it later either.
  label=--labels=bcjax-run=$run_id
  [[ -z $keep ]] || label=''
  vm create "$name" --accelerator-type="$accelerator_type" --version="$version" ${label:+"$label"}
else
  holds_run=yes # as long as nothing else is known
  started=$(on_vm "test ! -d $home/job || echo yes") || leave "The VM $name is out of reach."
  [[ -n $started ]] || holds_run=''
fi

if [[ -z $started ]]; then
  vm scp "$scratch/checkout.tar.gz" "$name:$home.tar.gz"
  # uv brings a Python that bcjax can use: the TPU images have 3.10.
  on_vm "mkdir -p $home && tar -xzf $home.tar.gz -C $home && cd $home &&
    { test -x .venv/bin/pip || { python3 -m pip install --quiet --user uv &&
      python3 -m uv venv --quiet --seed --python=3.12 .venv; }; } &&
    .venv/bin/pip install --quiet '.[tpu]'"
fi

# On the VM: job/ exists once the program was started, job/lock is held as long as it runs,
# job/status appears when it ends. JAX_PLATFORMS makes a missing TPU an error, not a slow run.
# shellcheck disable=SC2016  # expanded on the VM
runner='"$@" 9>&- & echo $! >job/pid; wait $!; echo $? >job/status'
holds_run=yes
on_vm "cd $home || exit
  if mkdir job 2>/dev/null; then
    exec 9>job/lock && flock 9
    PYTHONUNBUFFERED=1 JAX_PLATFORMS=tpu,cpu \
      nohup bash -c $(printf %q "$runner") runner $program >job/log 2>&1 </dev/null &
  fi" || leave "The VM $name is out of reach."

trap 'on_vm "kill -TERM \$(cat $home/job/pid)" || true' INT TERM
trap 'leave "The terminal is gone; the run stays on the VM."' HUP
while true; do
  # In the background, so that a signal is acted on at once. How the following ended says nothing
  # of the run, which may go on: that is asked next.
  on_vm "cd $home/job && { flock lock true & tail -n +1 -f -s 0.1 --pid=\$! log; true; }" &
  while kill -0 $! 2>/dev/null; do wait $! || true; done
  status=$(on_vm "cd $home/job && if flock -n lock true; then cat status 2>/dev/null || echo 1; fi") ||
    leave "The VM $name is out of reach; training goes on there."
  [[ -z $status && -z $dry_run ]] || break
done

trap '' INT TERM # the program has ended: what is left is to bring its workdir home
folder=$(printf %q "$workdir")
{
  on_vm "cd $home && mkdir -p $folder && tar -czf ../$home.out.tar.gz -C $folder ." &&
    vm scp "$name:$home.out.tar.gz" "$scratch/workdir.tar.gz" &&
    run mkdir -p "$workdir" &&
    run tar -xzf "$scratch/workdir.tar.gz" -C "$workdir" &&
    on_vm "rm -r $home/job"
} || leave "The program ended with status $status, but its workdir could not be copied to $workdir."
holds_run=''
exit "${status:-0}"
