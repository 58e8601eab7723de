import { Actor } from 'dcs-io';

/** Half a second on, half a second off. When the agent stops, the lamp goes to its `safe` value: off. */
export default class Blink extends Actor {
  on = false;

  constructor() {
    super('blink');
    this.every(500, () => {
      this.on = !this.on;
      this.send({ IoMessage: { pin_name: 'green-led', val: this.on } });
    });
  }
}
