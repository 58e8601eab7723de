// A user's actor that misbehaves on command.
import { Actor } from 'dcs-io';

export default class Victim extends Actor {
  constructor() {
    super('victim');
    this.on('Throw', () => {
      throw new Error('thrown on purpose');
    });
    this.on('Burn', ({ ms }) => {
      for (const end = performance.now() + ms; performance.now() < end; );
    });
    this.on('Hog', () => {
      for (const kept = []; ; ) kept.push(Array.from({ length: 10_000 }, (_, at) => ({ at })));
    });
  }
}
