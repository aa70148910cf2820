#!/usr/bin/env python3
"""A whole worker in Python, with nothing but the standard library. docs/protocol.md explains every byte.

It takes one input of any datatype, "x", and answers with the same tensor as "y".
Use it in an experiment with `command: [python3, echo.py]`; `config: {delay_s: 0.5}` makes it slow.
"""

import json
import os
import queue
import signal
import struct
import sys
import threading
import time

HEADER = struct.Struct("<4sBBHIIQ")  # magic, type, flags, reserved, id, meta bytes, payload bytes
TENSOR_META = struct.Struct("<IHHII")  # deadline ms, tensors, reserved, parameter bytes, reserved
TENSOR = struct.Struct("<BBHIQ")  # datatype, rank, name bytes, reserved, data bytes

HELLO, INFER, CANCEL, PING, SHUTDOWN = 0x01, 0x02, 0x03, 0x04, 0x05
TYPES = {"hello": 0x81, "progress": 0x82, "ready": 0x83, "result": 0x84, "error": 0x85, "pong": 0x86, "stats": 0x87, "log": 0x88}
DATATYPES = ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64", "BYTES"]

EXIT_OK, EXIT_PROTOCOL = 0, 76


class ProtocolError(Exception):
    """The stream is broken; nothing that follows can be trusted."""


def pad8(data):
    return data + b"\0" * (-len(data) % 8)


def encode_control(name, frame_id, **fields):
    meta = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode() if fields else b""
    return HEADER.pack(b"SVW1", TYPES[name], 0, 0, frame_id, len(meta), 0) + pad8(meta)


def encode_result(frame_id, tensors, parameters=None):
    """tensors: [(name, datatype, shape, bytes)]"""
    said = json.dumps(parameters, separators=(",", ":"), ensure_ascii=False).encode() if parameters else b""
    meta = TENSOR_META.pack(0, len(tensors), 0, len(said), 0)
    payload = b""
    for name, datatype, shape, data in tensors:
        label = name.encode()
        meta += TENSOR.pack(DATATYPES.index(datatype) + 1, len(shape), len(label), 0, len(data))
        meta += struct.pack(f"<{len(shape)}q", *shape) + pad8(label)
        payload += pad8(data)
    meta += pad8(said)
    return HEADER.pack(b"SVW1", TYPES["result"], 0, 0, frame_id, len(meta), len(payload)) + meta + payload


def decode_infer(meta, payload):
    """Returns (deadline in ms, [(name, datatype, shape, bytes)], parameters)."""
    deadline_ms, count, _, parameter_bytes, _ = TENSOR_META.unpack_from(meta, 0)
    at, data_at, tensors = TENSOR_META.size, 0, []
    for _ in range(count):
        code, rank, name_bytes, _, data_bytes = TENSOR.unpack_from(meta, at)
        at += TENSOR.size
        shape = list(struct.unpack_from(f"<{rank}q", meta, at))
        at += 8 * rank
        name = meta[at : at + name_bytes].decode()
        at += name_bytes + -name_bytes % 8
        tensors.append((name, DATATYPES[code - 1], shape, payload[data_at : data_at + data_bytes]))
        data_at += data_bytes + -data_bytes % 8
    parameters = json.loads(meta[at : at + parameter_bytes]) if parameter_bytes else {}
    return deadline_ms, tensors, parameters


def read_exactly(stream, size, at_boundary=False):
    """None at the end of the input, where it may end."""
    data = stream.read(size)
    if not data and at_boundary:
        return None
    if len(data) < size:
        raise ProtocolError(f"the input ended inside a frame, {size - len(data)} bytes early")
    return data


def read_frame(stream, max_frame_bytes):
    """Returns (type, id, meta, payload), or None at the end of the input."""
    header = read_exactly(stream, HEADER.size, at_boundary=True)
    if header is None:
        return None
    magic, kind, flags, reserved, frame_id, meta_bytes, payload_bytes = HEADER.unpack(header)
    if magic != b"SVW1":
        raise ProtocolError(f"expected a frame, found {header!r}")
    if flags or reserved:
        raise ProtocolError("flags and reserved bytes must be 0")
    meta_space = meta_bytes + -meta_bytes % 8
    if HEADER.size + meta_space + payload_bytes > max_frame_bytes:
        raise ProtocolError(f"a frame of {meta_bytes} + {payload_bytes} bytes is above the limit of {max_frame_bytes}")
    body = read_exactly(stream, meta_space + payload_bytes) if meta_space + payload_bytes else b""
    return kind, frame_id, body[:meta_bytes], body[meta_space:]


