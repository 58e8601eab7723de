import type { Clock, DurationMs, Timer } from '../clock/clock.ts';
import { type Envelope, isRecord } from '../message/envelope.ts';

/** A node or program that has not said for so long (ms) that it lives is lost. Nodes with a direct link are missed sooner. */
export const SILENT_AFTER_MS: DurationMs = 15_000;
/** Most nodes kept in mind; a flood of invented ones must not fill the memory. */
const MAX_NODES = 10_000;

/** Who sent a command. */
export interface CommandSource {
  /** Name of the node where it is known, else its id. */
  readonly node: string;
  /** Name of an actor of this process, else its id. */
  readonly actor: string;
}

/** Told whether a controller is there, at once and whenever it changes. */
type PresenceWatcher = (present: boolean) => void;

/**
 * Who is there: other nodes by what they say of themselves (birth, heartbeat, leave), actors of this process by what their
 * supervisor says.
 */
export class Nodes {
  /** By id; a node that was restarted is there under two ids for a while. */
  readonly #nodes = new Map<string, { readonly name: string; timer: Timer }>();
  readonly #actors = new Map<string, number>();
  readonly #watchers = new Map<string, Set<PresenceWatcher>>();
  readonly #seen = new Set<string>();
  readonly #startGrace: Timer;
  /** Whoever has not been seen since the start may still come. */
  #startGraceOver = false;
  readonly #clock: Clock;
  readonly #localName: string;
  readonly #actorName: (id: string) => string | undefined;

  /** `self`: the name of this node. `actorName`: the name of an actor of this process. */
  constructor(clock: Clock, self: string, actorName: (id: string) => string | undefined) {
    this.#clock = clock;
    this.#localName = self;
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

  /** Calls `watcher` with whether the node or actor (`*`: any other node) is there, now and at every change. */
  watch(name: string, watcher: PresenceWatcher): () => void {
    const watchers = this.#watchers.get(name) ?? new Set();
    this.#watchers.set(name, watchers.add(watcher));
    watcher(this.isPresent(name));
    return () => {
      watchers.delete(watcher);
    };
  }

  /** At the start everybody is taken to be there, for as long as a silent node is. */
  isPresent(name: string): boolean {
    if (!this.#startGraceOver && !this.#seen.has(name)) return true;
    if (name === '*') return this.#nodes.size > 0;
    if ((this.#actors.get(name) ?? 0) > 0) return true;
    return [...this.#nodes.values()].some((node) => node.name === name);
  }

  /** An actor of this process has come or gone. */
  setActorPresence(name: string, present: boolean): void {
    this.#notifyAround([name], () => {
      if (present) this.#seen.add(name);
      this.#actors.set(name, (this.#actors.get(name) ?? 0) + (present ? 1 : -1));
    });
  }

  /** Who sent a message. */
  senderOf({ sender }: Envelope): CommandSource {
    const [actor = '?', node] = sender;
    // What comes from another process says so itself: it must not pass for one of ours by using its id.
    if (node === undefined) return { node: this.#localName, actor: this.#actorName(actor) ?? actor };
    return { node: this.#nodes.get(node)?.name ?? node, actor };
  }

  /** A NodeMessage, whatever program sent it. */
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
      // Only the names somebody asks for: they are few, and others may be invented.
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
