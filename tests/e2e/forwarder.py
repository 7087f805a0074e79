# SPDX-License-Identifier: ISC
"""The network between proxyd and a server: a TCP forwarder that stalls, cuts and comes back when
the test says so. What it withholds is not lost: it is sent when it may go on, as TCP would do."""
import socket
import struct
import threading

from wire import free_port

QUESTIONS, ANSWERS = 'questions', 'answers'


class Forwarder:
    """Forwards its own `port` to PORT, both of 127.0.0.1."""

    def __init__(self, port):
        self.target, self.port = port, free_port()
        self.url = f'ldap://127.0.0.1:{self.port}'
        self.change = threading.Condition()
        self.stopped = ()
        self.pairs = []
        self.accepted = 0  # connections so far
        self.listener, self.fillers = None, []

    # ---- what the test says ----

    def start(self):
        self.listener = socket.create_server(('127.0.0.1', self.port), backlog=512)
        threading.Thread(target=self.run, args=(self.listener,), daemon=True).start()
        return self

    def stop(self):
        self.refuse()
        self.cut()

    def withhold_answers(self):
        """Questions are asked, answers do not arrive."""
        self.set_stopped(ANSWERS)

    def blackhole(self):
        """Nothing passes; new connections are made, and stay silent."""
        self.set_stopped(QUESTIONS, ANSWERS)

    def go_on(self):
        self.set_stopped()

    def set_stopped(self, *ways):
        with self.change:
            self.stopped = ways
            self.change.notify_all()

    def cut(self, reset=True):
        """Ends all connections; new ones are welcome."""
        with self.change:
            pairs, self.pairs = self.pairs, []
            for pair in pairs:
                pair.end(reset)
            self.change.notify_all()

    def refuse(self):
        """Refuses new connections until it is started again."""
        for sock in [self.listener, *self.fillers]:
            try:
                sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            except OSError:
                pass
            sock.close()
        self.fillers = []

    def deafen(self):
        """New connections are neither made nor refused until it is started again: the queue of
        those that nobody accepts is full."""
        self.refuse()
        self.listener = socket.create_server(('127.0.0.1', self.port), backlog=0)
        while True:
            sock = socket.socket()
            self.fillers.append(sock)
            sock.settimeout(0.05)
            try:
                sock.connect(('127.0.0.1', self.port))
            except TimeoutError:
                return

    # ---- the forwarding ----

    def run(self, listener):
        while True:
            try:
                near = listener.accept()[0]
            except OSError:
                return
            try:
                far = socket.create_connection(('127.0.0.1', self.target))
            except OSError:
                near.close()
                continue
            pair = Pair(self, near, far)
            with self.change:
                self.accepted += 1
                self.pairs.append(pair)
            pair.start()


class Pair:
    """A connection's two sides; when one ends, so does the other."""

    def __init__(self, forwarder, near, far):
        self.forwarder, self.near, self.far = forwarder, near, far
        self.ended = False
        for sock in near, far:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self):
        for args in (self.near, self.far, QUESTIONS), (self.far, self.near, ANSWERS):
            threading.Thread(target=self.pump, args=args, daemon=True).start()

    def pump(self, source, sink, way):
        change = self.forwarder.change
        try:
            data = True
            while data:
                data = source.recv(65536)
                with change:
                    change.wait_for(lambda: self.ended or way not in self.forwarder.stopped)
                sink.sendall(data)
        except OSError:
            pass
        with change:
            self.end()

    def end(self, reset=False):
        self.ended = True
        for sock in self.near, self.far:
            try:
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
