#!/bin/bash
# Go-Explore on Slurm: sbatch slurm.sh [DIRECTORY]
# One Ray node on each Slurm node; the run is on the first.  Time over, or preempted: the run saves and goes on later.
#SBATCH --job-name=aiga
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem-per-cpu=2G
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

directory=${1:-$SLURM_SUBMIT_DIR/runs/go_explore}
beside=$SLURM_SUBMIT_DIR/examples/cluster  # submitted from the checkout
source "${AIGA_VENV:-$SLURM_SUBMIT_DIR/.venv}/bin/activate"

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
ip=$(srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000))  # others' jobs may be on the same node
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --node-ip-address="$ip" --port="$port" --num-cpus=$((SLURM_CPUS_PER_TASK - 1)) \
    --include-dashboard=false --temp-dir="/tmp/ray-$SLURM_JOB_ID" --block &
for _ in $(seq 60); do
    ray health-check --address "$ip:$port" 2>/dev/null && break
    sleep 2
done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    srun --overlap --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
        ray start --address="$ip:$port" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
fi

"$beside/go_on.sh" "$directory" "$ip:$port" 2880 go_explore --cells domain --batch 1000 &
run=$!
again=no
trap 'again=yes; kill -TERM $run' TERM
outcome=0
wait $run || outcome=$?
if [ $again = yes ]; then
    wait $run || true  # the signal ended the first wait; the run saves
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $outcome
