import { DcsError } from '../../errors/errors.ts';
import type { IoMessage } from '../../message/payloads.ts';
import { BusClient, busEndpoint } from '../bus-client.ts';
import { CliError, exitCodes } from '../exit.ts';
import { printJson, printLine, showValue } from '../output.ts';

export interface ValueOptions {
  readonly bus?: string;
  readonly json?: boolean;
  readonly timeout: number;
  readonly ttl?: number;
  readonly pulse?: number;
  readonly hold?: number;
  /** Seconds on and off. */
  readonly blink?: readonly [number, number];
}

/** Prints a pin's value. A value of bad quality is printed too, but the command fails: a script must not use it. */
export async function get(pin: string, options: ValueOptions): Promise<void> {
  await withClient(options, async (client) => {
    const report = await client.probe(pin, options.timeout);
    print(report, options);
    if (report['quality'] === 'bad') {
      throw new CliError(exitCodes.failed, `${pin} is bad: ${report['reason'] ?? 'no reason given'}`);
    }
  });
}

/** Asks a pin for a value and waits for its answer. */
export async function set(pin: string, text: string, options: ValueOptions): Promise<void> {
  await withClient(options, async (client) => {
    const present = await client.probe(pin, options.timeout);
    const { ttl, pulse, hold, blink } = options;
    const extra = {
      ...(ttl !== undefined && { ttl }),
      ...(pulse !== undefined && { pulse }),
      ...(hold !== undefined && { hold }),
      ...(blink !== undefined && { blink }),
    };
    try {
      const answer = await client.command(pin, parseValue(text, present), options.timeout, extra);
      print(answer, options);
    } catch (error) {
      if (!(error instanceof DcsError) || error.code !== 'TIMEOUT') throw error;
      // The pin's own answer says more than its absence, and may say that already.
      throw new CliError(
        exitCodes.noAnswer,
        `${pin}: ${error.message.replace(/[;,]? ?whether it took effect is unknown/, '')}; whether it took effect is unknown`,
        `dcs-io get ${pin} shows what it is now`,
      );
    }
  });
}

/** Does work on the bus and leaves it. */
export async function withClient(options: ValueOptions, work: (client: BusClient) => Promise<void>): Promise<void> {
  const client = new BusClient(busEndpoint(options.bus));
  try {
    await client.connect(options.timeout);
    await work(client);
  } finally {
    await client.close();
  }
}

function print(report: IoMessage, { json }: ValueOptions): void {
  if (json) printJson(report);
  else printLine(`${report.pin_name}  ${showValue(report.val)}`);
}

/**
 * What a person typed, as the type the pin has now: a text pin takes it as it is. Digits too long for a number stay text:
 * they are exact.
 */
export function parseValue(text: string, present: IoMessage): boolean | number | string {
  if (typeof present.val === 'string') return text;
  if (/^(on|true)$/i.test(text)) return true;
  if (/^(off|false)$/i.test(text)) return false;
  if (/^[-+]?\d+$/.test(text) && !Number.isSafeInteger(Number(text))) return text;
  return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
}
