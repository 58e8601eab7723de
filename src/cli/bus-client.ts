import { closestMatch } from '../config/closest-match.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import { DcsError } from '../errors/errors.ts';
import { connect, type LightClient } from '../mesh/light-client.ts';
import { isRecord } from '../message/envelope.ts';
import { type IoMessage, isReport } from '../message/payloads.ts';
import { CliError, exitCodes } from './exit.ts';
import type { ClientOptions } from './options.ts';
import { printJson } from './output.ts';

/** A question is repeated this often (ms) until its answer comes: either may be lost while connections come up. */
const ASK_AGAIN_MS = 250;

/** Address of a node and the keys for it. */
export interface BusAddress {
  /** `HOST:RX:TX`. */
  readonly bus: string;
  /** Folder of keys for an encrypted connection. */
  readonly keys?: string;
}

/** The bus of `--bus`, else of the configuration of `-c`, else of DCS_IO_BUS, else of this machine; keys from `-c` alone. */
async function resolveAddress({ bus, config }: Pick<ClientOptions, 'bus' | 'config'>): Promise<BusAddress> {
  if (config === undefined) return { bus: bus ?? defaultBus() };
  const { readConfig } = await import('./config-file.ts');
  const address = addressOf(await readConfig(config));
  return { ...address, bus: bus ?? address.bus };
}

/** The bus of DCS_IO_BUS, else of this machine. */
export function defaultBus(): string {
  return process.env['DCS_IO_BUS'] ?? '127.0.0.1:5012:5013';
}

/** The bus of the node that a configuration is for. */
export function addressOf({ bus: { listen, rx, tx, security } }: ResolvedConfig): BusAddress {
  const host = listen === '0.0.0.0' || listen === '*' ? '127.0.0.1' : listen;
  return { bus: `${host}:${rx}:${tx}`, ...(security && { keys: security.keys }) };
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
  const client = await connectClient(options);
  try {
    return await work(client);
  } finally {
    await client.bus.close();
  }
}

/** Connects to the bus. Rejects with TIMEOUT when no agent answers, with NO_PERMISSION when the node refuses the key. */
export async function connectClient(options: ClientOptions): Promise<BusClient> {
  const address = await resolveAddress(options);
  return new BusClient(await connect({ ...address, timeoutMs: options.timeout, name: 'cli' }), address.bus);
}

/** Reads and commands pins for the command line, with errors for a person. */
export class BusClient {
  readonly bus: LightClient;
  /** `HOST:RX:TX`. */
  readonly address: string;

  constructor(bus: LightClient, address: string) {
    this.bus = bus;
    this.address = address;
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

  /**
   * Sends a command once and returns the report that answers. Rejects with the pin's refusal; when it is unknown whether the
   * command took effect, with a CliError that says so.
   */
  async command(pin: string, data: object, timeoutMs: number): Promise<IoMessage> {
    const done = new AbortController();
    let last: IoMessage | undefined;
    this.bus.onReport(pin, (report) => {
      last = report;
    });
    const answer = this.bus.request({ IoMessage: { pin_name: pin, ...data } }, { timeoutMs });
    try {
      const { payload } = await Promise.race([answer, this.#rejectWhenMissing(pin, done.signal)]);
      const report = payload['IoMessage'];
      if (isRecord(report) && report['pin_name'] === pin) return { ...report, pin_name: pin };
      throw new DcsError('BAD_REPLY', `${pin} answered with something else`, { found: payload });
    } catch (error) {
      if (!(error instanceof DcsError)) throw error;
      if (error.code === 'TIMEOUT') throw unknownOutcome(pin, error);
      throw error.code === 'NOT_TAKEN' ? new NotTakenError(error.message, last) : error;
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
    this.bus.on('NodeMessage', (data) => {
      for (const { name } of pinsOf(data)) known.add(name);
    });
    this.bus.onReport(pin, (message) => {
      report ??= message;
      found.abort();
    });
    const end = AbortSignal.any([signal, found.signal]);
    for (let round = 0; !end.aborted; round++) {
      // By the fourth round every node has listed its pins.
      if (round > 2 && known.size > 0 && !known.has(pin)) break;
      this.bus.send({ UpdateIoMessage: { pin_name: pin } });
      if (known.size === 0) this.bus.send({ UpdateIoMessage: {} });
      await pause(ASK_AGAIN_MS, end);
    }
    return { known, ...(report && { report }) };
  }

  /** Calls `handler` with every report and command on the bus. */
  onIoMessage(handler: (message: IoMessage, report: boolean) => void): void {
    this.bus.on('IoMessage', (data) => {
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

/** Ends a command that the hardware took and does not have. */
class NotTakenError extends CliError {
  /** The pin's report of the value that the hardware has. */
  readonly report: IoMessage | undefined;

  constructor(message: string, report: IoMessage | undefined) {
    super(exitCodes.failed, message);
    this.report = report;
  }
}

/** Commands a pin on the bus. With `--json` the report of a command that failed is printed before it rejects. */
export async function commandPin(
  options: ClientOptions,
  send: (client: BusClient) => Promise<IoMessage>,
): Promise<IoMessage> {
  try {
    return await withClient(options, send);
  } catch (error) {
    if (options.json && error instanceof NotTakenError && error.report) printJson(error.report);
    throw error;
  }
}

/** The error of a command that may have taken effect. */
function unknownOutcome(pin: string, { message }: DcsError): CliError {
  // The pin may say the same itself, with more detail.
  const cause = message.replace(/[;,]? ?whether it took effect is unknown/, '');
  const text = `${pin}: ${cause}; whether it took effect is unknown`;
  return new CliError(exitCodes.noAnswer, text, `dcs-io get ${pin} shows its value`);
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
