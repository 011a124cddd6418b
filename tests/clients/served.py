# SPDX-License-Identifier: Apache-2.0
"""What the tests with foreign clients share: `ingot serve` on a free port of this machine, expectations, small HTTP calls.

Nothing but Python's own library is needed here; the clients themselves come from the virtual environment that
tests/clients/setup makes.
"""
import base64
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.parse

SKIPPED = 77


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


class Checks:
    """Counts expectations; a failed one is printed with what was found."""

    def __init__(self):
        self.passed = self.failed = 0

    def __call__(self, name, condition, found=None):
        if condition:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAIL: {name}" + ("" if found is None else f": found {str(found)[:800]}"), flush=True)
        return bool(condition)

    def equal(self, name, found, expected):
        return self(name, found == expected, f"{found!r}, expected {expected!r}")

    def finish(self):
        print(f"{self.passed + self.failed} expectations, {self.failed} failed")
        sys.exit(0 if self.failed == 0 and self.passed > 0 else 1)


class Paths:
    """The three arguments of every test: the program, tests/data, a scratch folder (emptied first)."""

    def __init__(self, argv=None):
        argv = sys.argv if argv is None else argv
        if len(argv) < 4:
            sys.exit(f"usage: {argv[0]} INGOT DATA WORK")
        self.ingot = os.path.realpath(argv[1])
        self.data = pathlib.Path(os.path.realpath(argv[2]))
        self.work = pathlib.Path(argv[3]).absolute()
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.tiny = self.data / "models/tiny-qwen3-vl"

    def pictures(self, n):
        return sorted((self.data / "calib64/images").iterdir())[:n]

    def run(self, *args, timeout=600):
        """One command of the program; its standard output."""
        done = subprocess.run([self.ingot, *map(str, args)], capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"ingot {' '.join(map(str, args))}: exit code {done.returncode}\n{done.stderr[-2000:]}")
        return done.stdout


def data_url(path):
    kind = {".png": "png", ".webp": "webp", ".gif": "gif"}.get(pathlib.Path(path).suffix, "jpeg")
    return f"data:image/{kind};base64," + base64.b64encode(pathlib.Path(path).read_bytes()).decode()


class Served:
    """`ingot serve MODEL OPTIONS` for the length of a `with`; ends by SIGTERM, which must give exit code 0."""

    def __init__(self, paths, model, *options, env=None, name="serve"):
        self.log_path = paths.work / f"{name}.err"
        self.command = [paths.ingot, "serve", str(model), "--host", "127.0.0.1", "--port", "0", *map(str, options)]
        self.out_path = paths.work / f"{name}.out"
        self.env = {**os.environ, **(env or {})}

    def __enter__(self):
        with open(self.log_path, "wb") as err, open(self.out_path, "wb") as out:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.env)
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            log = self.log()
            if re.search(r"^ready after", log, re.M):
                self.url = re.search(r"^API: +(\S+)/v1", log, re.M).group(1)
                self.port = int(self.url.rsplit(":", 1)[1])
                return self
            time.sleep(0.05)
        self.process.kill()
        raise RuntimeError(f"the server did not start:\n{self.log()[-2000:]}")

    def __exit__(self, kind, *_):
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended by itself: {self.process.returncode}\n{self.log()[-3000:]}")
        self.process.terminate()
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "none within 60 s"
        if kind is None and code != 0:
            raise RuntimeError(f"exit code {code} after SIGTERM\n{self.log()[-3000:]}")

    def log(self):
        return self.log_path.read_text(errors="replace")

    def alive(self):
        return self.process.poll() is None

    def request(self, method, path, body=None, headers=None, timeout=300):
        """(status, headers, bytes) of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def post(self, path, body, **more):
        status, _, answer = self.request("POST", path, body, **more)
        if status != 200:
            raise RuntimeError(f"{path}: status {status}: {answer[:500]!r}")
        return json.loads(answer)

    def metric(self, name):
        """The sum over the labels; None when there is no such metric."""
        text = self.request("GET", "/metrics")[2].decode()
        values = re.findall(rf"^{re.escape(name)}(?:{{.*}})? (\S+)$", text, re.M)
        return sum(map(float, values)) if values else None

    def idle(self, seconds=60):
        """Nothing runs or waits, every page is free."""
        names = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if all(self.metric(name) == 0 for name in names):
                return True
            time.sleep(0.05)
        return False

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident_kb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


def quoted(text):
    return urllib.parse.quote(str(text))
