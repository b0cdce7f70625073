#!/bin/bash
# One-node Slurm for tests: munged + slurmctld + slurmd on this machine, no systemd, no cgroups.
# With --acct also MariaDB + slurmdbd, so that sacct works (submitit polls it).
# Run as root on Debian 12. Safe to run twice: what is already up is left alone.
#   slurm_up.sh [--acct] [--cpus N] [--mem MB]
# SLURM_TEST_EXTRA holds more lines for slurm.conf.
set -euo pipefail

ACCT=0
CPUS=${SLURM_TEST_CPUS:-}
MEM=${SLURM_TEST_MEM:-}
while [ $# -gt 0 ]; do
    case $1 in
        --acct) ACCT=1 ;;
        --cpus) CPUS=$2; shift ;;
        --mem) MEM=$2; shift ;;
        *) echo "unknown option $1" >&2; exit 2 ;;
    esac
    shift
done

ROOT=${SLURM_TEST_ROOT:-/var/lib/slurm-one}
CONF=/etc/slurm/slurm.conf
NODE=$(hostname -s)
# More CPUs than the machine has are accepted (config_overrides): tests want several jobs at once.
CPUS=${CPUS:-4}
MEM=${MEM:-4000}

t_last=$(date +%s.%N)
step() { # print how long the last step took
    local now; now=$(date +%s.%N)
    awk -v a="$t_last" -v b="$now" -v n="$1" 'BEGIN { printf "%6.2f s  %s\n", b - a, n }'
    t_last=$now
}
wait_for() { # wait_for SECONDS COMMAND...
    local n=$(($1 * 10)); shift
    for _ in $(seq "$n"); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    echo "gave up waiting for: $*" >&2
    return 1
}
alive() { # alive PIDFILE
    [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null
}

# 1. packages
want=(slurm-wlm munge)
[ "$ACCT" = 1 ] && want+=(slurmdbd mariadb-server)
missing=()
for p in "${want[@]}"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
step "packages: ${want[*]}"

mkdir -p "$ROOT"/{state,spool,log,run,db} /run/munge
chmod 755 "$ROOT"

# 2. munge
chown -R munge:munge /run/munge /etc/munge /var/lib/munge /var/log/munge
chmod 755 /run/munge
[ -s /etc/munge/munge.key ] || { dd if=/dev/urandom bs=1 count=1024 of=/etc/munge/munge.key status=none
    chown munge:munge /etc/munge/munge.key; chmod 400 /etc/munge/munge.key; }
if ! alive /run/munge/munged.pid; then
    su -s /bin/sh munge -c /usr/sbin/munged
fi
wait_for 10 sh -c 'munge -n | unmunge'
step munged

# 3. slurm.conf: rewritten only when it differs, so a second run disturbs nothing
STORAGE='AccountingStorageType=accounting_storage/none'
if [ "$ACCT" = 1 ]; then
    STORAGE='AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost'
fi
cat >"$ROOT/slurm.conf.new" <<END
ClusterName=one
SlurmctldHost=$NODE(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# a requeued job waits for its old credential to expire (120 s unless told):
AuthInfo=cred_expire=5
StateSaveLocation=$ROOT/state
SlurmdSpoolDir=$ROOT/spool
SlurmctldPidFile=$ROOT/run/slurmctld.pid
SlurmdPidFile=$ROOT/run/slurmd.pid
SlurmctldLogFile=$ROOT/log/slurmctld.log
SlurmdLogFile=$ROOT/log/slurmd.log
# no cgroups needed:
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
# cores and memory are counted, not enforced; the counts below need not be true:
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
DefMemPerCPU=100
# quick turn-round and requeue for tests:
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
MinJobAge=3600
KillWait=30
OverTimeLimit=0
JobRequeue=1
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
$STORAGE
${SLURM_TEST_EXTRA:-}
NodeName=$NODE NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=$MEM State=UNKNOWN
PartitionName=main Nodes=$NODE Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=3
PartitionName=urgent Nodes=$NODE MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
END
if ! cmp -s "$ROOT/slurm.conf.new" "$CONF"; then
    mkdir -p /etc/slurm
    cp "$ROOT/slurm.conf.new" "$CONF"
    for d in slurmd slurmctld; do
        if alive "$ROOT/run/$d.pid"; then
            pid=$(cat "$ROOT/run/$d.pid"); kill "$pid"; wait_for 20 sh -c "! kill -0 $pid"
        fi
    done
fi
step slurm.conf

# 4. accounting (sacct), before the controller, which registers the cluster in it
if [ "$ACCT" = 1 ]; then
    # an instance of our own, beside any that the package may have started
    SOCK=$ROOT/db/mysqld.sock
    if ! alive "$ROOT/run/mariadb.pid"; then
        chown -R mysql:mysql "$ROOT/db"
        [ -d "$ROOT/db/mysql" ] || mariadb-install-db --user=mysql --datadir="$ROOT/db" \
            --auth-root-authentication-method=socket --skip-test-db >"$ROOT/log/mariadb-install.log" 2>&1
        setsid mariadbd --no-defaults --user=mysql --datadir="$ROOT/db" --socket="$SOCK" \
            --pid-file="$ROOT/db/mariadb.pid" --bind-address=127.0.0.1 --port=3316 --skip-name-resolve \
            --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
            >"$ROOT/log/mariadb.log" 2>&1 </dev/null &
        echo $! >"$ROOT/run/mariadb.pid"
    fi
    wait_for 30 mariadb-admin --no-defaults --socket="$SOCK" ping
    mariadb --no-defaults --socket="$SOCK" -e "
        CREATE DATABASE IF NOT EXISTS slurm_acct_db;
        CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm';
        GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1';"
    step mariadbd
    cat >/etc/slurm/slurmdbd.conf <<END
AuthType=auth/munge
DbdHost=localhost
SlurmUser=root
LogFile=$ROOT/log/slurmdbd.log
PidFile=$ROOT/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=3316
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
END
    chmod 600 /etc/slurm/slurmdbd.conf
    alive "$ROOT/run/slurmdbd.pid" || slurmdbd
    wait_for 30 sacctmgr -n show cluster
    step slurmdbd
fi

# 5. controller, then node
alive "$ROOT/run/slurmctld.pid" || slurmctld
wait_for 30 scontrol ping
step slurmctld
alive "$ROOT/run/slurmd.pid" || slurmd -N "$NODE"
wait_for 30 sh -c "sinfo -h -o %T | grep -Eq 'idle|mixed|allocated'"
step slurmd

# 6. a job
wait_for 30 srun -n1 true
step "first srun"
sinfo
