import { messageOf } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { isBitTable, type Table } from './protocol/request.ts';
import { type FormatSpec, formatOf, type Levels } from './register-format.ts';
import { AddressError } from './value-keys.ts';
import type { WriteKeys } from './write-functions.ts';

/** The keys of a pin that say which numbers mean on and off. */
export interface LevelKeys {
  readonly on?: number | undefined;
  readonly off?: number | undefined;
  readonly self_clearing?: boolean | undefined;
  readonly values?: object | undefined;
  readonly write?: WriteKeys | undefined;
}

/** What function 5 sends by the standard. */
const COIL_ORDERS = { on: 0xff00, off: 0 };

/** Returns the numbers for on and off; `undefined` when the pin has none, or too few, which `levelMistake` tells. */
export function levelsOf({ on, off, self_clearing }: LevelKeys, table: Table): Levels | undefined {
  const standard = isBitTable(table) && !self_clearing && (on ?? off) !== undefined ? COIL_ORDERS : undefined;
  const either = on ?? standard?.on;
  return either === undefined ? undefined : { on: either, off: off ?? standard?.off };
}

/** Returns the mistake in numbers for on and off. `spec`: the format that has them. */
export function levelMistake(
  keys: LevelKeys,
  table: Table,
  spec: FormatSpec,
  readElsewhere: boolean,
): AddressError | undefined {
  const { on, off, self_clearing, values, write } = keys;
  if (on === undefined && off === undefined) return undefined;
  const key = on === undefined ? 'off' : 'on';
  const { levels, type } = spec;
  if (values !== undefined || spec.fields !== undefined || type === 'string' || type === 'raw')
    return new AddressError(key, 'a text pin has no numbers for on and off');
  if (levels === undefined || (levels.off === undefined && !self_clearing))
    return new AddressError(key, 'on and off go together; an order that the device clears has self_clearing: true');
  if (levels.on === levels.off) return new AddressError('off', 'on and off are the same number');
  return isBitTable(table)
    ? coilMistake(levels, key, write)
    : registerMistake(spec, levels, (self_clearing ?? false) && !readElsewhere);
}

function coilMistake(
  { on, off = 0 }: Levels,
  key: 'on' | 'off',
  write: WriteKeys | undefined,
): AddressError | undefined {
  if (Math.min(on, off) < 0 || Math.max(on, off) > 0xffff) return new AddressError(key, 'function 5 sends 0 to 0xFFFF');
  return write?.coil === 15
    ? new AddressError(['write', 'coil'], 'function 15 sends bits, and no other orders')
    : undefined;
}

function registerMistake(spec: FormatSpec, levels: Levels, cleared: boolean): AddressError | undefined {
  if (spec.type === 'bool' || spec.type.startsWith('float'))
    return new AddressError('on', `type ${spec.type} holds no whole numbers for on and off`);
  if (cleared && levels.off !== undefined)
    return new AddressError(
      'read',
      'a register that clears itself does not show whether the output is on: say where that can be read',
    );
  const format = formatOf(spec);
  for (const key of ['on', 'off'] as const) {
    if (levels[key] === undefined) continue;
    try {
      format.encode(key === 'on');
    } catch (error) {
      return new AddressError(key, messageOf(error));
    }
  }
  return undefined;
}

/** Returns whether a value is the absence of an order: there is nothing to send. */
export function isNoOrder(
  { selfClearing, levels }: { readonly selfClearing: boolean; readonly levels?: Levels | undefined },
  value: RawValue,
): boolean {
  return selfClearing && value === false && levels !== undefined && levels.off === undefined;
}
