"""The smallest program on the bus: PUB to rx, SUB from tx, no introduction. Prints what it gets, sends what it is told."""
import json
import sys
import threading
import time

import zmq

rx, tx = sys.argv[1:3]
context = zmq.Context()
pub, sub = context.socket(zmq.PUB), context.socket(zmq.SUB)
sub.setsockopt(zmq.SUBSCRIBE, b"")
pub.connect("tcp://127.0.0.1:" + rx)
sub.connect("tcp://127.0.0.1:" + tx)


def send():
    for serial, line in enumerate(sys.stdin):
        payload = json.loads(line)["send"]
        pub.send_json({"sender": ["client1"], "timestamp": time.time(), "msg_id": "client1.%d" % serial, "payload": payload})


threading.Thread(target=send, daemon=True).start()
print(json.dumps({"ready": "client1"}), flush=True)
while True:
    print(json.dumps({"got": sub.recv_json()}), flush=True)
