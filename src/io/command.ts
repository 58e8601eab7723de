import { DcsError } from '../errors/errors.ts';
import {
  type IoCommand,
  type IoControl,
  type IoMessage,
  ioCommandSchema,
  ioControlSchema,
} from '../message/payloads.ts';

/** An IoMessage as a command for a value. Throws BAD_COMMAND, naming what is wrong with it. */
export function parseCommand(message: IoMessage): IoCommand {
  const parsed = ioCommandSchema.safeParse(message);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = issue?.path.join('.') ?? '';
  throw new DcsError('BAD_COMMAND', `${message.pin_name}: ${at || 'the command'}: ${issue?.message ?? 'is wrong'}`, {
    found: at === '' ? message : message[at],
    expected: '{pin_name, val: true|false|number|text, ttl?, hold?, pulse?, blink?, override?}',
  });
}

/** An IoMessage that ends an override or rearms the output; undefined: it is neither. */
export function parseControl(message: IoMessage): IoControl | undefined {
  const parsed = ioControlSchema.safeParse(message);
  if (!parsed.success || (parsed.data.override === undefined && parsed.data.rearm === undefined)) return undefined;
  return parsed.data;
}
