import { Actor } from '../bus/actor.ts';
import type { Log } from '../driver/driver.ts';
import { type Envelope, isRecord } from '../message/envelope.ts';
import { type IoMessage, isReport } from '../message/payloads.ts';
import type { Commander } from '../safety/nodes.ts';
import type { AuditFile } from './audit-file.ts';

/** Most security events a minute: whoever knocks without end must not push everything else out of the file. */
const SECURITY_LIMIT = 30;
const ASKED_LIMIT = 1000;
/** What of a command is written down. Others may add keys of their own, and must not write the log with them. */
const ASKED_KEYS = ['val', 'ttl', 'hold', 'pulse', 'blink', 'override', 'rearm'] as const;
/** A text is cut to this length: the file is bounded, and one sender must not push out what others did. */
const TEXT_LIMIT = 200;
const MINUTE_MS = 60_000;

/** Writes down what was asked of the outputs, by whom, what became of it, and when they went to their safe state. */
export class AuditActor extends Actor {
  readonly #file: AuditFile;
  readonly #outputs: ReadonlySet<string>;
  readonly #senderOf: (envelope: Envelope) => Commander;
  /** Commands that have not been answered yet; reports answer questions, too. */
  readonly #asked = new Set<string>();
  /** Who decides about each output, as last reported. */
  readonly #deciding = new Map<string, string>();

  /** `senderOf`: what people call whoever sent a message. */
  constructor(outputs: readonly string[], file: AuditFile, senderOf: (envelope: Envelope) => Commander) {
    super('audit');
    this.#outputs = new Set(outputs);
    this.#file = file;
    this.#senderOf = senderOf;
    for (const pin of this.#outputs) {
      this.onPin(pin, (message, envelope) =>
        isReport(message) ? this.#report(message) : this.#command(message, envelope),
      );
    }
    this.on('IoErrorMessage', (data) => this.#refusal(data));
  }

  #command(message: IoMessage, envelope: Envelope): void {
    const { pin_name: pin } = message;
    const { sender, msg_id: id, timestamp } = envelope;
    const kind = message['override'] !== undefined ? 'override' : message['rearm'] !== undefined ? 'rearm' : 'command';
    const asked = ASKED_KEYS.flatMap((key) => (message[key] === undefined ? [] : [[key, bounded(message[key])]]));
    this.#asked.add(id);
    const [oldest] = this.#asked;
    if (this.#asked.size > ASKED_LIMIT && oldest !== undefined) this.#asked.delete(oldest);
    const by = this.#senderOf(envelope);
    this.#file.add(kind, { pin, ...Object.fromEntries(asked), ...by, sender, id, sent: bounded(timestamp) });
  }

  #report({ pin_name: pin, val, reply_to: id, quality, output }: IoMessage): void {
    if (!isRecord(output)) return;
    const { by, why, command } = output;
    const state = isRecord(command) ? command['state'] : undefined;
    if (typeof id === 'string' && this.#asked.delete(id))
      this.#file.add('done', { pin, val: bounded(val), id, state, quality });
    const before = this.#deciding.get(pin);
    if (typeof by !== 'string' || by === before) return;
    this.#deciding.set(pin, by);
    if (by === 'safe' || by === 'rule' || by === 'override' || before === 'override') {
      this.#file.add(by === 'safe' ? 'safe' : 'decision', {
        pin,
        val,
        by,
        why,
        ...(before !== undefined && { before }),
      });
    }
  }

  #refusal(data: unknown): void {
    if (!isRecord(data) || typeof data['pin_name'] !== 'string' || !this.#outputs.has(data['pin_name'])) return;
    const { pin_name: pin, code, message, rule, reply_to: id } = data;
    if (typeof id === 'string') this.#asked.delete(id);
    this.#file.add('refused', {
      pin,
      code: bounded(code),
      message: bounded(message),
      ...(rule !== undefined && { rule: bounded(rule) }),
      id: bounded(id),
    });
  }
}

/** A value as it is written down; nothing else is known of what comes from outside. */
function bounded(found: unknown): unknown {
  if (typeof found === 'number' || typeof found === 'boolean') return found;
  const text = typeof found === 'string' ? found : (JSON.stringify(found) ?? '');
  if (text.length > TEXT_LIMIT) return `${text.slice(0, TEXT_LIMIT)}…`;
  return found;
}

/** A log whose lines with `security` in their detail are written into the audit log too. */
export function auditing(log: Log, file: AuditFile, now: () => number): Log {
  let minute = 0;
  let events = 0;
  let left = 0;
  const note = (detail: object, message: string) => {
    if (!('security' in detail)) return;
    const present = Math.floor(now() / MINUTE_MS);
    if (present !== minute) events = 0;
    minute = present;
    events++;
    if (events > SECURITY_LIMIT) {
      left++;
      return;
    }
    file.add('security', { ...detail, message, ...(left > 0 && { left_out: left }) });
    left = 0;
  };
  return {
    debug: (detail, message) => log.debug(detail, message),
    info(detail, message) {
      note(detail, message);
      log.info(detail, message);
    },
    warn(detail, message) {
      note(detail, message);
      log.warn(detail, message);
    },
    error(detail, message) {
      note(detail, message);
      log.error(detail, message);
    },
  };
}
