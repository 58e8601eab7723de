import type { Bus } from '../bus/bus.ts';
import { type DurationMs, type Timer, withDeadline } from '../clock/clock.ts';
import { DcsError } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import { newId } from '../message/envelope.ts';
import { Router } from './routing/router.ts';
import { type MeshStats, newStats } from './stats.ts';
import { type Endpoint, endpointText } from './transport/addresses.ts';
import { LINGER_MS, openSocketFactory } from './transport/socket-factory.ts';
import { ECHO } from './v1/introductions.ts';
import { SocketPair } from './v1/socket-pair.ts';

/** How often a leaf asks until it hears itself (ms). */
const ECHO_MS = 20;

/**
 * The smallest member of the mesh: talks to everybody through one broker, introduces itself to nobody and passes nothing
 * on. For commands that live for a moment.
 */
export class LightClient {
  readonly id: string = newId();
  readonly stats: MeshStats = newStats();
  readonly #bus: Bus;
  readonly #endpoint: Endpoint;
  readonly #log: Log;
  #pair: SocketPair | undefined;
  #flow: Router | undefined;
  #stopped = false;

  constructor(bus: Bus, endpoint: Endpoint, log: Log) {
    this.#bus = bus;
    this.#endpoint = endpoint;
    this.#log = log;
  }

  /** Resolves once both ways work: what is sent then reaches everybody, and their answers come. Rejects with TIMEOUT when no agent answers. */
  async start(timeoutMs: DurationMs): Promise<void> {
    const sockets = await openSocketFactory(this.stats, this.#log);
    if (this.#stopped) throw new DcsError('STOPPED', 'stopped before it had started');
    let serial = 0;
    let timer: Timer | undefined;
    let answered = false;
    const ready = new Promise<void>((resolve) => {
      const ask = (pair: SocketPair) => {
        timer?.cancel();
        // A link that comes again is asked nothing: nobody waits for it, and who does not hear itself asks for ever.
        if (answered) return;
        pair.publish(this.#echo(serial++));
        timer = this.#bus.clock.after(ECHO_MS, () => ask(pair));
      };
      const pair = new SocketPair(sockets, 'leaf', {
        frame: (text, from) => this.#flow?.receive(text, from),
        up: ask,
        subscribed: ask,
      });
      this.#pair = pair;
      this.#flow = new Router(this.#bus, {
        id: this.id,
        stats: this.stats,
        log: this.#log,
        outlets: () => [pair],
        relays: () => [],
        control: () => undefined,
        echo: () => {
          answered = true;
          resolve();
        },
        sessions: () => [],
        heard: () => undefined,
        refusal: () => undefined,
        hasLeft: () => false,
        resumedRecently: () => false,
        mayRead: () => true,
        reject: () => undefined,
        interestChanged: () => undefined,
      });
      pair.connect(this.#endpoint);
    });
    try {
      await withDeadline(this.#bus.clock, timeoutMs, ready, () => this.#noAnswer(timeoutMs));
    } catch (error) {
      await this.stop();
      throw error;
    } finally {
      timer?.cancel();
    }
  }

  /** Idempotent; what was sent still leaves. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#flow?.close();
    this.#pair?.close(LINGER_MS);
  }

  #echo(serial: number): string {
    return JSON.stringify({
      sender: [this.id],
      timestamp: this.#bus.clock.unix(),
      msg_id: `${this.id}.${serial}`,
      payload: { [ECHO]: {} },
    });
  }

  #noAnswer(timeoutMs: DurationMs): DcsError {
    return new DcsError(
      'TIMEOUT',
      `no agent answers at ${endpointText(this.#endpoint)} within ${timeoutMs} ms; is 'dcs-io run' running there?`,
      { found: endpointText(this.#endpoint) },
    );
  }
}
