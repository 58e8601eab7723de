import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { LightClient } from '../../src/mesh/light-client.ts';
import { parseEndpoint } from '../../src/mesh/transport/addresses.ts';
import { isRecord } from '../../src/message/envelope.ts';
import { memoryLog } from './ports.ts';
import { until } from './wait.ts';

/** A message an observer saw; `at` is monotonic ms. */
export type Observed = Record<string, unknown> & { subject: string; at: number };

/** A process of its own on the bus of an agent under test, as any client program is. */
export class Observer {
  readonly actor = new Actor('observer');
  readonly seen: Observed[] = [];
  readonly #bus = new Bus();
  readonly #leaf: LightClient;

  constructor(endpoint: string) {
    this.#leaf = new LightClient(this.#bus, parseEndpoint(endpoint), memoryLog());
    this.actor.onAny(({ payload }) => {
      for (const [subject, data] of Object.entries(payload)) {
        if (isRecord(data)) this.seen.push({ ...data, subject, at: performance.now() });
      }
    });
    this.#bus.join(this.actor);
  }

  async start(): Promise<this> {
    await this.#leaf.start(5000);
    return this;
  }

  async stop(): Promise<void> {
    await this.#leaf.stop();
    this.#bus.close();
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
