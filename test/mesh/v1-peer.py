"""A process of the original aktos-dcs v1, written from the description of its wire alone; shares nothing with the product.

It has all four links: server (random ports on all addresses), client, broker and broker client. Commands come as lines of
JSON on stdin, what happens goes as lines of JSON to stdout:

  {"send": {"Subject": data}}   broadcast a message of the one actor of this process
  {"send": …, "count": 100, "rate": 500}   several, `{"n": k}` is put into the data
  {"quit": true}

  {"ready": id, "broker": true|false}, {"got": envelope}, {"broker": true}
  {"overtaken": envelope}   v1 drops what comes after something its creator said later; this never came before
"""
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time

import zmq

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def new_id():
    return "".join(random.SystemRandom().choice(ALPHABET) for _ in range(5))


def own_addresses():
    found = subprocess.run(["ip", "-4", "-o", "addr"], capture_output=True, text=True).stdout
    addresses = [line.split()[3].split("/")[0] for line in found.splitlines()]
    return [address for address in addresses if not address.startswith("127.")]


def say(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Peer:
    def __init__(self, rx, tx, brokers, proxy_brokers):
        self.context = zmq.Context()
        self.proxy, self.actor = new_id(), new_id()
        self.proxy_serial = self.actor_serial = 0
        self.last = {}
        self.seen = set()
        self.introduction = None
        self.rx, self.tx = rx, tx
        self.connected = set()
        self.server = self.pair()
        ports = [self.server[0].bind_to_random_port("tcp://*"), self.server[1].bind_to_random_port("tcp://*")]
        self.contacts = [{"ip-list": own_addresses(), "ports": ports}]
        self.client, self.broker_client = self.pair(), self.pair()
        self.broker = None
        self.poller = zmq.Poller()
        for link in (self.server, self.client, self.broker_client):
            self.poller.register(link[0], zmq.POLLIN)
        for endpoint in proxy_brokers:
            self.connect(self.client, *endpoint)
            self.contacts.append({"ip-list": [endpoint[0]], "ports": [endpoint[1], endpoint[2]]})
        self.local = ("127.0.0.1", rx, tx)
        if not self.take_ports():
            self.connect(self.broker_client, *self.local)
        for endpoint in brokers:
            self.connect(self.broker_client, *endpoint)

    def pair(self):
        sub, pub = self.context.socket(zmq.SUB), self.context.socket(zmq.PUB)
        sub.setsockopt(zmq.SUBSCRIBE, b"")
        for each in (sub, pub):
            each.setsockopt(zmq.LINGER, 200)
        return sub, pub

    def connect(self, link, host, rx, tx):
        link[0].connect("tcp://%s:%d" % (host, tx))
        link[1].connect("tcp://%s:%d" % (host, rx))

    def take_ports(self):
        sub, pub = self.pair()
        try:
            sub.bind("tcp://*:%d" % self.rx)
            pub.bind("tcp://*:%d" % self.tx)
        except zmq.ZMQError:
            sub.close(0)
            pub.close(0)
            return False
        self.broker = (sub, pub)
        self.poller.register(sub, zmq.POLLIN)
        return True

    def publish(self, links, envelope):
        text = json.dumps(envelope).encode()
        for link in links:
            if link is not None:
                link[1].send(text)

    def control(self, data):
        message_id = "%s.%d" % (self.proxy, self.proxy_serial)
        self.proxy_serial += 1
        envelope = {"timestamp": time.time(), "msg_id": message_id, "sender": [self.proxy],
                    "payload": {"ProxyActorMessage": data}}
        self.publish((self.broker_client, self.broker), envelope)
        return message_id

    def introduce(self):
        self.introduction = self.control({"new_contact_list": self.contacts})

    def send(self, payload):
        envelope = {"timestamp": time.time(), "msg_id": "%s.%d" % (self.actor, self.actor_serial),
                    "sender": [self.actor, self.proxy], "payload": payload}
        self.actor_serial += 1
        self.publish((self.server, self.client, self.broker), envelope)

    def receive(self, frame):
        envelope = json.loads(frame)
        if self.proxy in envelope["sender"]:
            return
        creator, serial = envelope["msg_id"].split(".")
        if envelope["msg_id"] in self.seen:
            return
        self.seen.add(envelope["msg_id"])
        if int(serial) <= self.last.get(creator, -1):
            say(overtaken=envelope)
            return
        self.last[creator] = int(serial)
        if "ProxyActorMessage" in envelope["payload"]:
            self.on_control(envelope)
        else:
            say(got=envelope)
        envelope["sender"].append(self.proxy)
        self.publish((self.broker, self.client, self.server), envelope)

    def on_control(self, envelope):
        data = envelope["payload"]["ProxyActorMessage"]
        if "new_contact_list" in data:
            self.merge(data["new_contact_list"])
            self.control({"contact_list": self.contacts, "reply_to": envelope["msg_id"]})
        if "contact_list" in data:
            self.merge(data["contact_list"])
            if data["reply_to"] == self.introduction:
                for contact in data["contact_list"]:
                    self.meet(contact)

    def merge(self, contacts):
        for contact in contacts:
            if contact not in self.contacts:
                self.contacts.append(contact)

    def meet(self, contact):
        if contact == self.contacts[0]:
            return
        for address in contact["ip-list"]:
            endpoint = (address, *contact["ports"])
            if endpoint not in self.connected:
                self.connected.add(endpoint)
                self.connect(self.client, *endpoint)

    def command(self, line):
        command = json.loads(line)
        if "quit" in command:
            sys.exit(0)
        for number in range(command.get("count", 1)):
            payload = command["send"]
            if "count" in command:
                (subject, data), = payload.items()
                payload = {subject: dict(data, n=number)}
                time.sleep(1 / command.get("rate", 500))
            self.send(payload)

    def run(self, settle):
        commands = self.context.socket(zmq.PULL)
        commands.bind("inproc://commands")
        self.poller.register(commands, zmq.POLLIN)
        threading.Thread(target=self.read_commands, daemon=True).start()
        time.sleep(settle)
        self.introduce()
        say(ready=self.proxy, actor=self.actor, broker=self.broker is not None)
        retry = time.time() + 1
        while True:
            for each, _ in self.poller.poll(50):
                if each is commands:
                    self.command(each.recv())
                    continue
                for _ in range(100):
                    try:
                        for frame in each.recv_multipart(zmq.NOBLOCK):
                            self.receive(frame)
                    except zmq.Again:
                        break
            if self.broker is None and time.time() > retry:
                retry = time.time() + 1
                if self.take_ports():
                    self.broker_client[0].disconnect("tcp://127.0.0.1:%d" % self.tx)
                    self.broker_client[1].disconnect("tcp://127.0.0.1:%d" % self.rx)
                    say(broker=True)
                    time.sleep(0.3)
                    self.introduce()

    def read_commands(self):
        push = self.context.socket(zmq.PUSH)
        push.connect("inproc://commands")
        for line in sys.stdin.buffer:
            push.send(line)


def endpoints(text):
    return [(host, int(rx), int(tx)) for host, rx, tx in (entry.split(":") for entry in text.split())]


if __name__ == "__main__":
    # usage: v1-peer.py RX TX "ip:rx:tx …" "proxy ip:rx:tx …"
    rest = sys.argv[3:] + ["", ""]
    Peer(int(sys.argv[1]), int(sys.argv[2]), endpoints(rest[0]), endpoints(rest[1])).run(0.3)
