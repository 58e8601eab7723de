import { CliError, exitCodes } from '../exit.ts';
import { printJson, printLine, showValue } from '../output.ts';
import { pinNote } from '../pin-list.ts';
import { parseValue, type ValueOptions, withClient } from './value.ts';

export interface OverrideOptions extends ValueOptions {
  /** Milliseconds. */
  readonly for?: number;
  readonly end?: boolean;
}

/** Sets an output by hand for a time, in which nothing on the bus changes it; or ends that. */
export async function override(pin: string, text: string | undefined, options: OverrideOptions): Promise<void> {
  const { end = false, for: lengthMs, timeout } = options;
  if (end ? text !== undefined || lengthMs !== undefined : text === undefined || lengthMs === undefined) {
    throw new CliError(
      exitCodes.wrongUse,
      'an override is a value and a time, or its end',
      `dcs-io override ${pin} on --for 10m, or dcs-io override ${pin} --end`,
    );
  }
  await withClient(options, async (client) => {
    const present = await client.probe(pin, timeout);
    const value = text === undefined ? undefined : parseValue(text, present);
    const seconds = lengthMs === undefined ? 0 : lengthMs / 1000;
    print(await client.command(pin, value, timeout, { override: seconds }), options);
  });
}

/** Lets an output be commanded again that is kept safe until a person says so. */
export async function rearm(pin: string, options: ValueOptions): Promise<void> {
  await withClient(options, async (client) => {
    await client.probe(pin, options.timeout);
    print(await client.command(pin, undefined, options.timeout, { rearm: true }), options);
  });
}

function print(report: Parameters<typeof pinNote>[0] & object, { json }: ValueOptions): void {
  if (json) printJson(report);
  else printLine(`${report.pin_name}  ${showValue(report.val)}  ${pinNote(report)}`.trimEnd());
}
