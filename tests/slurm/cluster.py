"""A SLURM cluster of one node, this machine, that only this machine can reach.

It needs root, and Debian's packages slurmctld, slurmd, slurm-client and munge; it uses
neither their services nor their configuration. All it writes is in one folder, but for
links in /etc/slurm while it is up: jobs look for their configuration there alone. Its
GPU is a device without function: SLURM hands it out, nobody computes.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
SYSTEM = Path("/etc/slurm")
LINKED = ("slurm.conf", "gres.conf")

CONFIGURATION = """\
ClusterName=unipool-test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/finished.txt
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=20
MinJobAge=300
MailProg=/bin/true
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} Gres=gpu:fake:1
PartitionName=main Nodes={host} Default=YES State=UP
"""


class Cluster:
    """Brings the cluster up in a ``with`` block, and down after it.

    Args:
        folder: for all it writes.
        cpus: that the node pretends to have.
    """

    def __init__(self, folder: Path, *, cpus: int = 8) -> None:
        self.folder, self.cpus = folder, cpus
        self.daemons: list[subprocess.Popen[bytes]] = []

    @staticmethod
    def obstacle() -> str | None:
        """Say why there can be none here, if so."""
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            return f"{', '.join(missing)}: not installed (make test-slurm installs it)"
        if os.geteuid() != 0:
            return "a SLURM cluster of our own takes root"
        if any((SYSTEM / name).exists() for name in LINKED):
            return f"this machine has a SLURM cluster already ({SYSTEM})"
        return None

    def __enter__(self) -> "Cluster":
        self._configure()
        try:
            munge = self.folder / "munge"
            self._start(
                *("munged", "--foreground", f"--key-file={munge / 'key'}"),
                *(f"--socket={munge / 'socket'}", f"--pid-file={munge / 'pid'}"),
                *(f"--log-file={munge / 'log'}", f"--seed-file={munge / 'seed'}"),
            )
            self._wait_until((munge / "socket").exists, "munged does not answer")
            self._start("slurmctld", "-D")
            self._start("slurmd", "-D")
            self._wait_until(self._is_ready, "no node is ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(subprocess.SubprocessError, RuntimeError):
            self.run("scancel", "--user=root", "--signal=KILL", "--full")
            self.run("scancel", "--user=root")
            self._wait_until(lambda: not self.jobs(), "jobs do not end")
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.send_signal(signal.SIGKILL)
                daemon.wait()
        for name in LINKED:
            link = SYSTEM / name
            if link.is_symlink() and link.readlink() == self.folder / name:
                link.unlink()

    def jobs(self) -> dict[int, str]:
        """Give the comment of each job that waits or runs: rule and wildcards."""
        lines = self.run("squeue", "--noheader", "--format=%A|%k").splitlines()
        return {int(line.split("|")[0]): line.split("|")[1] for line in lines}

    def finished(self) -> list[dict[str, str]]:
        """Give SLURM's own record of each job that has ended, in that order."""
        record = self.folder / "finished.txt"
        lines = record.read_text("utf-8").splitlines() if record.exists() else []
        return [dict(field.split("=", 1) for field in line.split()) for line in lines]

    def run(self, *command: str) -> str:
        """Run one of SLURM's programs."""
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def _start(self, *command: str) -> None:
        log = self.folder / f"{command[0]}.out"
        with log.open("wb") as out:
            self.daemons.append(subprocess.Popen(command, stdout=out, stderr=out))

    def _is_ready(self) -> bool:
        answer = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True
        )
        return answer.stdout.strip() == "idle"

    def _wait_until(self, condition: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            dead = [some.args[0] for some in self.daemons if some.poll() is not None]
            if dead or time.monotonic() > deadline:
                ended = f"; ended: {', '.join(dead)}" if dead else ""
                said = "\n".join(
                    p.read_text("utf-8") for p in self.folder.glob("*.out")
                )
                raise RuntimeError(f"{complaint}{ended}\n{said}")
            time.sleep(0.1)

    def _configure(self) -> None:
        munge = self.folder / "munge"
        for place in (munge, self.folder / "state", self.folder / "spool"):
            place.mkdir(parents=True)
        for place in (self.folder, munge):
            place.chmod(0o755)
        (munge / "key").touch(mode=0o600)
        (munge / "key").write_bytes(os.urandom(1024))
        host = socket.gethostname().split(".")[0]
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        contents = {
            "gres.conf": f"NodeName={host} Name=gpu Type=fake File=/dev/null\n",
            "slurm.conf": CONFIGURATION.format(
                folder=self.folder,
                host=host,
                cpus=self.cpus,
                memory_mb=memory * 9 // 10 // 2**20,
                controller_port=_free_port(),
                node_port=_free_port(),
            ),
        }
        SYSTEM.mkdir(exist_ok=True)
        for name, content in contents.items():
            (self.folder / name).write_text(content, "utf-8")
            (SYSTEM / name).unlink(missing_ok=True)  # of a cluster that was killed
            (SYSTEM / name).symlink_to(self.folder / name)


def _free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]
