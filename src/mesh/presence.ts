import type { Clock, DurationMs, Timer } from '../clock/clock.ts';
import { freezeDeep, isRecord, type Payload } from '../message/envelope.ts';
import type { NodeMessage } from '../message/payloads.ts';
import type { NodeInfo } from './node-info.ts';
import type { Session } from './session.ts';

/** How often a node says on the bus that it lives (ms); sessions notice a death much sooner. */
export const HEARTBEAT_MS: DurationMs = 5000;

export interface PresenceHost {
  describe(event: NodeMessage['event']): NodeMessage;
  send(payload: Payload): void;
  /** Gives a message to the actors of this process only; `from`: id of the node it is about. */
  tellHere(payload: Payload, from: string): void;
}

/** Birth, heartbeat and leave of this node as messages on the bus, for programs that show or count nodes. */
export class Presence {
  readonly #clock: Clock;
  readonly #host: PresenceHost;
  #timer: Timer | undefined;

  constructor(clock: Clock, host: PresenceHost) {
    this.#clock = clock;
    this.#host = host;
  }

  start(): void {
    this.#host.send({ NodeMessage: this.#host.describe('birth') });
    this.#beat();
  }

  stop(): void {
    if (!this.#timer) return;
    this.#timer.cancel();
    this.#timer = undefined;
    this.#host.send({ NodeMessage: this.#host.describe('leave') });
  }

  /** Says at once what else the next heartbeat would: somebody has just come and asks. */
  announce(): void {
    this.#host.send({ NodeMessage: this.#host.describe('heartbeat') });
  }

  /** Tells a newcomer of us. */
  greet(session: Session): void {
    session.tell({ birth: this.#host.describe('birth') });
  }

  /** A peer has told us of itself. */
  welcome({ peer }: Session, found: unknown): void {
    if (isRecord(found) && found['node'] === peer.id && freezeDeep(found))
      this.#host.tellHere({ NodeMessage: found }, peer.id);
  }

  /** Tells the actors of this process that a peer is gone: a dead one cannot say so. */
  mourn({ id, name, boot }: NodeInfo): void {
    const leave: NodeMessage = { event: 'leave', node: id, name, boot, pins: [] };
    this.#host.tellHere({ NodeMessage: leave }, id);
  }

  #beat(): void {
    this.#timer = this.#clock.after(HEARTBEAT_MS, () => {
      this.announce();
      this.#beat();
    });
  }
}
