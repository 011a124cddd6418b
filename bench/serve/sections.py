# SPDX-License-Identifier: Apache-2.0
"""What is measured, a function per section: (figure, unit, samples) one by one. README.md says what each means."""
import concurrent.futures
import http.client
import threading
import time

from client import Failed

PROMPT, ANSWER = 128, 48        # tokens of the requests that come at once
STREAM_PROMPT, STREAM_ANSWER = 64, 96
QUESTIONS = ("What is in the picture?", "Which colours do you see?")


class Bench:
    def __init__(self, server, inputs, repeats, context):
        self.server, self.inputs, self.repeats, self.context = server, inputs, repeats, context

    def times(self, one):
        return [one() for _ in range(self.repeats)]

    def warm_up(self):
        self.server.complete(self.inputs.text(32), 8).run()
        prompt = self.inputs.text(PROMPT)
        tokens = self.server.complete(prompt, 1).run().prompt_tokens
        if tokens not in (None, PROMPT):
            print(f"note: {PROMPT} digits are {tokens} tokens here; the model has another tokenizer than Qwen's", flush=True)

    # ---- pictures ----

    def first_token(self, side):
        """A new picture; the same question about it again; another question about it."""
        new, again, other = [], [], []
        for _ in range(self.repeats):
            png = self.inputs.picture(side)
            new.append(self.server.look(png, QUESTIONS[0], 1).run().first)
            again.append(self.server.look(png, QUESTIONS[0], 1).run().first)
            other.append(self.server.look(png, QUESTIONS[1], 1).run().first)
        yield f"http first token {side}x{side}", "s", new
        yield f"http first token {side}x{side} again", "s", again
        yield f"http first token {side}x{side} other question", "s", other

    def pause(self, side=1024):
        """The longest gap of a running stream while a new picture arrives and is answered."""
        yield f"http longest pause {side}x{side}", "s", self.times(lambda: self._pause(side))

    def _pause(self, side):
        """A stream after the other, where a fast model writes to its end before the picture is through."""
        png, over, streams, flowing = self.inputs.picture(side), threading.Event(), [], threading.Event()

        def write():
            while not over.is_set():
                stream = self.server.complete(self.inputs.text(STREAM_PROMPT), self.context - STREAM_PROMPT,
                                              watch_after=8, flowing=flowing)
                streams.append(stream.start())
                stream.read()

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            flowing.wait(self.server.timeout)
            try:
                look = self.server.look(png, QUESTIONS[0], 1).run()
                time.sleep(0.1)
            finally:
                over.set()
                while not writing.done():
                    streams[-1].leave()
                    time.sleep(0.01)
            writing.result()
        return max(gap for stream in streams for gap in self._gaps_while(stream, look.sent, look.token_times[0]))

    @staticmethod
    def _gaps_while(stream, begin, end):
        return [b - a for a, b in zip(stream.token_times, stream.token_times[1:]) if b >= begin and a <= end] or [0.0]

    # ---- streams ----

    def inter_token(self, n):
        """Gaps between the events of n streams that start together: of all, and once all of them answer."""
        steady, everything = [], []
        for _ in range(self.repeats):
            streams = self._together([(STREAM_PROMPT, STREAM_ANSWER)] * n)
            last_start = max(s.token_times[0] for s in streams)
            everything.append([gap for s in streams for gap in s.gaps()])
            steady.append([gap for s in streams for gap in s.gaps(after=last_start)] or everything[-1])
        for share in (50, 99):
            yield f"http inter-token {n} streams p{share}", "s", [_percentile(gaps, share) for gaps in steady]
        if n > 1:
            yield f"http inter-token {n} streams p99 with starts", "s", [_percentile(gaps, 99) for gaps in everything]

    def at_once(self, n):
        """n requests of 128 tokens in and 48 out: tokens of all answers over the time from the first request to the last token."""
        samples = []
        for _ in range(self.repeats):
            streams = self._together([(PROMPT, ANSWER)] * n)
            wall = max(s.token_times[-1] for s in streams) - min(s.sent for s in streams)
            samples.append(sum(s.completion_tokens for s in streams) / wall)
        yield f"http {n} requests at once", "tok/s", samples

    def _together(self, sizes):
        streams = [self.server.complete(self.inputs.text(prompt), answer) for prompt, answer in sizes]
        barrier = threading.Barrier(len(streams))

        def run(stream):
            barrier.wait()
            return stream.run()

        with concurrent.futures.ThreadPoolExecutor(len(streams)) as pool:
            return list(pool.map(run, streams))

    def answers(self, n):
        """Tokens per second of n streams while all of them answer: from the last first token to the first last one."""
        samples = []
        for _ in range(self.repeats):
            streams = self._together([(STREAM_PROMPT, STREAM_ANSWER)] * n)
            begin, end = max(s.token_times[0] for s in streams), min(s.token_times[-1] for s in streams)
            if end <= begin:
                raise Failed(f"{n} streams never answered at the same time; the server takes fewer at once")
            # Where a server puts several tokens into an event, each event counts as that many.
            samples.append(sum(sum(begin < t <= end for t in s.token_times) * s.completion_tokens / len(s.token_times)
                               for s in streams) / (end - begin))
        yield f"http answers of {n} streams", "tok/s", samples

    # ---- overhead ----

    def overhead(self, n_tokens=512):
        """Of one stream: time per token, and what of it is not the model's (servers that count ingot:model_seconds)."""
        n_tokens = min(n_tokens, self.context - STREAM_PROMPT)
        whole, rest = [], []
        for _ in range(self.repeats):
            before = self.server.metric("ingot:model_seconds_total")
            stream = self.server.complete(self.inputs.text(STREAM_PROMPT), n_tokens).run()
            after = self.server.metric("ingot:model_seconds_total")
            wall = stream.token_times[-1] - stream.sent
            whole.append((stream.token_times[-1] - stream.token_times[0]) / max(1, stream.completion_tokens - 1))
            if before is not None:
                rest.append(max(1e-9, wall - (after - before)) / stream.completion_tokens)
        yield "http time per token 1 stream", "s", whole
        if rest:
            yield "http overhead per token", "s", rest

    def requests(self, seconds=3.0, workers=16):
        """Whole requests of 8 tokens in and one out on connections that stay open."""
        yield f"http requests {workers} connections", "requests/s", self.times(lambda: self._requests(seconds, workers))

    def _requests(self, seconds, workers):
        end = time.perf_counter() + seconds
        bodies = [self.server.head_and_payload("POST", "/v1/completions", {
            "model": self.server.model, "prompt": self.inputs.text(8), "max_tokens": 1, "temperature": 0}, keep=True) for _ in range(64)]

        def run(worker):
            done = 0
            with self.server.connect() as connection:
                while time.perf_counter() < end:
                    connection.sendall(b"".join(bodies[(worker + 7 * done) % len(bodies)]))
                    answer = http.client.HTTPResponse(connection)
                    answer.begin()
                    text = answer.read()
                    if answer.status != 200:
                        raise Failed(f"/v1/completions: status {answer.status}: {text[:200]!r}")
                    done += 1
            return done

        begin = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            done = sum(pool.map(run, range(workers)))
        return done / (time.perf_counter() - begin)

    # ---- prompts and answers alone, for comparisons between servers ----

    def prompt_speed(self, n_tokens):
        yield f"http prompt {n_tokens}", "tok/s", self.times(
            lambda: n_tokens / self.server.complete(self.inputs.text(n_tokens), 1).run().first)


def _percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


SECTIONS = {
    "ttft448": lambda b: b.first_token(448),
    "ttft1024": lambda b: b.first_token(1024),
    "pause": lambda b: b.pause(),
    "itl1": lambda b: b.inter_token(1),
    "itl4": lambda b: b.inter_token(4),
    "itl16": lambda b: b.inter_token(16),
    "serve8": lambda b: b.at_once(8),
    "serve16": lambda b: b.at_once(16),
    "overhead": lambda b: b.overhead(),
    "requests": lambda b: b.requests(),
    "tg1": lambda b: b.answers(1),
    "tg8": lambda b: b.answers(8),
    "tg16": lambda b: b.answers(16),
    "pp512": lambda b: b.prompt_speed(512),
    "pp2048": lambda b: b.prompt_speed(2048),
}
USUAL = [name for name in SECTIONS if not name.startswith(("pp", "tg"))]
