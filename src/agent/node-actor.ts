import { Actor } from '../bus/actor.ts';
import { isRecord } from '../message/envelope.ts';
import { newId } from '../message/id.ts';
import type { NodeMessage, PinInfo } from '../message/payloads.ts';

const HEARTBEAT_MS = 10_000;

/** Speaks for the node: birth, heartbeat and leave, with the pins it has. */
export class NodeActor extends Actor {
  readonly #node: string;
  readonly #boot: string;
  readonly #pins: readonly PinInfo[];

  constructor(node: { name: string; boot: string }, pins: readonly PinInfo[]) {
    super(`node ${node.name}`);
    this.#node = node.name;
    this.#boot = node.boot;
    this.#pins = pins;
    // Whoever asks every pin to report has just come and does not know us yet.
    this.on('UpdateIoMessage', (data) => {
      if (!isRecord(data) || data['pin_name'] === undefined) this.#say('heartbeat');
    });
    this.every(HEARTBEAT_MS, () => this.#say('heartbeat'));
  }

  override onStart(): void {
    this.#say('birth');
  }

  override onStop(): void {
    this.#say('leave');
  }

  #say(event: NodeMessage['event']): void {
    const message: NodeMessage = { event, node: this.#boot, name: this.#node, boot: this.#boot, pins: this.#pins };
    this.send({ NodeMessage: { ...message } });
  }
}

/** A boot id: long enough never to repeat. */
export function newBootId(): string {
  return newId(16);
}
