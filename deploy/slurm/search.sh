#!/bin/bash
# One search in a Slurm allocation: two nodes with eight GPUs each, on a file system that both mount.
#
#   sbatch deploy/slurm/search.sh
#
# The first node is the head and runs the command, the other joins it; both end with the command. The same job again
# goes on where the last one stopped, so a time limit or a requeue costs only what was being computed.
#SBATCH --job-name=autodp
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail

SHARED=${SHARED:-$PWD/autodp}        # a folder that all nodes mount
CONFIG=${CONFIG:-configs/paper/medical-o1.yaml}
DATA=${DATA:-$SHARED/data.jsonl}
NAME=${NAME:-medical-o1}

source .venv/bin/activate
HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
PORT=$((20000 + SLURM_JOB_ID % 10000)) # two jobs on one node do not meet
export AUTODP_SHARED_STORAGE=1 HF_HOME=${HF_HOME:-$SHARED/huggingface}
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300 # seconds in which all nodes must have joined; Ray's default is 30

# --exclusive matters: when it ends, symmetric-run stops every Ray of yours on its nodes.
srun --kill-on-bad-exit=1 ray symmetric-run --address "$HEAD:$PORT" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-gpus 8 --dashboard-host 127.0.0.1 -- \
    env RAY_ADDRESS=auto autodp run "$CONFIG" --run-dir "$SHARED/runs/$NAME" \
    --set "storage=$SHARED" --set "dataset.path=$DATA"
