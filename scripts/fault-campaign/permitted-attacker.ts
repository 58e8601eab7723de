import { Dealer } from 'zeromq';
import { readNodes } from '../../src/mesh/local-node.ts';
import { keyProof } from '../../src/mesh/security/keys.ts';
import type { KeyPair } from '../../src/mesh/transport/socket-factory.ts';
import { isRecord, newId } from '../../src/message/envelope.ts';
import type { Attacker, Frame } from './attacks.ts';
import { now, pause } from './process.ts';

const SILENCE_MS = 2000;
const LINGER_MS = 5000;

/** The guest's key pair, and the public key of the agent. */
export interface Keys {
  readonly own: KeyPair;
  readonly serverKey: string;
}

/** An attacker with a permitted key: opens sessions as a peer does, and sends anything in them. */
export class PermittedAttacker implements Attacker {
  readonly actor = newId();
  node = newId();
  token: string | undefined;
  hall = 'Hall';
  readonly #address: string;
  readonly #keys: Keys;
  #dealer: Dealer | undefined;
  /** Number of connections that have ended so far. */
  broken = 0;
  #in = false;
  #heard = 0;
  #greeted = Number.NEGATIVE_INFINITY;
  #serial = 0;
  #messages = 0;
  #sending: Promise<unknown> = Promise.resolve();

  constructor(host: string, port: number, keys: Keys) {
    this.#address = `tcp://${host}:${port}`;
    this.#keys = keys;
    void this.#live();
  }

  get isIn(): boolean {
    return this.#in;
  }

  serial(): number {
    return this.#serial++;
  }

  hello(): object {
    const about = { boot: 'b', machine: 'elsewhere', addresses: [], port: 1, server: { rx: 1, tx: 2 } };
    const key = this.#keys.own.publicKey;
    const want = { all: false, subjects: [], pins: [] };
    return { hello: { id: this.node, name: 'guest', ...about, key }, t: now(), want, near: [] };
  }

  /** Resolves when the agent has welcomed it. */
  async ready(): Promise<void> {
    while (!this.#in) await pause(20);
  }

  /** Resolves with whether the frame was sent. */
  async attack(make: (by: Attacker) => Frame): Promise<boolean> {
    const frame = make(this);
    return 'raw' in frame ? this.#send(frame.raw) : this.#say(frame.messages);
  }

  async #say(messages: readonly unknown[]): Promise<boolean> {
    const first = this.#messages;
    this.#messages += messages.length;
    const token = this.token === undefined ? {} : { k: this.token };
    return this.#send(JSON.stringify({ ...token, s: first, t: now(), m: messages }));
  }

  /** Sends one frame at a time, because ZeroMQ accepts no overlapping sends. */
  #send(text: string): Promise<boolean> {
    const sent = this.#sending.then(async () => {
      try {
        await this.#dealer?.send(text);
        return true;
      } catch {
        // The agent has ended or hangs: #live connects again when it is silent.
        return false;
      }
    });
    this.#sending = sent;
    return sent;
  }

  /** Sends heartbeats, as sessions do, and connects again when the agent is silent. */
  async #live(): Promise<void> {
    for (;;) {
      const silent = !this.#in || now() - this.#heard > SILENCE_MS;
      if (silent && now() - this.#greeted > SILENCE_MS) await this.#call();
      else if (this.#in) await this.#say([]);
      await pause(300);
    }
  }

  async #call(): Promise<void> {
    this.#dealer?.close();
    this.broken++;
    this.#in = false;
    this.token = undefined;
    this.node = newId();
    this.#messages = 0;
    this.#greeted = now();
    const { own, serverKey } = this.#keys;
    const dealer = new Dealer({
      // Sent frames must arrive even when a new connection follows.
      linger: LINGER_MS,
      sendTimeout: 200,
      immediate: true,
      maxMessageSize: -1,
      curveServerKey: serverKey,
      curvePublicKey: own.publicKey,
      curveSecretKey: own.secretKey,
    });
    this.#dealer = dealer;
    dealer.events.on('disconnect', () => this.broken++);
    dealer.connect(this.#address);
    void this.#listen(dealer);
    await this.#send(JSON.stringify(this.hello()));
  }

  async #listen(dealer: Dealer): Promise<void> {
    try {
      for await (const [frame] of dealer) {
        if (dealer !== this.#dealer) return;
        this.#heard = now();
        const found: unknown = JSON.parse(String(frame));
        if (!isRecord(found)) continue;
        await this.#handle(found);
      }
    } catch {
      // The socket was closed for a new connection.
    }
  }

  async #handle({ challenge, welcome, token, bye, nodes }: { readonly [key: string]: unknown }): Promise<void> {
    // The welcome names the other nodes.
    for (const node of readNodes(nodes)) if (node.name === 'hall') this.hall = node.id;
    if (typeof challenge === 'string') {
      const { own, serverKey } = this.#keys;
      await this.#send(JSON.stringify({ proof: keyProof(own, serverKey, `${challenge} ${this.node}`) }));
    } else if (welcome !== undefined) {
      this.token = typeof token === 'string' ? token : undefined;
      this.#in = true;
    } else if (bye !== undefined) this.#in = false;
  }
}
