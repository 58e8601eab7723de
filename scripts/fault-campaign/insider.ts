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

/** A peer that was let in, speaks the language of sessions with a key it has been given, and says in it what it likes. */
export class Insider implements Attacker {
  readonly actor = newId();
  node = newId();
  token: string | undefined;
  hall = 'Hall';
  readonly #address: string;
  readonly #keys: Keys;
  #dealer: Dealer | undefined;
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

  /** Resolves when it has been let in. */
  async ready(): Promise<void> {
    while (!this.#in) await pause(20);
  }

  /** Resolves with whether it is on its way. */
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

  /** One after the other: ZeroMQ takes no two at once. */
  #send(text: string): Promise<boolean> {
    const sent = this.#sending.then(async () => {
      try {
        await this.#dealer?.send(text);
        return true;
      } catch {
        // The agent is gone or hangs: it is called anew when it says nothing any more.
        return false;
      }
    });
    this.#sending = sent;
    return sent;
  }

  /** Says that it lives, as sessions do, and calls again whenever the agent has gone. */
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
    this.#in = false;
    this.token = undefined;
    this.node = newId();
    this.#messages = 0;
    this.#greeted = now();
    const { own, serverKey } = this.#keys;
    const dealer = new Dealer({
      // What was sent counts as sent, even when the agent is called anew meanwhile.
      linger: LINGER_MS,
      sendTimeout: 200,
      immediate: true,
      maxMessageSize: -1,
      curveServerKey: serverKey,
      curvePublicKey: own.publicKey,
      curveSecretKey: own.secretKey,
    });
    this.#dealer = dealer;
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
        const { challenge, welcome, token, bye, nodes } = found;
        // Newcomers are told who else is there.
        for (const node of readNodes(nodes)) if (node.name === 'hall') this.hall = node.id;
        if (typeof challenge === 'string') {
          const { own, serverKey } = this.#keys;
          await this.#send(JSON.stringify({ proof: keyProof(own, serverKey, `${challenge} ${this.node}`) }));
        } else if (welcome !== undefined) {
          this.token = typeof token === 'string' ? token : undefined;
          this.#in = true;
        } else if (bye !== undefined) this.#in = false;
      }
    } catch {
      // It was closed for another call.
    }
  }
}
