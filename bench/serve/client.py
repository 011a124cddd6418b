# SPDX-License-Identifier: Apache-2.0
"""Streams of an OpenAI-compatible server with the moment at which each of their events arrived.

A reader only notes when bytes came; they are taken apart when the answer is whole, so that sixteen streams of a fast model are not
measured through this program's own parsing.
"""
import base64
import bisect
import json
import socket
import threading
import time
import urllib.parse


class Failed(Exception):
    """The server answered with an error, or with something that is no stream."""


class Stream:
    """One streamed request: `start` sends it on this thread, `read` waits for its end. Times are of time.perf_counter()."""

    def __init__(self, server, path, body, watch_after=0, flowing=None):
        self.server, self.path = server, path
        self.body = {"stream": True, "stream_options": {"include_usage": True}, "temperature": 0, "model": server.model, **body}
        self.raw, self.ends, self.times = bytearray(), [], []
        self.watch_after, self.flowing = watch_after, flowing or threading.Event()  # set when so many events have come
        self.leaving = False

    def start(self):
        head, payload = self.server.head_and_payload("POST", self.path, self.body)
        self.socket = self.server.connect()
        self.sent = time.perf_counter()
        self.socket.sendall(head + payload)
        return self

    def read(self):
        seen = 0
        while not self.leaving:
            try:
                piece = self.socket.recv(1 << 16)
            except OSError:
                break
            if not piece:
                break
            self.times.append(time.perf_counter())
            self.raw += piece
            self.ends.append(len(self.raw))
            if seen < self.watch_after:
                seen += piece.count(b"data: ")
                if seen >= self.watch_after:
                    self.flowing.set()
        self.flowing.set()
        self.socket.close()
        return self._parse()

    def run(self):
        return self.start().read()

    def leave(self):
        """Goes away in the middle; `read` on the other thread returns what there was."""
        self.leaving = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _time_at(self, offset):
        return self.times[bisect.bisect_left(self.ends, offset)]

    def _pieces(self):
        """(bytes of the body, when the last of them was there), with the chunked coding taken off."""
        head_end = self.raw.find(b"\r\n\r\n")
        if head_end < 0:
            raise Failed(f"{self.path}: no answer from the server" if not self.raw else f"{self.path}: {bytes(self.raw[:200])!r}")
        head, at = bytes(self.raw[:head_end]).decode("latin-1"), head_end + 4
        self.status = int(head.split(" ", 2)[1])
        if "transfer-encoding: chunked" not in head.lower():
            ends = [end for end in self.ends if end > at]
            for begin, end in zip([at, *ends], ends):
                yield bytes(self.raw[begin:end]), self._time_at(end)
            return
        while True:
            line_end = self.raw.find(b"\r\n", at)
            if line_end < 0:
                return  # left in the middle
            size = int(bytes(self.raw[at:line_end]).split(b";")[0], 16)
            begin, end = line_end + 2, line_end + 2 + size
            if size == 0 or end > len(self.raw):
                return
            yield bytes(self.raw[begin:end]), self._time_at(end)
            at = end + 2

    def _parse(self):
        body, events = b"", []
        for piece, when in self._pieces():
            body += piece
            if self.status != 200:
                continue
            *lines, body = body.split(b"\n")
            events += [(when, line[5:].strip()) for line in lines if line.startswith(b"data:")]
        if self.status != 200:
            raise Failed(f"{self.path}: status {self.status}: {body[:400].decode(errors='replace')}")
        self._read_events([(when, json.loads(text)) for when, text in events if text != b"[DONE]"])
        return self

    def _read_events(self, events):
        self.token_times, self.prompt_tokens, self.completion_tokens = [], None, None
        for when, event in events:
            if "error" in event:
                raise Failed(f"{self.path}: {str(event['error'])[:400]}")
            usage = event.get("usage") or {}
            self.prompt_tokens = usage.get("prompt_tokens", self.prompt_tokens)
            self.completion_tokens = usage.get("completion_tokens", self.completion_tokens)
            choices = event.get("choices") or []
            if choices and self._has_token(choices[0]):
                self.token_times.append(when)
        if self.completion_tokens is None:
            self.completion_tokens = len(self.token_times)

    @staticmethod
    def _has_token(choice):
        """An event of a token: text, or ids where the server gives them (a token may have no text of its own). Not the role."""
        delta = choice.get("delta") or {}
        return bool(choice.get("text") or delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning")
                    or choice.get("token_ids"))

    @property
    def first(self):
        if not self.token_times:
            raise Failed(f"{self.path}: the stream has no token")
        return self.token_times[0] - self.sent

    def gaps(self, after=0.0):
        """Seconds between neighbouring events that both came at or after this moment."""
        times = [t for t in self.token_times if t >= after]
        return [b - a for a, b in zip(times, times[1:])]


