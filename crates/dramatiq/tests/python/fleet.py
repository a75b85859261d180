"""Programs of a team that runs Dramatiq; nothing in them knows of Tidegate.

    fleet.py codec-write SEED COUNT      prints messages, one a line
    fleet.py codec-read FILE             reads messages, one a line, and prints those that change
    fleet.py send SCENARIO               sends what a scenario asks for
    fleet.py results FILE                prints the result of each message of a file, one a line
    fleet.py work THREADS [SECONDS]      works until it is ended

The server is in REDIS_URL, milliseconds of the heartbeat's timeout in HEARTBEAT_MS.
"""

import json
import os
import random
import signal
import sys
import time
import uuid

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.message import Message
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import RedisBackend as RateLimits
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend as ResultBackend
from dramatiq.results.errors import ResultFailure

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1")
# Every command does the maintenance that otherwise one in a thousand does.
broker = RedisBroker(
    url=URL,
    maintenance_chance=1_000_000,
    heartbeat_timeout=int(os.environ.get("HEARTBEAT_MS", "60000")),
)
backend = ResultBackend(url=URL)
broker.add_middleware(Results(backend=backend))
broker.add_middleware(GroupCallbacks(RateLimits(url=URL)))
dramatiq.set_broker(broker)


def say(*words):
    # One write, since the lines of several threads would mix.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


@dramatiq.actor
def note(text):
    say("noted", text)


@dramatiq.actor(store_results=True)
def add(x, y):
    return x + y


@dramatiq.actor(store_results=True)
def fail(text):
    raise ValueError(text)


@dramatiq.actor(max_retries=3, min_backoff=10, max_backoff=20, store_results=True)
def flaky(name, failures):
    tries = broker.client.incr("tries:" + name)
    if tries <= failures:
        raise ValueError("try %d" % tries)
    say("succeeded", name, tries)
    return tries


@dramatiq.actor
def slow(text, seconds):
    say("began", text)
    time.sleep(seconds)
    say("ended", text)


@dramatiq.actor
def succeeded(message, result):
    say("success", message["actor_name"], json.dumps(result))


@dramatiq.actor
def failed(message, error):
    say("failure", message["actor_name"], error["type"], error["message"])


@dramatiq.actor
def exhausted(message, retries):
    say("exhausted", message["actor_name"], retries["retries"], retries["max_retries"])


@dramatiq.actor(priority=10)
def later(text):
    say("noted", text)


@dramatiq.actor(priority=0)
def sooner(text):
    say("noted", text)


def any_value(chance, depth=0):
    kind = chance.randrange(9 if depth < 4 else 7)
    if kind == 0:
        return chance.choice([None, True, False])
    if kind == 1:
        return chance.randrange(-(10**30), 10**30)
    if kind == 2:
        return chance.choice([float("nan"), float("inf"), float("-inf"), 1e300, -0.0, 1e16, 1e-7])
    if kind == 3:
        return chance.random() * 10 ** chance.randrange(-20, 20)
    if kind in (4, 5, 6):
        points = [chance.randrange(0x20), chance.randrange(0x20, 0x7F), 0x7F, 0xE9, 0x20AC, 0xD800, 0xDFFF, 0x1F600]
        return "".join(chr(chance.choice(points)) for _ in range(chance.randrange(8)))
    if kind == 7:
        return [any_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {any_value_name(chance, i): any_value(chance, depth + 1) for i in range(chance.randrange(4))}


def any_value_name(chance, i):
    return chance.choice(["a", "é", "\u2028", '"', "\\", "\x00", "😀"]) + str(i)


def codec_write(seed, count):
    chance = random.Random(seed)
    for _ in range(count):
        message = Message(
            queue_name="default",
            actor_name=chance.choice(["add", "Ünïcode", "with\nline", 'quo"te']),
            args=tuple(any_value(chance) for _ in range(chance.randrange(4))),
            kwargs={"k%d" % i: any_value(chance) for i in range(chance.randrange(3))},
            options={"o%d" % i: any_value(chance) for i in range(chance.randrange(3))},
        )
        print(message.encode().decode("ascii"))


def codec_read(file):
    count = 0
    with open(file, "rb") as lines:
        for line in lines:
            line = line.rstrip(b"\n")
            again = Message.decode(line).encode()
            if again != line:
                say("differs", line, again)
            count += 1
    say("read", count)


def send(scenario):
    if scenario == "plain":
        note.send("by position")
        note.send(text="by name")
        note.send_with_options(args=("later",), delay=300)
    elif scenario == "results":
        sent = [add.send(1, 2), add.send(x=3, y=4), fail.send_with_options(args=("no",), max_retries=0)]
        say("sent", json.dumps([message.asdict() for message in sent]))
        for message in sent:
            try:
                say("result", message.get_result(block=True, timeout=30_000))
            except ResultFailure as failure:
                say("failure", failure.orig_exc_type, failure.orig_exc_msg)
    elif scenario == "retries":
        say("result", flaky.send("twice", 2).get_result(block=True, timeout=30_000))
        try:
            flaky.send_with_options(args=("always", 100), on_retry_exhausted="exhausted").get_result(
                block=True, timeout=30_000
            )
        except ResultFailure as failure:
            say("failure", failure.orig_exc_type)
    elif scenario == "callbacks":
        add.send_with_options(args=(1, 2), on_success="succeeded")
        fail.send_with_options(args=("no",), on_failure="failed", max_retries=0)
    elif scenario == "pipeline":
        pipeline = add.message(1, 2) | add.message(10) | add.message(100)
        say("result", pipeline.run().get_result(block=True, timeout=30_000))
    elif scenario == "group":
        group = dramatiq.group([add.message(i, i) for i in range(10)])
        group.add_completion_callback(note.message("complete"))
        group.run()
        say("results", sorted(group.get_results(block=True, timeout=30_000)))
    elif scenario == "priorities":
        for i in range(5):
            later.send("later")
            sooner.send("sooner")
    elif scenario == "limits":
        note.send_with_options(args=("too old",), max_age=1)
        slow.send_with_options(args=("too long", 60), time_limit=100, max_retries=0)
    elif scenario.startswith("notes:"):
        for i in range(int(scenario.split(":")[1])):
            note.send(str(i))
    elif scenario.startswith("slow:"):
        for i in range(int(scenario.split(":")[1])):
            slow.send(str(i), 0 if "SLOW_SECONDS" not in os.environ else float(os.environ["SLOW_SECONDS"]))
    elif scenario == "delayed":
        note.send_with_options(args=("delayed",), delay=8_000)
    elif scenario == "far":
        for i in range(300):
            note.send_with_options(args=("never",), delay=86_400_000)
        note.send_with_options(args=("soon",), delay=200)
    else:
        raise SystemExit("no such scenario: " + scenario)
    say("done")


def results(file):
    with open(file, "rb") as lines:
        for line in lines:
            message = Message.decode(line.rstrip(b"\n"))
            try:
                say("result", message.get_result(block=True, timeout=30_000))
            except ResultFailure as failure:
                say("failure", failure.orig_exc_type, failure.orig_exc_msg)


def work(threads):
    worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=threads)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    worker.start()
    say("working as", broker.broker_id)
    while not stop:
        time.sleep(0.05)
    worker.stop()


if __name__ == "__main__":
    command, *words = sys.argv[1:]
    if command == "codec-write":
        codec_write(int(words[0]), int(words[1]))
    elif command == "codec-read":
        codec_read(words[0])
    elif command == "send":
        send(words[0])
    elif command == "results":
        results(words[0])
    elif command == "work":
        work(int(words[0]))
    else:
        raise SystemExit(__doc__)
