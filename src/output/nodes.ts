import type { Clock, DurationMs, Timer } from '../clock/clock.ts';
import { type Envelope, isRecord } from '../message/envelope.ts';

/** A node or program without a heartbeat for so long (ms) is lost. The mesh notices lost peers sooner. */
export const SILENT_AFTER_MS: DurationMs = 15_000;
/** Most nodes remembered, because a flood of invented ones must not fill the memory. */
const MAX_NODES = 10_000;

/** The sender of a command. */
export interface CommandSource {
  /** Name of the node, else its id. */
  readonly node: string;
  /** Name of the actor when it is in this process, else its id. */
  readonly actor: string;
}

/** Called with whether a controller is present, at once and at every change. */
type PresenceWatcher = (present: boolean) => void;

/**
 * Presence of controllers: of other nodes by their birth, heartbeat and leave messages, of actors of this process by their
 * supervisor.
 */
export class Nodes {
  /** By id. A restarted node has two ids for a while. */
  readonly #nodes = new Map<string, { readonly name: string; timer: Timer }>();
  readonly #actors = new Map<string, number>();
  readonly #watchers = new Map<string, Set<PresenceWatcher>>();
  readonly #seen = new Set<string>();
  readonly #startGrace: Timer;
  /** Controllers that were never seen count as lost from now on. */
  #startGraceOver = false;
  readonly #clock: Clock;
  readonly #localName: string;
  readonly #actorName: (id: string) => string | undefined;

  /** `localName`: name of this node. `actorName` returns the name of an actor of this process. */
  constructor(clock: Clock, localName: string, actorName: (id: string) => string | undefined) {
    this.#clock = clock;
    this.#localName = localName;
    this.#actorName = actorName;
    this.#startGrace = clock.after(SILENT_AFTER_MS, () => {
      this.#notifyAround([...this.#watchers.keys()], () => {
        this.#startGraceOver = true;
      });
    });
  }

  close(): void {
    this.#startGrace.cancel();
    for (const { timer } of this.#nodes.values()) timer.cancel();
  }

  /** Calls `watcher` with whether the node or actor (`*`: any other node) is present, now and at every change. */
  watch(name: string, watcher: PresenceWatcher): () => void {
    const watchers = this.#watchers.get(name) ?? new Set();
    this.#watchers.set(name, watchers.add(watcher));
    watcher(this.isPresent(name));
    return () => {
      watchers.delete(watcher);
    };
  }

  /** Returns whether a controller is present. After the start all count as present for SILENT_AFTER_MS. */
  isPresent(name: string): boolean {
    if (!this.#startGraceOver && !this.#seen.has(name)) return true;
    if (name === '*') return this.#nodes.size > 0;
    if ((this.#actors.get(name) ?? 0) > 0) return true;
    return [...this.#nodes.values()].some((node) => node.name === name);
  }

  /** Notes that an actor of this process has started or stopped. */
  setActorPresence(name: string, present: boolean): void {
    this.#notifyAround([name], () => {
      if (present) this.#seen.add(name);
      this.#actors.set(name, (this.#actors.get(name) ?? 0) + (present ? 1 : -1));
    });
  }

  /** Returns the sender of a message. */
  senderOf({ sender }: Envelope): CommandSource {
    const [actor = '?', node] = sender;
    // A message from another process has a second sender. It must not pass for a local actor by using its id.
    if (node === undefined) return { node: this.#localName, actor: this.#actorName(actor) ?? actor };
    return { node: this.#nodes.get(node)?.name ?? node, actor };
  }

  /** Takes over a NodeMessage of any program. */
  onNodeMessage(data: unknown): void {
    if (!isRecord(data)) return;
    const { event, node, name } = data;
    if (typeof node !== 'string' || typeof name !== 'string' || node === '' || name === '') return;
    if (event === 'leave') this.#forget(node);
    else if (event === 'birth' || event === 'heartbeat') this.#seenAlive(node, name);
  }

  #seenAlive(id: string, name: string): void {
    const known = this.#nodes.get(id);
    known?.timer.cancel();
    if (!known && this.#nodes.size >= MAX_NODES) return;
    const timer = this.#clock.after(SILENT_AFTER_MS, () => this.#forget(id));
    const names = known && known.name !== name ? [name, known.name, '*'] : [name, '*'];
    this.#notifyAround(names, () => {
      // Only watched names are remembered: they are few, and others may be invented.
      for (const one of [name, '*']) if (this.#watchers.has(one)) this.#seen.add(one);
      this.#nodes.set(id, { name, timer });
    });
  }

  #forget(id: string): void {
    const known = this.#nodes.get(id);
    if (!known) return;
    known.timer.cancel();
    this.#notifyAround([known.name, '*'], () => this.#nodes.delete(id));
  }

  #notifyAround(names: readonly string[], change: () => void): void {
    const before = names.map((one) => this.isPresent(one));
    change();
    names.forEach((one, at) => {
      const present = this.isPresent(one);
      if (present === before[at]) return;
      for (const watcher of this.#watchers.get(one) ?? []) watcher(present);
    });
  }
}
