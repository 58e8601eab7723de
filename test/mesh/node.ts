/**
 * A process of its own that joins the mesh, for tests that kill, stop or isolate it. Commands come as lines of JSON on
 * stdin, what happens goes as lines of JSON to stdout; the words are those of v1-peer.py.
 */
import { createInterface } from 'node:readline';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { Mesh } from '../../src/mesh/mesh.ts';
import { parseEndpoint } from '../../src/mesh/transport/addresses.ts';
import { isRecord, type Payload } from '../../src/message/envelope.ts';

interface Settings {
  listen?: string;
  rx: number;
  tx: number;
  brokers?: string[];
  proxyBrokers?: string[];
  insecure?: boolean;
  name?: string;
  quiet?: boolean;
  /** Folder of keys. */
  keys?: string;
  /** A pin this process has: it carries out commands and reports. */
  pin?: string;
  /** Listens to nothing but this pin. */
  only?: string;
}

function say(what: object): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

const settings: Settings = JSON.parse(process.argv[2] ?? '{}');
const log = (level: string) => (detail: object, message: string) =>
  process.stderr.write(`${level} ${message} ${JSON.stringify(detail)}\n`);
const bus = new Bus();
const mesh = new Mesh(bus, {
  listen: settings.listen ?? '127.0.0.1',
  rx: settings.rx,
  tx: settings.tx,
  brokers: (settings.brokers ?? []).map(parseEndpoint),
  proxyBrokers: (settings.proxyBrokers ?? []).map(parseEndpoint),
  insecure: settings.insecure ?? false,
  name: settings.name ?? 'test',
  ...(settings.keys && { security: { keys: settings.keys } }),
  log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
});

const actor = new Actor('probe');
if (settings.only) actor.onPin(settings.only, (_data, envelope) => say({ got: envelope }));
else if (!settings.quiet) actor.onAny((envelope) => say({ got: envelope }));
if (settings.pin) {
  const pin_name = settings.pin;
  const owner = new Actor('owner');
  const report = (val: unknown, reply_to?: string) =>
    owner.send({
      IoMessage: { pin_name, val, last_change: Date.now() / 1000, quality: 'good', ...(reply_to && { reply_to }) },
    });
  owner.onPin(pin_name, ({ val, last_change }, { msg_id }) => {
    if (last_change !== undefined) return;
    say({ executed: val });
    report(val, msg_id);
  });
  bus.join(owner);
  report('initial');
}
bus.join(actor);

mesh.on('peer-up', (peer) => say({ up: peer.id }));
mesh.on('peer-down', (peer, reason) => say({ down: peer.id, reason }));
mesh.on('gap', (peer, missed) => say({ gap: missed, of: peer.id }));
mesh.on('drop', (peer, messages) => say({ dropped: messages, to: peer.id }));

async function send(payload: Payload, count: number | undefined, rate: number): Promise<void> {
  if (count === undefined) {
    actor.send(payload);
    return;
  }
  const [subject = '', data] = Object.entries(payload)[0] ?? [];
  const begun = performance.now();
  for (let n = 0; n < count; n++) {
    actor.send({ [subject]: { ...(isRecord(data) ? data : {}), n } });
    const ahead = (n * 1000) / rate - (performance.now() - begun);
    if (ahead > 1) await new Promise((resolve) => setTimeout(resolve, ahead));
  }
}

async function quit(): Promise<void> {
  const begun = performance.now();
  await mesh.stop();
  say({ stopped: performance.now() - begun });
  process.exit(0);
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  if (command.quit) void quit();
  else if (command.hang) {
    const end = performance.now() + command.hang;
    while (performance.now() < end);
  } else if (command.ask) {
    const { pin_name, val } = command.ask;
    actor.request({ IoMessage: { pin_name, val } }, { timeoutMs: 3000 }).then(
      () => say({ answer: val }),
      (error) => say({ refused: error.code, val, message: error.message }),
    );
  } else if (command.stats) say({ stats: { ...mesh.stats, rss: process.memoryUsage().rss }, broker: mesh.isBroker });
  else void send(command.send, command.count, command.rate ?? 500);
});
process.on('SIGTERM', () => void quit());

const begun = performance.now();
try {
  await mesh.start();
  say({ ready: mesh.id, actor: actor.id, broker: mesh.isBroker, took: performance.now() - begun });
} catch (error) {
  say({ failed: String(error) });
  process.exit(1);
}
