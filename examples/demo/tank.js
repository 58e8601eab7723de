import { Actor } from 'dcs-io';

/**
 * The plant of the demo, as a PLC programmer would write it: every half second the pump fills the tank or it drains.
 * Try `dcs-io set request on` and watch.
 */
export default class Tank extends Actor {
  level = 40;
  wanted = false;
  pumping = false;

  constructor() {
    super('tank');
    this.onReport('request', ({ val }) => {
      this.wanted = val === true;
    });
    this.every(500, () => this.step());
  }

  step() {
    this.level = Math.min(100, Math.max(0, this.level + (this.pumping ? 2 : -1)));
    const low = this.level < (this.wanted ? 90 : 30);
    const high = this.level > (this.wanted ? 95 : 60);
    this.set('tank-fill', this.level);
    if (low && !this.pumping) this.turn(true);
    if (high && this.pumping) this.turn(false);
  }

  turn(on) {
    this.pumping = on;
    this.set('valve', on);
    this.set('pump', on);
  }

  set(pin, val) {
    this.send({ IoMessage: { pin_name: pin, val } });
  }
}
