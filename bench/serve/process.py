# SPDX-License-Identifier: Apache-2.0
"""The server's process, and what else the machine did meanwhile."""
import os
import re
import resource
import signal
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


def _tree(pid):
    """The process and all its descendants."""
    found, todo = [], [str(pid)]
    while todo:
        one = todo.pop()
        try:
            for thread in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{thread}/children") as file:
                    todo += file.read().split()
        except OSError:
            continue
        found.append(one)
    return found


def memory_gb(pid, field):
    """VmHWM (most so far) or VmRSS (now) of the tree, in GB."""
    total = 0
    for one in _tree(pid):
        try:
            with open(f"/proc/{one}/status") as file:
                match = re.search(rf"^{field}:\s+(\d+) kB", file.read(), re.M)
            total += int(match.group(1)) if match else 0
        except OSError:
            pass
    return total * 1024 / 1e9


def _tree_seconds(pid):
    ticks = 0
    for one in _tree(pid):
        try:
            with open(f"/proc/{one}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            ticks += sum(map(int, fields[11:15]))  # its own and those of children that have ended
        except (OSError, IndexError):
            pass
    return ticks / TICKS


def _machine_seconds():
    with open("/proc/stat") as file:
        values = list(map(int, file.readline().split()[1:9]))
    return (sum(values) - values[3] - values[4]) / TICKS  # without idle and iowait


class Watch:
    """Cores that this client and that others used since the construction."""

    def __init__(self, pid):
        self.pid = pid
        self.begin = self._now()

    def _now(self):
        usage = resource.getrusage(resource.RUSAGE_SELF)
        server = _tree_seconds(self.pid) if self.pid else 0.0
        return time.perf_counter(), _machine_seconds(), usage.ru_utime + usage.ru_stime, server

    def cores(self):
        """(client, others); others is None where the server's process is not known."""
        wall, machine, client, server = (b - a for a, b in zip(self.begin, self._now()))
        if wall <= 0:
            return 0.0, None
        return client / wall, max(0.0, (machine - client - server) / wall) if self.pid else None


class Started:
    """A server that this program starts and ends; `ready_seconds` from its start until it can be asked."""

    def __init__(self, command, server, log, timeout):
        with open(log, "ab") as file:
            begin = time.perf_counter()
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
        while not server.ready():
            if self.process.poll() is not None or time.perf_counter() - begin > timeout:
                self.stop()
                raise SystemExit(f"measure: the server did not become ready, see {log}")
            time.sleep(0.01)
        self.ready_seconds = time.perf_counter() - begin
        self.pid = self.process.pid

    def stop(self):
        if self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
