import type { Clock, DurationMs } from '../clock/clock.ts';
import { Caller, type Place } from './caller.ts';
import type { Directory, Entry } from './directory.ts';
import type { Gate } from './gate.ts';
import { NamedBroker } from './named-broker.ts';
import { type NodeInfo, waysTo } from './node-info.ts';
import type { Session } from './session.ts';
import type { Kit } from './zmq.ts';

/** How long the node that should be called by the other waits before it calls itself (ms). */
const COURTESY_MS: DurationMs = 1000;

export interface CallsHost {
  self(): NodeInfo;
  /** This process stays on its machine. */
  readonly local: boolean;
  /** Who may come in; undefined while the mesh is not encrypted. */
  gate(): Gate | undefined;
  /** What we say first. */
  hello(): object;
  /** A door has answered: whom we called (`entry`), or whoever is the broker at a named address. */
  answered(entry: Entry | undefined, frame: Record<string, unknown>, caller: Caller): void;
}

/** Who calls whom, when, and where. */
export class Calls {
  readonly #kit: Kit;
  readonly #clock: Clock;
  readonly #directory: Directory;
  readonly #host: CallsHost;
  readonly #brokers: NamedBroker[] = [];
  #stopped = false;

  constructor(kit: Kit, clock: Clock, directory: Directory, host: CallsHost) {
    this.#kit = kit;
    this.#clock = clock;
    this.#directory = directory;
    this.#host = host;
  }

  /** One of the two calls: who has the smaller id, unless the other cannot. Later both do, in case that was wrong. */
  approach(entry: Entry): void {
    entry.courtesy?.cancel();
    if (this.#stopped || this.#places(entry).length === 0) return;
    const self = this.#host.self();
    if (self.id < entry.info.id || waysTo(self, entry.info).length === 0) this.#call(entry);
    else {
      entry.courtesy = this.#clock.after(COURTESY_MS, () => {
        if (!entry.session) this.#call(entry);
      });
    }
  }

  /** A second connection beside one that brings nothing: whoever made the first makes it. */
  again(session: Session): void {
    const entry = this.#directory.get(session.peer.id);
    if (this.#stopped || entry?.session !== session || !session.wire.dialled) return;
    entry.relief ??= this.#newCaller(entry);
  }

  /** Calls the broker of another machine at its well-known port. */
  broker(host: string, port: number): void {
    const places = () => (this.#host.gate()?.keys() ?? []).map((key) => ({ host, port, key }));
    this.#brokers.push(
      new NamedBroker(this.#kit, this.#clock, places, {
        hello: () => this.#host.hello(),
        answered: (frame, caller) => this.#host.answered(undefined, frame, caller),
        hasSession: (id) => this.#directory.get(id)?.session !== undefined,
      }),
    );
  }

  /** No more calls; those that became sessions stay. */
  stop(): void {
    this.#stopped = true;
    for (const { caller, relief, courtesy } of this.#directory.entries()) {
      courtesy?.cancel();
      relief?.close(false);
      if (!caller?.session) caller?.close(false);
    }
    for (const broker of this.#brokers) broker.stop();
  }

  #call(entry: Entry): void {
    if (!this.#stopped) entry.caller ??= this.#newCaller(entry);
  }

  #newCaller(entry: Entry): Caller {
    return new Caller(this.#kit, this.#clock, () => this.#places(entry), {
      hello: () => this.#host.hello(),
      answered: (frame, caller) => this.#host.answered(entry, frame, caller),
    });
  }

  #places({ info }: Entry): readonly Place[] {
    const self = this.#host.self();
    if (this.#host.local && info.machine !== self.machine) return [];
    const gate = this.#host.gate();
    if (gate ? !gate.allows(info.key) : info.key !== undefined) return [];
    return waysTo(info, self).map((host) => ({ host, port: info.port, ...(info.key && { key: info.key }) }));
  }
}