class Server:
    """A running server as HTTP sees it."""

    def __init__(self, url, model="", key="", timeout=900):
        parts = urllib.parse.urlsplit(url if "//" in url else "http://" + url)
        if parts.scheme != "http":
            raise SystemExit(f"measure: {url}: only http:// is measured")
        self.host, self.port, self.root = parts.hostname, parts.port or 80, parts.path.rstrip("/")
        self.key, self.timeout, self.model = key, timeout, model

    def connect(self):
        connection = socket.create_connection((self.host, self.port), timeout=self.timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def head_and_payload(self, method, path, body=None, keep=False):
        payload = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {self.root}{path} HTTP/1.1", f"Host: {self.host}:{self.port}", f"Content-Length: {len(payload)}"]
        if body is not None:
            lines.append("Content-Type: application/json")
        if self.key:
            lines.append(f"Authorization: Bearer {self.key}")
        if not keep:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode(), payload

    def get(self, path, timeout=5):
        """(status, text); (0, "") when nobody answers."""
        try:
            with socket.create_connection((self.host, self.port), timeout=timeout) as connection:
                connection.sendall(b"".join(self.head_and_payload("GET", path)))
                raw = b""
                while piece := connection.recv(1 << 16):
                    raw += piece
        except OSError:
            return 0, ""
        head, _, body = raw.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            whole = b""
            while body:
                size, _, rest = body.partition(b"\r\n")
                count = int(size.split(b";")[0] or b"0", 16)
                if count == 0:
                    break
                whole, body = whole + rest[:count], rest[count + 2:]
            body = whole
        try:
            return int(head.split(b" ", 2)[1]), body.decode(errors="replace")
        except (IndexError, ValueError):
            return 0, ""

    def ready(self):
        """The path that servers answer with 200 once the model can be asked; not all have /health."""
        status, _ = self.get("/health")
        return status == 200 or (status in (401, 404) and self.get("/v1/models")[0] == 200)

    def find_model(self):
        status, text = self.get("/v1/models")
        if status != 200:
            raise Failed(f"/v1/models: status {status}")
        first = json.loads(text)["data"][0]
        self.model = self.model or first["id"]
        return first.get("max_model_len")

    def metric(self, name):
        """The sum over the labels; None when the server has no such metric."""
        total = None
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name) and line[len(name):len(name) + 1] in ("{", " "):
                total = (total or 0) + float(line.rsplit(" ", 1)[1])
        return total

    def complete(self, prompt, n_tokens, **more):
        return Stream(self, "/v1/completions", {"prompt": prompt, "max_tokens": n_tokens, "ignore_eos": True,
                                                "return_token_ids": True, **more.pop("body", {})}, **more)

    def look(self, png, question, n_tokens):
        url = "data:image/png;base64," + base64.b64encode(png).decode()
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
        return Stream(self, "/v1/chat/completions", {"messages": [{"role": "user", "content": content}], "max_tokens": n_tokens,
                                                     "ignore_eos": True, "return_token_ids": True})
