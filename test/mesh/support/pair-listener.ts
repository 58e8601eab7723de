import type { PairListener } from '../../../src/mesh/v1/socket-pair.ts';

/** Listens to a socket pair and ignores every event. */
export const ignoringPair: PairListener = {
  onFrame: () => undefined,
  onUp: () => undefined,
  onDown: () => undefined,
  onSubscriber: () => undefined,
};
