"""An RFC 2217 server by pyserial's PortManager in front of a serial port that is made up: prints a line of JSON for each
setting that changes, sends data back, and sets its modem inputs as standard input says: `cts 1`."""

import json
import socket
import sys
import threading

import serial
import serial.rfc2217


class Port:
    """What PortManager sets and reads."""

    def __init__(self):
        self.__dict__.update(
            baudrate=0, bytesize=0, parity="?", stopbits=0, rtscts=False, xonxoff=False, dtr=None, rts=None,
            break_condition=None, cts=False, dsr=False, ri=False, cd=False,
        )

    def __setattr__(self, name, value):
        self.__dict__[name] = value
        print(json.dumps({name: value}), flush=True)

    def reset_input_buffer(self):
        pass

    def reset_output_buffer(self):
        pass


class Connection:
    def __init__(self, sock):
        self.sock = sock

    def write(self, data):
        self.sock.sendall(data)


listener = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
sock, _ = listener.accept()
port = Port()
manager = serial.rfc2217.PortManager(port, Connection(sock))


def listen_to_test():
    for line in sys.stdin:
        name, value = line.split()
        port.__dict__[name] = value == "1"
        manager.check_modem_lines()


threading.Thread(target=listen_to_test, daemon=True).start()
while True:
    data = sock.recv(1024)
    if not data:
        break
    back = b"".join(manager.filter(data))
    if back:
        sock.sendall(b"".join(manager.escape(back)))
