import type { Located } from './located.ts';

/** A pin as the file (and its device's profile) states it, before anything about it has been checked. */
export interface PinDraft {
  readonly name: string;
  /** Its own section. */
  readonly located: Located;
  /** What its device hands down to it. */
  readonly inherited: ReadonlyMap<string, Located>;
}
