import type { Clock, Timer } from '../../../src/clock/clock.ts';
import type { Framing } from '../protocol/framing.ts';
import { afterExactly } from '../transport/fine-timer.ts';
import type { LineTiming } from '../transport/line-timing.ts';
import type { Link, LinkEvents } from '../transport/link.ts';
import type { ReceivedRequest, RequestReader } from './request-reader.ts';
import type { Responder } from './tcp-server.ts';

export interface LineServerSettings {
  readonly clock: Clock;
  readonly framing: Framing;
  readonly reader: RequestReader;
  readonly timing: LineTiming;
  readonly respond: Responder;
  count(name: string, by?: number): void;
}

/** The operating system hands over what belongs together in pieces this far apart at most. */
const SLACK_MS = 50;

/** A slave on a serial line. It answers what is for its units and is silent to everything else, and to broadcasts. */
export class ModbusLineServer {
  readonly #settings: LineServerSettings;
  #link: Link | undefined;
  #silence: Timer | undefined;
  /** Newest request: an answer to an older one would come when the master no longer waits for it. */
  #newest = 0;

  constructor(settings: LineServerSettings) {
    this.#settings = settings;
  }

  /** Takes `open`'s link. `down` tells that it is lost. */
  async start(open: (events: LinkEvents) => Promise<Link>, down: LinkEvents['down']): Promise<void> {
    this.#link = await open({ data: (bytes) => this.#receive(bytes), down });
  }

  async close(): Promise<void> {
    this.#silence?.cancel();
    const link = this.#link;
    this.#link = undefined;
    await link?.close();
  }

  #receive(bytes: Buffer): void {
    const { clock, reader, timing, count } = this.#settings;
    this.#silence?.cancel();
    const before = reader.dropped;
    reader.push(bytes, (request) => void this.#serve(request));
    this.#silence = clock.after(Math.max(SLACK_MS, 2 * timing.gapMs), () => {
      reader.silence();
      if (reader.dropped > before) count('bytes_stray', reader.dropped - before);
    });
  }

  async #serve({ unit, pdu }: ReceivedRequest): Promise<void> {
    const { clock, framing, timing, respond } = this.#settings;
    const turn = ++this.#newest;
    const heard = clock.now();
    const reply = await respond(unit, pdu);
    if (!reply || unit === 0) return;
    afterExactly(clock, heard + timing.gapMs - clock.now(), () => {
      if (turn === this.#newest) this.#link?.send(framing.encode(unit, reply));
      else this.#settings.count('replies_stale');
    });
  }
}
