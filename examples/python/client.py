#!/usr/bin/env python3
"""Reads a pin's report and sets a pin, from any program that has ZeroMQ: client.py HOST:RX:TX PIN VALUE"""
import json
import sys
import time
import uuid

import zmq

host, rx, tx = sys.argv[1].split(":")
pin, value = sys.argv[2], json.loads(sys.argv[3])
me = str(uuid.uuid4())
context = zmq.Context()
pub, sub = context.socket(zmq.XPUB), context.socket(zmq.SUB)
sub.subscribe(b"")
pub.connect(f"tcp://{host}:{rx}")  # the agent listens at rx …
sub.connect(f"tcp://{host}:{tx}")  # … and publishes at tx
if not pub.poll(3000):  # the agent's subscription: from now on it hears us
    sys.exit("no agent at " + sys.argv[1])
time.sleep(0.1)  # and we hear it


def send(serial, payload):
    pub.send_json({"sender": [me], "timestamp": time.time(), "msg_id": f"{me}.{serial}", "payload": payload})


send(0, {"UpdateIoMessage": {"pin_name": pin}})  # asks for a report
send(1, {"IoMessage": {"pin_name": pin, "val": value}})  # a command: it has no last_change
while sub.poll(3000):
    payload = sub.recv_json()["payload"]
    report, error = payload.get("IoMessage", {}), payload.get("IoErrorMessage", {})
    if report.get("pin_name") == pin and "last_change" in report:
        print(f"{pin} = {report['val']} ({report.get('quality', 'good')})")
    if error.get("reply_to") == f"{me}.1":
        sys.exit(f"refused: {error['message']}")
    if report.get("reply_to") == f"{me}.1":
        sys.exit(0)
sys.exit(3)
