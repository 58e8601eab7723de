import { Actor } from 'dcs-io';

/** The lamp follows a button that is somewhere on the bus; only a value that can be trusted counts. */
export default class Lamp extends Actor {
  constructor() {
    super('lamp');
    this.onReport('button', ({ val, quality }) => {
      if (quality === 'good') this.send({ IoMessage: { pin_name: 'lamp', val } });
    });
  }
}
