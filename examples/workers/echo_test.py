"""Holds echo.py to the golden frames: python3 echo_test.py ../../packages/worker/golden"""

import io
import json
import pathlib
import sys

import echo

folder = pathlib.Path(sys.argv[1])
checked = 0


def tensors_of(described):
    return [(t["name"], t["datatype"], t["shape"], bytes.fromhex(t["data"]["hex"])) for t in described]


def snake(message):
    """The keys of a control message on the wire."""
    wire = {"rssBytes": "rss_bytes", "deviceBytes": "device_bytes", "inFlight": "in_flight", "maxBatchSize": "max_batch_size"}
    return {wire.get(key, key): snake(value) if key == "model" else value for key, value in message.items()}


for path in sorted(folder.glob("*.bin")):
    frame = path.read_bytes()
    described = json.loads(path.with_suffix(".json").read_text())
    message = described["message"]
    if described["from"] == "host":
        stream = io.BytesIO(frame)
        kind, frame_id, meta, payload = echo.read_frame(stream, 1 << 20)
        assert echo.read_frame(stream, 1 << 20) is None, path
        assert frame_id == message.get("id", 0), path
        if kind == echo.INFER:
            deadline_ms, tensors, parameters = echo.decode_infer(meta, payload)
            assert deadline_ms == message["deadlineMs"], path
            assert tensors == tensors_of(message["inputs"]), path
            assert parameters == message.get("parameters", {}), path
        elif kind == echo.HELLO:
            assert json.loads(meta)["worker"] == message["worker"], path
        elif kind == echo.SHUTDOWN:
            assert json.loads(meta)["drain_ms"] == message["drainMs"], path
        else:
            assert meta == b"" and kind in (echo.CANCEL, echo.PING), path
    elif message["type"] == "result":
        written = echo.encode_result(message["id"], tensors_of(message["outputs"]), message.get("parameters"))
        assert written == frame, path
    else:
        fields = snake({key: value for key, value in message.items() if key not in ("type", "id")})
        written = echo.encode_control(message["type"], message.get("id", 0), **fields)
        # The order of JSON keys is free.
        assert written[:12] == frame[:12], path
        assert json.loads(written[24:].rstrip(b"\0")) == json.loads(frame[24:].rstrip(b"\0")), path
    checked += 1

print(f"{checked} golden frames")
