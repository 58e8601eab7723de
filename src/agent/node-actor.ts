import { Actor } from '../bus/actor.ts';
import { isRecord } from '../message/envelope.ts';
import type { Nodes } from '../output/nodes.ts';

/** Represents the node on the bus: follows the presence of other nodes, and announces this one to new nodes. */
export class NodeActor extends Actor {
  constructor(name: string, nodes: Nodes, announce: () => void) {
    super(`node ${name}`);
    this.on('NodeMessage', (data, { sender }) => {
      // A node may speak only for itself: no other may say that the controller of an output is alive or has left.
      if (isRecord(data) && data['node'] === (sender[1] ?? sender[0])) nodes.onNodeMessage(data);
    });
    // A node that asks all pins to report has just joined and does not know this one.
    this.on('UpdateIoMessage', (data) => {
      if (!isRecord(data) || data['pin_name'] === undefined) announce();
    });
  }
}
