// The other node of the rig's world: keeps the output on, under a lease, and prints all messages it sends and receives.
import { createInterface } from 'node:readline';
import { Actor } from 'dcs-io';

const now = () => Number(process.hrtime.bigint()) / 1e6;
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

export default class Controller extends Actor {
  constructor() {
    super('controller');
    for (const pin of ['level', 'water']) this.onPin(pin, (message) => say({ heard: message, at: now() }));
    this.on('IoErrorMessage', (message) => say({ refused: message, at: now() }));
    this.every(200, () => {
      const command = { pin_name: 'level', val: 1, ttl: 1, hold: 2 };
      const at = now();
      const { msg_id: id } = this.send({ IoMessage: command });
      say({ sent: command, id, at });
    });
  }

  onStart() {
    createInterface(process.stdin).on('line', (line) => this.send(JSON.parse(line)));
    this.send({ UpdateIoMessage: {} });
  }
}
