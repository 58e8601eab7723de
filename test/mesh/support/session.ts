import { Bus } from '../../../src/bus/bus.ts';
import { ManualClock } from '../../../src/clock/manual-clock.ts';
import type { NodeInfo } from '../../../src/mesh/local-node.ts';
import type { Connection } from '../../../src/mesh/peer/acceptor.ts';
import { Session, type SessionEvent } from '../../../src/mesh/peer/session.ts';
import { Router } from '../../../src/mesh/routing/router.ts';
import { Subscription } from '../../../src/mesh/routing/subscription.ts';
import { newStats } from '../../../src/mesh/stats.ts';
import { isRecord } from '../../../src/message/envelope.ts';
import { quietLog } from './log.ts';

/** A connection that keeps every frame instead of sending it. */
export class RecordedConnection implements Connection {
  readonly outgoing: boolean;
  readonly key: string | undefined = undefined;
  readonly frames: Record<string, unknown>[] = [];
  closed = false;

  constructor(outgoing = true) {
    this.outgoing = outgoing;
  }

  send(text: string): Promise<void> {
    const frame: unknown = JSON.parse(text);
    if (isRecord(frame)) this.frames.push(frame);
    return Promise.resolve();
  }

  close(): void {
    this.closed = true;
  }
}

export function nodeInfo(id: string): NodeInfo {
  return { id, name: id, boot: 'b', machine: `machine of ${id}`, addresses: [], port: 1, server: { rx: 1, tx: 2 } };
}

/** Opens sessions on a manual clock, without sockets, and keeps what they receive and report. */
export class SessionBench {
  readonly clock = new ManualClock();
  readonly stats = newStats();
  readonly bus = new Bus({ clock: this.clock });
  readonly router = new Router(this.bus, 'Self1', this.stats, quietLog);
  readonly messages: unknown[] = [];
  readonly events: SessionEvent[] = [];

  open(id: string, { remote = false, outgoing = true } = {}): { session: Session; connection: RecordedConnection } {
    const connection = new RecordedConnection(outgoing);
    const context = {
      clock: this.clock,
      stats: this.stats,
      messages: { receive: (message: unknown) => void this.messages.push(message) },
      listener: { onSessionEvent: (_session: Session, event: SessionEvent) => void this.events.push(event) },
    };
    const subscription = Subscription.everything;
    const state = { peer: nodeInfo(id), subscription, directlyReachable: new Set<string>() };
    return { session: new Session(context, connection, state, { remote }), connection };
  }

  eventsOf<Type extends SessionEvent['type']>(type: Type): Extract<SessionEvent, { readonly type: Type }>[] {
    return this.events.filter((event): event is Extract<SessionEvent, { readonly type: Type }> => event.type === type);
  }
}
