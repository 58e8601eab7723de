/**
 * An attacker beside the nodes of a world. Its settings come as JSON in its first argument. It constantly sends attacks to the
 * agent of the boiler. After `aim` it is silent; at `burst` it sends all attacks, and then prints how many of each kind.
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
  /** In a world with keys: the folder of a key that may command nothing, and the agent's public key. */
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

/** Ignores errors: the agent is meant to reject everything. */
function refused(): void {}

/** Sends bytes that are no ZeroMQ to every port of the agent. */
function noise(): void {
  for (const at of [port, port + 1]) {
    const bytes = Buffer.from(Array.from({ length: 300 }, () => Math.floor(random() * 256)));
    const socket = connect(at, host, () => socket.end(bytes));
    socket.on('error', () => socket.destroy());
  }
}

/** Sends without a key; in a world without keys, malformed v1 messages. */
async function stranger(): Promise<void> {
  const publisher = new Publisher({ linger: 0, sendTimeout: 0 });
  publisher.connect(`tcp://${host}:${port}`);
  await pause(300);
  for (const frame of ['{', '[]', '{"sender":[]}', 'x'.repeat(1_100_000)]) await publisher.send(frame).catch(refused);
  await pause(100);
  publisher.close();
}

/** Sends a handshake with an unlisted key. */
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

/** Stops the constant attacks, so that earlier ones are counted before the burst. */
async function aim(): Promise<void> {
  bursting = true;
  await pause(1000);
  await permitted?.ready();
  say({ aimed: true });
}

async function burst(): Promise<void> {
  if (!permitted) return;
  const sent = await sendAll(permitted);
  await outside();
  sent.refused++;
  say({ burst: sent });
  bursting = false;
}

/**
 * Sends all attacks in one connection. A connection that breaks takes its last frames with it, on either side, so then everything is
 * sent again: the agent may count more than was sent, never less.
 */
async function sendAll(by: PermittedAttacker): Promise<Record<Counted, number>> {
  for (;;) {
    await by.ready();
    const { broken } = by;
    const sent: Record<Counted, number> = { forged: 0, malformed: 0, oversized: 0, refused: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      for (const { counted, make } of attacks) {
        if ((await by.attack(make)) && counted) sent[counted]++;
      }
    }
    // A break shows at once when the last frames meet it.
    await pause(300);
    if (by.broken === broken) return sent;
    say({ repeated: 'the connection broke during the attacks' });
  }
}

createInterface({ input: process.stdin }).on('line', (order) => void (order === 'aim' ? aim() : burst()));
for (let round = 0; ; round++) {
  await pause(200 + random() * 200);
  if (bursting) continue;
  const attack = attacks[Math.floor(random() * attacks.length)];
  if (attack && permitted?.isIn) await permitted.attack(attack.make);
  if (round % 10 === 0) await outside();
}
