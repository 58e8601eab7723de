import { join } from 'node:path';
import { Actor } from '../bus/actor.ts';
import type { Supervisor } from '../bus/supervisor.ts';
import type { Clock } from '../clock/clock.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import type { Log } from '../log/log.ts';
import { type Envelope, isRecord } from '../message/envelope.ts';
import { type IoMessage, isReport } from '../message/payloads.ts';
import type { CommandSource, Nodes } from '../output/nodes.ts';
import { AuditFile, type AuditStats } from './audit-file.ts';

/** Most security events a minute: a sender of endless wrong messages must not fill the file. */
const SECURITY_LIMIT = 30;
const UNANSWERED_LIMIT = 1000;
/** The keys of a command that are recorded. A sender must not write into the log by keys of its own. */
const COMMAND_KEYS = ['val', 'ttl', 'hold', 'pulse', 'blink', 'override', 'rearm'] as const;
/** Longer texts are cut: the file is bounded, and one sender must not displace the records of others. */
const TEXT_LIMIT = 200;
const MINUTE_MS = 60_000;

/** Records the commands to outputs, their senders and results, and when outputs went to their safe state. */
export class AuditActor extends Actor {
  readonly #file: AuditFile;
  readonly #outputs: ReadonlySet<string>;
  readonly #senderOf: (envelope: Envelope) => CommandSource;
  /** Ids of commands without an answer yet, because reports also answer questions. */
  readonly #unanswered = new Set<string>();
  /** Who controls each output, by its last report. */
  readonly #decidedBy = new Map<string, string>();

  /** `senderOf` returns the names of the node and actor that sent a message. */
  constructor(outputs: readonly string[], file: AuditFile, senderOf: (envelope: Envelope) => CommandSource) {
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
    const command = COMMAND_KEYS.flatMap((key) => (message[key] === undefined ? [] : [[key, truncated(message[key])]]));
    this.#unanswered.add(id);
    const [oldest] = this.#unanswered;
    if (this.#unanswered.size > UNANSWERED_LIMIT && oldest !== undefined) this.#unanswered.delete(oldest);
    const by = this.#senderOf(envelope);
    this.#file.add(kind, { pin, ...Object.fromEntries(command), ...by, sender, id, sent: truncated(timestamp) });
  }

  #report({ pin_name: pin, val, reply_to: id, quality, output }: IoMessage): void {
    if (!isRecord(output)) return;
    const { by, why, command } = output;
    const state = isRecord(command) ? command['state'] : undefined;
    if (typeof id === 'string' && this.#unanswered.delete(id))
      this.#file.add('done', { pin, val: truncated(val), id, state, quality });
    const before = this.#decidedBy.get(pin);
    if (typeof by !== 'string' || by === before) return;
    this.#decidedBy.set(pin, by);
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
    if (typeof id === 'string') this.#unanswered.delete(id);
    this.#file.add('refused', {
      pin,
      code: truncated(code),
      message: truncated(message),
      ...(rule !== undefined && { rule: truncated(rule) }),
      id: truncated(id),
    });
  }
}

/** A value for the log, cut when it is long. */
function truncated(found: unknown): unknown {
  if (typeof found === 'number' || typeof found === 'boolean') return found;
  const text = typeof found === 'string' ? found : (JSON.stringify(found) ?? '');
  if (text.length > TEXT_LIMIT) return `${text.slice(0, TEXT_LIMIT)}…`;
  return found;
}

/** A log that also writes lines with `security` in their detail into the audit log. */
export function withAudit(log: Log, file: AuditFile, now: () => number): Log {
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

/** The audit log of an agent: `<node>.audit.jsonl` in its state folder. There is none without a state folder or under `--mock`. */
export class Audit {
  /** The log to use from now on: it also writes security events into the audit log. */
  readonly log: Log;
  readonly #file: AuditFile | undefined;

  constructor({ node, ports, state }: ResolvedConfig, clock: Clock, log: Log) {
    const simulated = ports.some(({ mock }) => mock);
    const path = state === undefined || simulated ? undefined : join(state, `${encodeURIComponent(node)}.audit.jsonl`);
    this.#file = path === undefined ? undefined : new AuditFile(path, { clock, log });
    this.log = this.#file ? withAudit(log, this.#file, () => clock.now()) : log;
  }

  get stats(): { audit?: AuditStats } {
    return this.#file ? { audit: this.#file.stats } : {};
  }

  /** Records the outputs from now on. */
  async start({ pins }: ResolvedConfig, supervisor: Supervisor, nodes: Nodes): Promise<void> {
    const file = this.#file;
    if (!file) return;
    const outputs = pins.filter(({ spec }) => spec.direction === 'out').map(({ spec }) => spec.name);
    await supervisor.add('audit', () => new AuditActor(outputs, file, (envelope) => nodes.senderOf(envelope)));
    file.add('start', { pid: process.pid });
  }

  /** Bounded, never rejects. */
  async stop(): Promise<void> {
    this.#file?.add('stop', { pid: process.pid });
    await this.#file?.close();
  }
}
