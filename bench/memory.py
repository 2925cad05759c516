#!/usr/bin/env python3
"""Memory per connection of examples/hello, from /proc/PID/status.

  bench/memory.py                       0, 5,000, 10,000 and 19,000 idle connections; 10,000 in flight; 1,000 pipelined
  bench/memory.py --idle 10000 --workers 2
  bench/memory.py --mode handler                  the same requests answered by an http.Handler

Idle: each connection made one request and stays open; what VmRSS grew by over no connection is divided by their number.
It is given over the cold server and over one that has served 20,000 requests on one connection: Go's heap grows to 4 MB
before it is collected for the first time, whatever the number of connections.
In flight: a request is written to all connections before an answer is read; VmHWM is reset before and read after.
Half a request: the same with the head's last byte withheld, so that the server must keep every head.
Pipelined: wrk with 1,000 connections and 256 requests in flight on each; once over the cold server and once over a
server that has served a few such connections (its arenas are in use then).
The connections are made by a process of its own. Needs Linux, Go and, for the last part, wrk. Ends by itself.
"""
import argparse
import os
import re
import resource
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REQUEST = b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


# ------------------------------------------------------------------- client
def read_answer(connection, want):
    """Reads one whole answer: its size is learnt from the first, and all are alike."""
    got = b""
    while len(got) < want or want == 0 and b"Hello World!" not in got:
        part = connection.recv(4096)
        if not part:
            sys.exit("client: the server closed a connection")
        got += part
    return len(got)


def client(port):
    """Obeys lines on stdin (open N, flight, half, quit) and answers each with a line."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    connections, size = [], 0
    for line in sys.stdin:
        command = line.split()
        if command[0] == "open":
            while len(connections) < int(command[1]):
                source = "127.0.0.%d" % (2 + len(connections) % 100)
                connection = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))
                connection.sendall(REQUEST)
                size = read_answer(connection, size)
                connections.append(connection)
        elif command[0] == "warm":
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                for _ in range(int(command[1])):
                    connection.sendall(REQUEST)
                    size = read_answer(connection, size)
        elif command[0] == "flight":
            for connection in connections:
                connection.sendall(REQUEST)
            for connection in connections:
                read_answer(connection, size)
        elif command[0] == "half":
            for connection in connections:
                connection.sendall(REQUEST[:-1])
            time.sleep(0.5)
            for connection in connections:
                connection.sendall(REQUEST[-1:])
                read_answer(connection, size)
        elif command[0] == "quit":
            return
        print("done", flush=True)


class Client:
    def __init__(self, port):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--client", str(port)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def do(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], 120)[0] or not self.process.stdout.readline():
            sys.exit("the client could not %s" % command)

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


# ------------------------------------------------------------------- server
class Server:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        first = self.process.stdout.readline().split()
        if not first:
            sys.exit("the server did not start")
        self.port = int(first[-1].rpartition(":")[2])

    def memory(self, name):
        """VmRSS, VmHWM or VmPeak in bytes."""
        with open("/proc/%d/status" % self.process.pid) as f:
            return int(re.search(r"^%s:\s*(\d+) kB" % name, f.read(), re.M).group(1)) * 1024

    def reset_peak(self):
        with open("/proc/%d/clear_refs" % self.process.pid, "w") as f:
            f.write("5")

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            sys.exit("the server did not end on SIGTERM")


def line(what, count, server, base, name, cold=None):
    """Prints and returns what the server uses, and, for count connections, what each adds to base."""
    now = server.memory(name)
    per = "%8.0f B a connection" % ((now - base) / count) if count else ""
    if cold is not None:
        per += ", %.0f over cold" % ((now - cold) / count)
    print("%-38s %s %9d kB  VmPeak %9d kB %s" % (what, name, now // 1024, server.memory("VmPeak") // 1024, per), flush=True)
    return now


def measure_idle(command, counts, flight):
    server = Server(command)
    connections = Client(server.port)
    try:
        time.sleep(0.5)
        cold = line("cold, no connection", 0, server, 0, "VmRSS")
        connections.do("warm 20000")
        time.sleep(1.2)
        base = line("warm, no connection", 0, server, 0, "VmRSS")
        for count in sorted(set(counts) | {flight}):
            connections.do("open %d" % count)
            time.sleep(1.2)  # longer than the server's tick: what it frees late is freed
            line("%d idle" % count, count, server, base, "VmRSS", cold)
            if count != flight:
                continue
            for what, name in (("flight", "one request in flight on each"), ("half", "a head without its end on each")):
                server.reset_peak()
                connections.do(what)
                line("%d, %s" % (count, name), count, server, base, "VmHWM", cold)
            time.sleep(1.2)
            line("%d idle again" % count, count, server, base, "VmRSS", cold)
        connections.end()
        time.sleep(1.5)
        line("all closed", 0, server, base, "VmRSS")
    finally:
        connections.end()
        server.end()


def wrk(port, connections, seconds, script):
    done = subprocess.run(["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "-s", script,
                           "http://127.0.0.1:%d/hello" % port], stdout=subprocess.PIPE, text=True, check=True,
                          timeout=seconds + 60)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        sys.exit("wrk saw errors:\n" + done.stdout)


def measure_pipelined(command, count, depth, seconds):
    if not shutil.which("wrk"):
        print("no wrk: the pipelined part is left out")
        return
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.join(folder, "pipeline.lua")
        with open(script, "w") as f:
            f.write("local many\ninit = function(args) many = string.rep(wrk.format(), %d) end\n"
                    "request = function() return many end\n" % depth)
        for warm in (False, True):
            server = Server(command)
            try:
                if warm:
                    wrk(server.port, 8, 2, script)  # (wrk does not end with one connection)
                time.sleep(0.5)
                base = line("%s, no connection" % ("warm" if warm else "cold"), 0, server, 0, "VmRSS")
                server.reset_peak()
                wrk(server.port, count, seconds, script)
                line("%d at pipelining %d" % (count, depth), count, server, base, "VmHWM")
            finally:
                server.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=int, action="append", help="a number of idle connections; may be repeated")
    parser.add_argument("--flight", type=int, default=10000, help="connections with one request in flight each")
    parser.add_argument("--pipelined", type=int, default=1000, help="connections at --depth; 0: leave it out")
    parser.add_argument("--depth", type=int, default=256)
    parser.add_argument("--seconds", type=int, default=5, help="of the pipelined run")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--mode", default="fast", help="of examples/hello: fast or handler")
    parser.add_argument("--hello", help="the server's program instead of a fresh build")
    parser.add_argument("--client", type=int, metavar="PORT", help=argparse.SUPPRESS)
    opt = parser.parse_args()
    if opt.client:
        client(opt.client)
        return
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))  # inherited by server and client
    hello = opt.hello
    if not hello:
        hello = os.path.join(ROOT, "build", "measure", "hello")
        subprocess.run(["go", "build", "-buildvcs=false", "-o", hello, "./examples/hello"], cwd=ROOT, check=True)
    command = [hello, "-a", "127.0.0.1", "-p", "0", "--worker-count=%d" % opt.workers, "--mode=" + opt.mode,
               "--idle-timeout=300"]
    measure_idle(command, opt.idle or [5000, 10000, 19000], opt.flight)
    if opt.pipelined:
        measure_pipelined(command, opt.pipelined, opt.depth, opt.seconds)


if __name__ == "__main__":
    main()
