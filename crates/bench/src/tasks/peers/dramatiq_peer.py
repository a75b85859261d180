"""Dramatiq, as its documentation has it: dramatiq_peer.py PORT STAGE COUNT [PROCESSES THREADS]

Stages: single puts COUNT tasks into the queue (there is no bulk), process works through COUNT that are
there, latency sends COUNT at a hundred a second and works on them. Prints one line of JSON.
"""

import json
import os
import signal
import subprocess
import sys
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

PORT = os.environ.get("BENCH_PORT") or sys.argv[1]
broker = RedisBroker(host="127.0.0.1", port=int(PORT))
dramatiq.set_broker(broker)
latencies = []


@dramatiq.actor
def noop(n):
    pass


@dramatiq.actor
def timed(sent):
    latencies.append((time.time() - sent) * 1000)


def single(count, *_):
    started = time.perf_counter()
    for n in range(count):
        noop.send(n)
    return {"seconds": time.perf_counter() - started}


def process(count, processes, threads):
    environment = dict(os.environ, BENCH_PORT=PORT, PYTHONPATH=os.path.dirname(os.path.abspath(__file__)))
    command = [sys.executable, "-m", "dramatiq", "dramatiq_peer", "--processes", processes, "--threads", threads]
    log = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "log"), "w+")
    workers = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    first = None
    try:
        while True:
            left = broker.client.hlen("dramatiq:default.msgs")
            now = time.perf_counter()
            if first is None and left < count:
                first = (now, left)
            if left == 0:
                # What was done before the first look is not in the time, so not in the count.
                return {"seconds": (now - first[0]) * count / first[1]}
            if workers.poll() is not None:
                log.seek(0)
                raise SystemExit("the workers have ended:\n" + log.read())
            time.sleep(0.01)
    finally:
        workers.send_signal(signal.SIGTERM)
        workers.wait()


def latency(count, threads):
    worker = dramatiq.Worker(broker, worker_threads=threads)
    worker.start()
    started = time.time() + 0.5
    for n in range(count):
        time.sleep(max(0, started + n * 0.01 - time.time()))
        timed.send(time.time())
    while len(latencies) < count:
        time.sleep(0.01)
    worker.stop()
    return {"latencies_ms": latencies}


if __name__ == "__main__":
    _, _, stage, count, *rest = sys.argv
    stages = {"single": single, "process": process, "latency": lambda count, *_: latency(count, 8)}
    print(json.dumps(stages[stage](int(count), *rest)))