class Worker:
    """Frames are read on the main thread and answered at once, except requests: a second thread runs those."""

    def __init__(self, frames_in, frames_out):
        self.frames_in, self.frames_out = frames_in, frames_out
        self.write_lock = threading.Lock()
        self.lock = threading.Lock()
        self.waiting = {}  # id -> when its deadline passes, or None
        self.running = None
        self.completed = 0
        self.draining = False
        self.drain_s = 5.0
        self.requests = queue.Queue()
        self.delay_s = 0.0

    def send(self, frame):
        with self.write_lock:
            self.frames_out.write(frame)
            self.frames_out.flush()

    def send_error(self, frame_id, code, message, retryable=False):
        self.send(encode_control("error", frame_id, code=code, message=message, retryable=retryable))

    def serve(self):
        frame = read_frame(self.frames_in, 1 << 20)
        if frame is None:
            return
        kind, _, meta, _ = frame
        if kind != HELLO:
            raise ProtocolError("the first message must be hello")
        hello = json.loads(meta)
        if not hello["protocol"]["min"] <= 1 <= hello["protocol"]["max"]:
            raise ProtocolError(f"no version in common: the host speaks {hello['protocol']}, this worker 1")
        self.max_frame_bytes = hello["limits"]["max_frame_bytes"]
        self.delay_s = float(hello["config"].get("delay_s", 0))
        runtime = f"python {sys.version_info.major}.{sys.version_info.minor}"
        self.send(encode_control("hello", 0, protocol=1, runtime=runtime, pid=os.getpid()))

        # A real worker loads its model here, and says how far it is.
        self.send(encode_control("progress", 0, stage="load", done=1, total=1, unit="steps"))
        any_bytes = {"datatype": "FP32", "shape": [-1]}
        model = {
            "platform": "echo",
            "max_batch_size": 0,
            "inputs": [{"name": "x", **any_bytes}],
            "outputs": [{"name": "y", **any_bytes}],
        }
        runner = threading.Thread(target=self.run_requests, daemon=True)
        runner.start()
        self.send(encode_control("ready", 0, model=model, device="cpu"))

        while (frame := read_frame(self.frames_in, self.max_frame_bytes)) is not None:
            if not self.receive(*frame):
                break
        self.requests.put(None)
        runner.join(self.drain_s)

    def receive(self, kind, frame_id, meta, payload):
        """False: no more input is wanted."""
        if kind == INFER:
            deadline_ms, tensors, _ = decode_infer(meta, payload)
            with self.lock:
                self.waiting[frame_id] = time.monotonic() + deadline_ms / 1000 if deadline_ms else None
            self.requests.put((frame_id, tensors))
        elif kind == CANCEL:
            with self.lock:
                waited = self.waiting.pop(frame_id, self) is not self
            # One that runs already is answered when it ends; one that was answered needs nothing.
            if waited:
                self.send_error(frame_id, "CANCELLED", "the request was cancelled")
        elif kind == PING:
            in_flight = len(self.waiting) + (self.running is not None)
            self.send(encode_control("pong", frame_id, busy=self.running is not None, completed=self.completed, in_flight=in_flight))
        elif kind == SHUTDOWN:
            self.drain_s = json.loads(meta)["drain_ms"] / 1000
            return False
        else:
            raise ProtocolError(f"unexpected message type {kind:#x}")
        return True

    def run_requests(self):
        while (request := self.requests.get()) is not None:
            frame_id, tensors = request
            with self.lock:
                if frame_id not in self.waiting:
                    continue  # cancelled
                expires = self.waiting.pop(frame_id)
                self.running = frame_id
            if expires is not None and time.monotonic() > expires:
                self.send_error(frame_id, "DEADLINE_EXCEEDED", "the deadline passed before the request started")
            else:
                self.run(frame_id, tensors)
            self.running = None
            self.completed += 1

    def run(self, frame_id, tensors):
        names = [name for name, _, _, _ in tensors]
        if names != ["x"]:
            self.send_error(frame_id, "INVALID_ARGUMENT", f'the model has one input, "x"; found {names}')
            return
        time.sleep(self.delay_s)
        _, datatype, shape, data = tensors[0]
        self.send(encode_result(frame_id, [("y", datatype, shape, data)]))


def claim_stdio():
    """The frames get descriptors of their own; whatever prints to stdout from here on, C libraries included, goes to stderr."""
    frames_in, frames_out = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return os.fdopen(frames_in, "rb"), os.fdopen(frames_out, "wb")


def main():
    frames_in, frames_out = claim_stdio()
    worker = Worker(frames_in, frames_out)

    def on_sigterm(*_):
        # As if the input had ended: finish what was accepted, then exit.
        raise SystemExit

    signal.signal(signal.SIGTERM, on_sigterm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = EXIT_OK
    try:
        worker.serve()
    except SystemExit:
        worker.requests.put(None)
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join(worker.drain_s)
    except ProtocolError as error:
        print(f"PROTOCOL: {error}", file=sys.stderr)
        worker.send_error(0, "PROTOCOL", str(error))
        code = EXIT_PROTOCOL
    # Not sys.exit: a request that still runs must not hold the process.
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
