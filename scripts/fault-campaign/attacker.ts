/**
 * A program that means harm, beside a world's nodes. Settings come as JSON in its first argument. All the time it sends the
 * boiler's agent what must not count; told to `aim` it is silent until, told to `burst`, it sends all it knows, and then says how much of what.
 */
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { curveKeyPair, Dealer, Publisher } from 'zeromq';
import { loadKeys } from '../../src/mesh/security/keys.ts';
import { attacks, type Counted } from './attacks.ts';
import { type Keys, PermittedAttacker } from './permitted-attacker.ts';
import { now, pause } from './process.ts';
import { randomOf } from './random.ts';

interface Settings {
  readonly host: string;
  readonly port: number;
  readonly seed: number;
  /** Where keys are asked for: folder of one that may command nothing, and the agent's own public key. */
  readonly keys?: string;
  readonly serverKey?: string;
}

const ROUNDS = 5;
const { host, port, seed, keys: folder, serverKey }: Settings = JSON.parse(process.argv[2] ?? '{}');
const random = randomOf(seed);
const keys: Keys | undefined =
  folder === undefined || serverKey === undefined ? undefined : { own: loadKeys(folder), serverKey };
const permitted = keys && new PermittedAttacker(host, port, keys);
const say = (line: object) => process.stdout.write(`${JSON.stringify({ ...line, at: now() })}\n`);
let bursting = false;

/** Nothing is let in: that is what is to be shown. */
function refused(): void {}

/** Bytes that are no ZeroMQ, on every port an outsider finds. */
function noise(): void {
  for (const at of [port, port + 1]) {
    const bytes = Buffer.from(Array.from({ length: 300 }, () => Math.floor(random() * 256)));
    const socket = connect(at, host, () => socket.end(bytes));
    socket.on('error', () => socket.destroy());
  }
}

/** Without a key; where none is asked for, what no program of v1 would publish. */
async function stranger(): Promise<void> {
  const publisher = new Publisher({ linger: 0, sendTimeout: 0 });
  publisher.connect(`tcp://${host}:${port}`);
  await pause(300);
  for (const frame of ['{', '[]', '{"sender":[]}', 'x'.repeat(1_100_000)]) await publisher.send(frame).catch(refused);
  await pause(100);
  publisher.close();
}

/** With a key that nobody has listed, and a greeting in its hand. */
async function unlisted(theirs: Keys, greeting: object): Promise<void> {
  const { publicKey, secretKey } = curveKeyPair();
  const dealer = new Dealer({
    linger: 0,
    sendTimeout: 0,
    reconnectInterval: 5000,
    curveServerKey: theirs.serverKey,
    curvePublicKey: publicKey,
    curveSecretKey: secretKey,
  });
  dealer.connect(`tcp://${host}:${port}`);
  await dealer.send(JSON.stringify(greeting)).catch(refused);
  await pause(500);
  dealer.close();
}

async function outside(): Promise<void> {
  noise();
  await Promise.all([stranger(), keys && permitted && unlisted(keys, permitted.hello())]);
}

/** What was sent before is counted before. */
async function aim(): Promise<void> {
  bursting = true;
  await pause(1000);
  await permitted?.ready();
  say({ aimed: true });
}

async function burst(): Promise<void> {
  if (!permitted) return;
  const sent: Record<Counted, number> = { forged: 0, malformed: 0, oversized: 0, refused: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    for (const { counted, make } of attacks) {
      if ((await permitted.attack(make)) && counted) sent[counted]++;
    }
  }
  await outside();
  sent.refused++;
  say({ burst: sent });
  bursting = false;
}

createInterface({ input: process.stdin }).on('line', (order) => void (order === 'aim' ? aim() : burst()));
for (let round = 0; ; round++) {
  await pause(200 + random() * 200);
  if (bursting) continue;
  const attack = attacks[Math.floor(random() * attacks.length)];
  if (attack && permitted?.isIn) await permitted.attack(attack.make);
  if (round % 10 === 0) await outside();
}
