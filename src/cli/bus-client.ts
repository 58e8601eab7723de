import type { Actor } from '../bus/actor.ts';
import { closestMatch } from '../config/closest-match.ts';
import { DcsError } from '../errors/errors.ts';
import { connect, type LightClient } from '../mesh/light-client.ts';
import { type Endpoint, endpointText, parseEndpoint } from '../mesh/transport/addresses.ts';
import { isRecord } from '../message/envelope.ts';
import { type IoMessage, isReport } from '../message/payloads.ts';
import { CliError, exitCodes } from './exit.ts';
import type { ClientOptions } from './options.ts';

const DEFAULT_BUS = '127.0.0.1:5012:5013';
/** A question is repeated this often (ms) until its answer comes: either may be lost while connections come up. */
const ASK_AGAIN_MS = 250;

/** The bus a command joins: `--bus`, else DCS_IO_BUS, else this machine's. */
export function busEndpoint(option: string | undefined): Endpoint {
  return parseEndpoint(option ?? process.env['DCS_IO_BUS'] ?? DEFAULT_BUS);
}

/** The pins listed in a NodeMessage of any program. */
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

/** Connects to the bus, does work there and closes the connection. */
export async function withClient<T>(options: ClientOptions, work: (client: BusClient) => Promise<T>): Promise<T> {
  const client = await BusClient.connect(options);
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

/** A command's connection to the bus. */
export class BusClient {
  readonly actor: Actor;
  /** `HOST:RX:TX`. */
  readonly address: string;
  readonly #client: LightClient;

  constructor(client: LightClient, address: string) {
    this.actor = client.actor;
    this.address = address;
    this.#client = client;
  }

  /** Rejects with TIMEOUT when no agent answers. */
  static async connect(options: ClientOptions): Promise<BusClient> {
    const address = endpointText(busEndpoint(options.bus));
    return new BusClient(await connect({ bus: address, timeoutMs: options.timeout, name: 'cli' }), address);
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  /** A pin's report. Rejects with the closest name when no pin of that name answers. */
  async get(pin: string, timeoutMs: number): Promise<IoMessage> {
    const { report, known } = await this.#find(pin, AbortSignal.timeout(timeoutMs));
    if (report) return report;
    throw noSuchPin(pin, known);
  }

  /**
   * Commands a pin and returns the report that answers. A text that reads as a boolean or a number is sent as one; a pin of
   * kind text refuses that, which changes nothing, and then gets the text itself. Rejects with the pin's refusal or TIMEOUT.
   */
  async set(pin: string, text: string, timeoutMs: number, extra: object = {}): Promise<IoMessage> {
    const val = parseValue(text);
    try {
      return await this.command(pin, { val, ...extra }, timeoutMs);
    } catch (error) {
      if (!(error instanceof DcsError) || error.code !== 'BAD_VALUE' || val === text) throw error;
      return await this.command(pin, { val: text, ...extra }, timeoutMs);
    }
  }

  /** Sends a command once and returns the report that answers. Rejects with the pin's refusal or TIMEOUT. */
  async command(pin: string, data: object, timeoutMs: number): Promise<IoMessage> {
    const done = new AbortController();
    const answer = this.actor.request({ IoMessage: { pin_name: pin, ...data } }, { timeoutMs });
    try {
      const { payload } = await Promise.race([answer, this.#rejectWhenMissing(pin, done.signal)]);
      const report = payload['IoMessage'];
      if (isRecord(report) && report['pin_name'] === pin) return { ...report, pin_name: pin };
      throw new DcsError('BAD_REPLY', `${pin} answered with something else`, { found: payload });
    } finally {
      done.abort();
    }
  }

  /** Rejects once the nodes on the bus have told that they have no such pin: a misspelt name gets no answer. */
  async #rejectWhenMissing(pin: string, signal: AbortSignal): Promise<never> {
    await pause(ASK_AGAIN_MS, signal);
    const { report, known } = await this.#find(pin, signal);
    if (report || signal.aborted) return new Promise<never>(() => {});
    throw noSuchPin(pin, known);
  }

  /** Asks a pin to report until it does, the nodes that answer list no such pin, or the signal ends it. */
  async #find(pin: string, signal: AbortSignal): Promise<{ report?: IoMessage; known: ReadonlySet<string> }> {
    const known = new Set<string>();
    const found = new AbortController();
    let report: IoMessage | undefined;
    this.actor.on('NodeMessage', (data) => {
      for (const { name } of pinsOf(data)) known.add(name);
    });
    this.actor.onReport(pin, (message) => {
      report ??= message;
      found.abort();
    });
    const end = AbortSignal.any([signal, found.signal]);
    for (let round = 0; !end.aborted; round++) {
      // By the fourth round every node has listed its pins.
      if (round > 2 && known.size > 0 && !known.has(pin)) break;
      this.actor.send({ UpdateIoMessage: { pin_name: pin } });
      if (known.size === 0) this.actor.send({ UpdateIoMessage: {} });
      await pause(ASK_AGAIN_MS, end);
    }
    return { known, ...(report && { report }) };
  }

  /** Calls `handler` with every report and command on the bus. */
  onIoMessage(handler: (message: IoMessage, report: boolean) => void): void {
    this.actor.on('IoMessage', (data) => {
      if (isRecord(data) && typeof data['pin_name'] === 'string') {
        const message: IoMessage = { ...data, pin_name: data['pin_name'] };
        handler(message, isReport(message));
      }
    });
  }
}

/** Resolves after a time, or at once when the signal ends it. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function noSuchPin(pin: string, known: ReadonlySet<string>): CliError {
  const near = closestMatch(pin, known);
  const list = known.size > 0 ? 'dcs-io pins lists all pins' : 'is an agent running? dcs-io pins asks all of them';
  const hint = near === undefined ? list : `did you mean '${near}'?`;
  return new CliError(exitCodes.noAnswer, `no pin named '${pin}' answers on the bus`, hint);
}

/** The value a typed word stands for. Digits too long for a number stay text, which is exact. */
export function parseValue(text: string): boolean | number | string {
  if (/^(on|true)$/i.test(text)) return true;
  if (/^(off|false)$/i.test(text)) return false;
  if (/^[-+]?\d+$/.test(text) && !Number.isSafeInteger(Number(text))) return text;
  return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
}
