import type { Actor } from '../../src/bus/actor.ts';
import { connect, type LightClient } from '../../src/mesh/light-client.ts';
import { isRecord } from '../../src/message/envelope.ts';
import { until } from './wait.ts';

/** A message an observer saw; `at` is monotonic ms. */
export type Observed = Record<string, unknown> & { subject: string; at: number };

/** A process of its own on the bus of an agent under test, as any client program is. */
export class Observer {
  readonly seen: Observed[] = [];
  readonly #endpoint: string;
  #client: LightClient | undefined;

  constructor(endpoint: string) {
    this.#endpoint = endpoint;
  }

  get actor(): Actor {
    if (!this.#client) throw new Error('the observer has not started');
    return this.#client.actor;
  }

  async start(): Promise<this> {
    this.#client = await connect({ bus: this.#endpoint, name: 'observer' });
    this.#client.onAny(({ payload }) => {
      for (const [subject, data] of Object.entries(payload)) {
        if (isRecord(data)) this.seen.push({ ...data, subject, at: performance.now() });
      }
    });
    return this;
  }

  async stop(): Promise<void> {
    await this.#client?.close();
  }

  /** Waits for a report of a pin that fits, seen already or from now on; takes it and that pin's messages before it. */
  async report(pin: string, fits: (report: Observed) => boolean, limitMs = 5000): Promise<Observed> {
    return until(
      `a report of ${pin}; seen: ${JSON.stringify(this.seen.filter(({ pin_name }) => pin_name === pin).slice(-3))}`,
      () => {
        const at = this.seen.findIndex(
          (one) =>
            one.subject === 'IoMessage' && one['pin_name'] === pin && one['last_change'] !== undefined && fits(one),
        );
        const found = this.seen[at];
        const left = this.seen.filter((one, index) => index > at || one['pin_name'] !== pin);
        if (found) this.seen.splice(0, this.seen.length, ...left);
        return found;
      },
      limitMs,
    );
  }
}
