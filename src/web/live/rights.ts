import { isRecord, type Payload } from '../../message/envelope.ts';
import { ioMessageOf, isReport } from '../../message/payloads.ts';
import { allows, type Role } from '../options.ts';

/**
 * Why a message of somebody with this role may not go on the bus; undefined: it may. Whoever operates commands pins;
 * reports, bytes for serial ports and everything else are for admins, since other programs act on them.
 */
export function whyNot(role: Role, payload: Payload): string | undefined {
  for (const subject of Object.keys(payload)) {
    if (subject === 'WebSession' || subject === 'WebBeat') return `${subject} is told by the agent only`;
    if (allows(role, 'admin') || subject === 'UpdateIoMessage') continue;
    if (subject !== 'IoMessage') return `the role ${role} may not send ${subject}; admin may`;
    if (!allows(role, 'operate')) return `the role ${role} may not command pins; operate may`;
    const message = ioMessageOf(payload);
    if (message && isReport(message)) return `the role ${role} may not speak for pins (last_change); admin may`;
  }
  return undefined;
}

/** What an error about a message names: its pin or its port. */
export function subjectOf(payload: Payload): { pin_name?: string; port?: string } {
  const pin = ioMessageOf(payload)?.pin_name;
  if (pin !== undefined) return { pin_name: pin };
  const serial = payload['SerialPortMessage'];
  return isRecord(serial) && typeof serial['port'] === 'string' ? { port: serial['port'] } : {};
}
