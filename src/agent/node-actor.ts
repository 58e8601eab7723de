import { Actor } from '../bus/actor.ts';
import { isRecord } from '../message/envelope.ts';

/** Introduces the node to whoever asks every pin to report: he has just come and does not know us yet. */
export class NodeActor extends Actor {
  constructor(name: string, announce: () => void) {
    super(`node ${name}`);
    this.on('UpdateIoMessage', (data) => {
      if (!isRecord(data) || data['pin_name'] === undefined) announce();
    });
  }
}
