"""A service manager as a process sees it: prints each datagram of a Unix socket as one JSON line, with its sender's pid."""
import json, os, socket, struct, sys, time

path = sys.argv[1]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
listener.bind("\0" + path[1:] if path.startswith("@") else path)
print(json.dumps({"listening": path}), flush=True)
while True:
    data, ancillary, _, _ = listener.recvmsg(4096, 64)
    pid = struct.unpack("3i", ancillary[0][2])[0]
    print(json.dumps({"text": data.decode(), "pid": pid, "at": time.monotonic() * 1000}), flush=True)
