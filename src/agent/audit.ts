import { join } from 'node:path';
import type { Supervisor } from '../bus/supervisor.ts';
import type { Clock } from '../clock/clock.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import type { Log } from '../driver/driver.ts';
import type { Nodes } from '../safety/nodes.ts';
import { AuditActor, auditing } from './audit-actor.ts';
import { AuditFile, type AuditStats } from './audit-file.ts';

/** The audit log of an agent: `<node>.audit.jsonl` in its state folder; none without one, nor where hardware is simulated by `--mock`. */
export class Audit {
  /** The log to use from now on: security events go into the audit log too. */
  readonly log: Log;
  readonly #file: AuditFile | undefined;

  constructor({ node, ports, state }: ResolvedConfig, clock: Clock, log: Log) {
    const simulated = ports.some(({ mock }) => mock);
    const path = state === undefined || simulated ? undefined : join(state, `${encodeURIComponent(node)}.audit.jsonl`);
    this.#file = path === undefined ? undefined : new AuditFile(path, { clock, log });
    this.log = this.#file ? auditing(log, this.#file, () => clock.now()) : log;
  }

  get stats(): { audit?: AuditStats } {
    return this.#file ? { audit: this.#file.stats } : {};
  }

  /** Listens to the outputs from now on. */
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
