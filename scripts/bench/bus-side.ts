/** What scripts/bench/bus-run.ts and its other process share: one way to send and receive, four transports. */
import { createConnection, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import mqtt from 'mqtt';
import * as zmq from 'zeromq';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { Mesh } from '../../src/mesh/mesh.ts';

export type Kind = 'mesh' | 'curve' | 'zmq' | 'tcp' | 'mqtt0' | 'mqtt1';

/** One end: sends reports of its own pin, hears those of the other's. */
export interface Side {
  send(val: number, urgent: boolean): void;
  close(): Promise<void>;
}

export interface Place {
  readonly kind: Kind;
  /** First of four free ports. */
  readonly port: number;
  readonly first: boolean;
  readonly keys?: string;
  /** Port of the MQTT broker. */
  readonly mqtt?: number;
}

const nothing = () => undefined;
const log = { debug: nothing, info: nothing, warn: console.error, error: console.error };

function message(val: number, urgent: boolean) {
  return {
    IoMessage: {
      pin_name: 'boiler-room.temperature.flow-line',
      val,
      last_change: 1795344194.69,
      quality: 'good',
      seq: val,
      ...(urgent && { reply_to: 'abcde.1' }),
    },
  };
}

export async function openSide(place: Place, heard: (val: number) => void, ready: () => void): Promise<Side> {
  if (place.kind === 'zmq') return zmqSide(place, heard, ready);
  if (place.kind === 'tcp') return tcpSide(place, heard, ready);
  if (place.kind === 'mqtt0' || place.kind === 'mqtt1') return mqttSide(place, heard, ready);
  return meshSide(place, heard, ready);
}

async function meshSide({ kind, port, keys }: Place, heard: (val: number) => void, ready: () => void): Promise<Side> {
  const bus = new Bus();
  const actor = new Actor('side');
  actor.onPin('boiler-room.temperature.flow-line', ({ val }) => heard(Number(val)));
  bus.join(actor);
  const common = { listen: '127.0.0.1', rx: port, tx: port + 1, brokers: [], proxyBrokers: [], insecure: false, log };
  const mesh = new Mesh(bus, { ...common, ...(kind === 'curve' && keys !== undefined && { security: { keys } }) });
  mesh.on('peer-up', () => setTimeout(ready, 500));
  mesh.on('gap', (_peer, missed) => console.error('missed', missed));
  await mesh.start();
  return { send: (val, urgent) => void actor.send(message(val, urgent)), close: () => mesh.stop() };
}

async function zmqSide({ port, first }: Place, heard: (val: number) => void, ready: () => void): Promise<Side> {
  const pub = new zmq.Publisher({ sendHighWaterMark: 100_000, sendTimeout: 0, linger: 0 });
  const sub = new zmq.Subscriber({ receiveHighWaterMark: 100_000 });
  sub.subscribe();
  await pub.bind(`tcp://127.0.0.1:${first ? port : port + 1}`);
  sub.connect(`tcp://127.0.0.1:${first ? port + 1 : port}`);
  const envelope = { sender: ['abcde', 'fghij'], timestamp: 1795344194.68 };
  void (async () => {
    for await (const [frame] of sub) heard(JSON.parse(String(frame)).payload.IoMessage.val);
  })();
  setTimeout(ready, 1000);
  return {
    send: (val, urgent) =>
      void pub.send(JSON.stringify({ ...envelope, msg_id: `abcde.${val}`, payload: message(val, urgent) })),
    close: async () => {
      pub.close();
      sub.close();
    },
  };
}

async function tcpSide({ port, first }: Place, heard: (val: number) => void, ready: () => void): Promise<Side> {
  const socket = await new Promise<Socket>((resolve) => {
    if (first) createServer((client) => resolve(client)).listen(port, '127.0.0.1');
    else {
      const attempt = () => {
        const client = createConnection(port, '127.0.0.1', () => resolve(client));
        client.once('error', () => setTimeout(attempt, 50));
      };
      attempt();
    }
  });
  socket.setNoDelay(true);
  createInterface({ input: socket }).on('line', (line) => heard(JSON.parse(line).payload.IoMessage.val));
  setTimeout(ready, 300);
  const envelope = { sender: ['abcde', 'fghij'], timestamp: 1795344194.68 };
  return {
    send: (val, urgent) =>
      void socket.write(`${JSON.stringify({ ...envelope, msg_id: `abcde.${val}`, payload: message(val, urgent) })}\n`),
    close: async () => void socket.destroy(),
  };
}

async function mqttSide(
  { kind, mqtt: port, first }: Place,
  heard: (val: number) => void,
  ready: () => void,
): Promise<Side> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`);
  const qos = kind === 'mqtt0' ? 0 : 1;
  client.on('message', (_topic, text) => heard(JSON.parse(text.toString()).payload.IoMessage.val));
  await client.subscribeAsync(first ? 'to-first' : 'to-other', { qos });
  setTimeout(ready, 300);
  const envelope = { sender: ['abcde', 'fghij'], timestamp: 1795344194.68 };
  return {
    send: (val, urgent) => {
      const text = JSON.stringify({ ...envelope, msg_id: `abcde.${val}`, payload: message(val, urgent) });
      client.publish(first ? 'to-other' : 'to-first', text, { qos });
    },
    close: () => client.endAsync(true),
  };
}
