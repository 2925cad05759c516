#!/usr/bin/env python3
"""CPU seconds per million requests: examples/hello beside the epoll yardstick, in one run.

  bench/cpu.py                                    depth 1, 16 and 256, 64 connections, 5 rounds of 3 s
  bench/cpu.py --depth 256 --rounds 9 --at-most 256=2.0
  bench/cpu.py --server 'peer=/path/to/peer --port {port}'

Each server gets core 0 for itself and wrk core 1. The servers take turns, A B A B, each time freshly started and warmed
up for a second, so that what disturbs the machine disturbs both. The figure is the server's user and system time, from
/proc/PID/stat, over the requests that wrk counts. The first server named is what the others are divided by.
Needs Linux, two cores, Go, g++ and wrk. Ends by itself.
"""
import argparse
import os
import re
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TICKS = os.sysconf("SC_CLK_TCK")


def build(folder):
    """Builds yardstick and hello with the flags of go build; returns their paths."""
    yardstick, hello = os.path.join(folder, "epoll_yardstick"), os.path.join(folder, "hello")
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["g++", "-O3", "-std=c++20", "-fno-exceptions", "-fno-rtti", "-pthread", "-o", yardstick,
                    os.path.join(ROOT, "csrc/bench/epoll_yardstick.cpp")], check=True)
    subprocess.run(["go", "build", "-buildvcs=false", "-o", hello, "./examples/hello"], cwd=ROOT, check=True)
    return yardstick, hello


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def request_text(path, port):
    """What wrk sends by itself: the size tells the yardstick where a request ends."""
    return "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (path, port)


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


class Server:
    """One server process on one core; ended and awaited on exit."""

    def __init__(self, command, port, request_size, core):
        words = shlex.split(command.format(port=port, request_size=request_size))
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL,
                                        preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        self.port = port

    def __enter__(self):
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.__exit__()
                    sys.exit("the server did not start: %s" % self.process.args)
                time.sleep(0.02)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run_wrk(port, path, depth, connections, seconds, core, folder):
    """Returns the number of requests that were answered, or ends the program when one was not answered well."""
    command = ["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "http://127.0.0.1:%d%s" % (port, path)]
    if depth > 1:
        script = os.path.join(folder, "pipeline-%d.lua" % depth)
        with open(script, "w") as f:
            f.write("local many\n"
                    "init = function(args) many = string.rep(wrk.format(), %d) end\n"
                    "request = function() return many end\n" % depth)
        command[1:1] = ["-s", script]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=seconds + 30, check=True,
                          preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        sys.exit("wrk saw errors:\n" + done.stdout)
    return int(re.search(r"(\d+) requests in", done.stdout).group(1))


def measure(command, depth, opt, folder):
    """One round: returns (user, system) CPU seconds per million requests, and requests a second."""
    port = free_port()
    request_size = len(request_text(opt.path, port))
    with Server(command, port, request_size, opt.server_core) as server:
        run_wrk(port, opt.path, depth, opt.connections, 1, opt.client_core, folder)
        before = cpu_seconds(server.process.pid)
        requests = run_wrk(port, opt.path, depth, opt.connections, opt.seconds, opt.client_core, folder)
        after = cpu_seconds(server.process.pid)
    user, system = ((b - a) * 1e6 / requests for a, b in zip(before, after))
    return user, system, requests / opt.seconds


def report(depth, opt, rounds):
    """Prints the table of one depth; returns the ratio of the medians, by server."""
    print("\npipelining %d, %d connections, %d rounds of %d s: CPU s per million requests"
          % (depth, opt.connections, opt.rounds, opt.seconds))
    print("%-14s %7s %7s %7s %7s %7s %12s %7s" % ("", "min", "median", "max", "user", "system", "requests/s", "ratio"))
    ratios, base = {}, None
    for name, rows in rounds.items():
        total = [user + system for user, system, _ in rows]
        median = statistics.median(total)
        base = base or median
        ratios[name] = median / base
        print("%-14s %7.3f %7.3f %7.3f %7.3f %7.3f %12.0f %7.2f" % (
            name, min(total), median, max(total), statistics.median(r[0] for r in rows),
            statistics.median(r[1] for r in rows), statistics.median(r[2] for r in rows), ratios[name]))
    return ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, action="append", help="requests in flight on a connection; may be repeated")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each measured run")
    parser.add_argument("--path", default="/hello")
    parser.add_argument("--server", action="append", default=[], metavar="NAME=COMMAND",
                        help="one more server; {port} and {request_size} are filled in")
    parser.add_argument("--only", action="append", metavar="NAME", help="run only these servers")
    parser.add_argument("--at-most", action="append", default=[], metavar="DEPTH=RATIO",
                        help="exit 1 when hello costs more than RATIO yardsticks at DEPTH")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--client-core", type=int, default=1)
    opt = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is needed: apt-get install wrk")
    marks = {int(depth): float(ratio) for depth, _, ratio in (mark.partition("=") for mark in opt.at_most)}

    yardstick, hello = build(os.path.join(ROOT, "build", "measure"))
    servers = {"yardstick": yardstick + " -a 127.0.0.1 -p {port} --request-size={request_size} --seconds=600",
               "hello": hello + " -a 127.0.0.1 -p {port} --worker-count=1"}
    servers.update(extra.split("=", 1) for extra in opt.server)
    if opt.only:
        servers = {name: command for name, command in servers.items() if name in opt.only}

    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for depth in opt.depth or [1, 16, 256]:
            rounds = {name: [] for name in servers}
            for _ in range(opt.rounds):
                for name, command in servers.items():
                    rounds[name].append(measure(command, depth, opt, folder))
            ratio = report(depth, opt, rounds).get("hello")
            if depth in marks and ratio is not None and ratio > marks[depth]:
                print("over the mark: %.2f > %.2f" % (ratio, marks[depth]))
                failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
