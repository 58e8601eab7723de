import { Actor } from '../bus/actor.ts';
import { isRecord } from '../message/envelope.ts';
import type { Nodes } from '../output/nodes.ts';

/** The node's seat on the bus: hears who else is there, and introduces it to whoever asks every pin to report. */
export class NodeActor extends Actor {
  constructor(name: string, nodes: Nodes, announce: () => void) {
    super(`node ${name}`);
    this.on('NodeMessage', (data, { sender }) => {
      // Each speaks for itself: that the controller of an output lives, or is gone, nobody else may say.
      if (isRecord(data) && data['node'] === (sender[1] ?? sender[0])) nodes.onNodeMessage(data);
    });
    // Who asks has just come and does not know us yet.
    this.on('UpdateIoMessage', (data) => {
      if (!isRecord(data) || data['pin_name'] === undefined) announce();
    });
  }
}
