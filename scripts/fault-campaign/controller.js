// The other node of a world: commands the output `level` with ever new numbers, and prints all messages it sends and receives.
import { createInterface } from 'node:readline';
import { Actor } from 'dcs-io';

const now = () => Number(process.hrtime.bigint()) / 1e6;
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

export default class Controller extends Actor {
  #number = 0;
  #on = false;

  constructor() {
    super('controller');
    for (const pin of ['level', 'valve', 'temp', 'weight']) {
      this.onPin(pin, (message) => say({ heard: message, at: now() }));
    }
    this.on('IoErrorMessage', (message) => say({ refused: message, at: now() }));
    this.every(100, () => {
      this.#number++;
      this.#command({ pin_name: 'level', val: this.#number, ttl: 0.5, hold: 1 });
    });
    this.every(300, () => {
      this.#on = !this.#on;
      this.#command({ pin_name: 'valve', val: this.#on, ttl: 0.5, hold: 1 });
    });
  }

  onStart() {
    createInterface(process.stdin).on('line', (line) => this.send(JSON.parse(line)));
    this.send({ UpdateIoMessage: {} });
  }

  #command(command) {
    const at = now();
    const { msg_id: id } = this.send({ IoMessage: command });
    say({ sent: command, id, at });
  }
}
