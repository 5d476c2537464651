"""Several processes on this machine as the workers of a cluster, over loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

# Seconds after which a worker that should have ended is killed: a test must not wait forever.
TIME_LIMIT = 240


class Worker:
    """A worker's process and, once it has ended, its status and output."""

    def __init__(self, arguments, addresses, index, cwd):
        task = {"type": "worker", "index": index}
        config = {"cluster": {"worker": addresses}, "task": task}
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CONFIG": json.dumps(config), "TF_NUM_INTRAOP_THREADS": "1"},
            start_new_session=True,
        )

    def signal(self, number):
        os.kill(self._process.pid, number)

    @property
    def running(self):
        return self._process.poll() is None

    def end(self):
        """Waits for its end; returns (status, stdout, stderr)."""
        try:
            output = self._process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            output = self._process.communicate()
            raise AssertionError(f"a worker did not end:\n{output[1][-3000:]}") from None
        return self._process.returncode, *output

    def read_error(self):
        """The next line of its stderr; empty when it has ended."""
        return self._process.stderr.readline()

    def kill(self):
        if self.running:
            os.killpg(self._process.pid, signal.SIGKILL)


def free_addresses(count):
    """Addresses of this machine at which nothing listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return [f"127.0.0.1:{port}" for port in ports]


def wait_for(condition, workers):
    """Waits until the condition holds, while all workers run."""
    end = time.monotonic() + TIME_LIMIT
    while not condition():
        assert all(worker.running for worker in workers), [worker.end() for worker in workers]
        assert time.monotonic() < end
        time.sleep(0.05)
