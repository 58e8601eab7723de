import { Actor } from '../bus/actor.ts';
import { Bus } from '../bus/bus.ts';
import { systemClock } from '../clock/clock.ts';
import { closestMatch } from '../config/closest-match.ts';
import { DcsError } from '../errors/errors.ts';
import { LightClient } from '../mesh/light-client.ts';
import { type Endpoint, parseEndpoint } from '../mesh/transport/addresses.ts';
import { isRecord } from '../message/envelope.ts';
import { type IoMessage, isReport } from '../message/payloads.ts';
import { CliError, exitCodes } from './exit.ts';

const DEFAULT_BUS = '127.0.0.1:5012:5013';
/** A question whose answer is lost is asked again this often. */
const ASK_AGAIN_MS = 250;

/** Where the bus is: `--bus`, else DCS_IO_BUS, else this machine. */
export function busEndpoint(option: string | undefined): Endpoint {
  return parseEndpoint(option ?? process.env['DCS_IO_BUS'] ?? DEFAULT_BUS);
}

/** The pins a NodeMessage tells of, whatever program sent it. */
export function pinsOf(data: unknown): { name: string; kind: string; direction: string; label: string; uom: string }[] {
  if (!isRecord(data) || !Array.isArray(data['pins'])) return [];
  const text = (found: unknown) => (typeof found === 'string' ? found : '');
  return data['pins'].filter(isRecord).map(({ name, kind, direction, label, uom }) => ({
    name: text(name),
    kind: text(kind),
    direction: text(direction),
    label: text(label),
    uom: text(uom),
  }));
}

/** A command's seat on the bus: one actor, joined as a leaf. */
export class BusClient {
  readonly actor = new Actor('cli');
  readonly #bus = new Bus();
  readonly #leaf: LightClient;

  constructor(endpoint: Endpoint) {
    const quiet = { debug() {}, info() {}, warn() {}, error() {} };
    this.#leaf = new LightClient(this.#bus, endpoint, quiet);
  }

  /** Rejects with TIMEOUT when nobody is there. */
  async connect(timeoutMs: number): Promise<void> {
    this.#bus.join(this.actor);
    await this.#leaf.start(timeoutMs);
  }

  async close(): Promise<void> {
    await this.#leaf.stop();
    this.#bus.close();
  }

  /**
   * Asks a pin to report until it does. Proves that it exists and that both directions of the link work, so that a
   * command needs to be sent only once. Rejects with TIMEOUT, naming the closest pin that did answer.
   */
  async probe(pin: string, timeoutMs: number): Promise<IoMessage> {
    const known = new Set<string>();
    let found: IoMessage | undefined;
    let wake: () => void = () => {};
    this.actor.on('NodeMessage', (data) => {
      for (const { name } of pinsOf(data)) known.add(name);
    });
    this.actor.onReport(pin, (report) => {
      found ??= report;
      wake();
    });
    const end = systemClock.now() + timeoutMs;
    for (let round = 0; !found && systemClock.now() < end; round++) {
      this.actor.send({ UpdateIoMessage: { pin_name: pin } });
      if (known.size === 0) this.actor.send({ UpdateIoMessage: {} });
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, ASK_AGAIN_MS);
      });
      // Every node that is there has said what it has: waiting longer for a misspelt name helps nobody.
      if (round >= 2 && known.size > 0 && !known.has(pin)) break;
    }
    if (found) return found;
    const near = closestMatch(pin, known);
    const list =
      known.size > 0 ? 'dcs-io pins lists what there is' : 'is an agent running? dcs-io pins asks all of them';
    throw new CliError(
      exitCodes.noAnswer,
      `no pin named '${pin}' answers on the bus`,
      near === undefined ? list : `did you mean '${near}'?`,
    );
  }

  /** Sends a command and waits for its one answer. Rejects with what the pin refused it for, or TIMEOUT. */
  async command(pin: string, val: unknown, timeoutMs: number, extra: object = {}): Promise<IoMessage> {
    const answer = await this.actor.request({ IoMessage: { pin_name: pin, val, ...extra } }, { timeoutMs });
    const data = answer.payload['IoMessage'];
    if (isRecord(data) && data['pin_name'] === pin) return { ...data, pin_name: pin };
    throw new DcsError('BAD_REPLY', `${pin} answered with something else`, { found: answer.payload });
  }

  /** Reports and commands alike, as they pass. */
  onIoMessage(handler: (message: IoMessage, report: boolean) => void): void {
    this.actor.on('IoMessage', (data) => {
      if (isRecord(data) && typeof data['pin_name'] === 'string') {
        const message: IoMessage = { ...data, pin_name: data['pin_name'] };
        handler(message, isReport(message));
      }
    });
  }
}
